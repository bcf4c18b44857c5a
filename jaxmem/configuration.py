"""Hydra configuration: from the overrides on a command line to plain values, or one clear line."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from jaxmem.extras import PACKAGE, is_clone
from jaxmem.names import nearest
from jaxmem.overrides import OPEN, parsed
from jaxmem.overrides import UsageError as UsageError

GROUPS = ("workload", "environment", "network", "learner")


def configuration_folder() -> Path:
    """Finds the checkout's conf/ when the package is run from one, else the copy in the wheel."""
    return (PACKAGE.parent if is_clone() else PACKAGE) / "conf"


def choices_of(folder: Path, group: str) -> list[str]:
    """Lists the choices of a group; one in a subfolder is called by its path, as dqn/classic."""
    files = (folder / group).rglob("*.yaml")
    return sorted(file.relative_to(folder / group).with_suffix("").as_posix() for file in files)


def configure(verb: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Composes a verb's configuration with Hydra overrides: plain dicts, lists and numbers.

    Raises:
        UsageError: an override that does not parse, or names what is not there.
    """
    with _configurations():
        read = parsed(overrides)
        for text, override in zip(overrides, read, strict=True):
            if override.is_sweep_override():
                raise UsageError(
                    f"{text!r} stands for several values; jaxmem train -m and jaxmem compare -m "
                    "run them all"
                )
        known = _keys(_composed(verb, _choosing(read), overrides))
        swept = _swept(known)
        for text, override in zip(overrides, read, strict=True):
            key = override.key_or_group
            if key not in (*known, *swept, *GROUPS):
                close = nearest(key, [*known, *swept])
                raise UsageError(f"{text!r}: jaxmem {verb} has no {key!r}{close}")
        composed = _composed(verb, [str(override.input_line) for override in read], overrides)
    plain = OmegaConf.to_container(composed)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def chosen(verb: str, overrides: Sequence[str]) -> tuple[dict[str, str], dict[str, Any]]:
    """Returns what `overrides` choose of each group, and the configuration with nothing else set.

    Raises:
        UsageError: an override that does not parse, or names a choice that is not there.
    """
    with _configurations():
        choosing = _choosing(parsed(overrides))
        composed = _composed(verb, choosing, overrides, return_hydra_config=True)
        choices = {group: str(composed.hydra.runtime.choices.get(group)) for group in GROUPS}
    return choices, configure(verb, choosing)


def file_of(verb: str) -> str:
    """Names the file of the settings of a verb, in the folder of the configurations."""
    return f"{verb.replace(' ', '_')}.yaml"


def _configurations() -> AbstractContextManager[None]:
    """Lets Hydra find the configurations while it lasts."""
    return initialize_config_dir(config_dir=str(configuration_folder()), version_base="1.3")


def _choosing(read: Sequence[Override]) -> list[str]:
    """Returns the overrides that choose one of a group, which must be there."""
    found = []
    for override in read:
        group = override.key_or_group
        if group in GROUPS and not override.is_sweep_override():
            _check_choice(group, str(override.value()))
            found.append(str(override.input_line))
    return found


def _composed(
    verb: str, overrides: Sequence[str], given: Sequence[str], **options: bool
) -> DictConfig:
    """Composes the configuration of a verb with overrides, which were given as `given`."""
    try:
        return compose(file_of(verb), overrides=list(overrides), **options)
    except (HydraException, OmegaConfBaseException) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"{' '.join(given)}: {reason}") from None


def _check_choice(group: str, choice: str) -> None:
    choices = choices_of(configuration_folder(), group)
    if choice not in choices:
        raise UsageError(f"unknown {group} {choice!r}{nearest(choice, choices)}")


def _swept(known: list[str]) -> list[str]:
    """Lists the keys under `sweep` or `space`, where there is one: the learner's settings."""
    settings = [key.removeprefix("learner.") for key in known if key.startswith("learner.")]
    names = [name for name in settings if name != "name"]
    return [f"{above}.{name}" for above in OPEN if above in known for name in names]


def _keys(config: DictConfig) -> list[str]:
    """Lists every key and nested key."""
    keys: list[str] = []
    for key, value in config.items():
        keys.append(str(key))
        if isinstance(value, DictConfig):
            keys += [f"{key}.{inner}" for inner in _keys(value)]
    return keys
