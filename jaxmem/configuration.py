"""From the overrides on a command line, by Hydra, to the settings of a verb, or one clear line."""

import copy
import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from jaxmem import extensions
from jaxmem.extras import PACKAGE, is_clone
from jaxmem.names import nearest
from jaxmem.overrides import OPEN, brief, parsed, shortened
from jaxmem.overrides import UsageError as UsageError
from jaxmem.settings.fields import Settings
from jaxmem.verbs import VERBS

GROUPS = ("workload", "environment", "network", "learner")


def configuration_folder() -> Path:
    """Finds the checkout's conf/ when the package is run from one, else the copy in the wheel."""
    return (PACKAGE.parent if is_clone() else PACKAGE) / "conf"


def choices_of(folder: Path, group: str) -> list[str]:
    """Lists the choices of a group, with those that others have registered.

    One in a subfolder is called by its path, as dqn/classic.
    """
    files = (folder / group).rglob("*.yaml")
    names = {file.relative_to(folder / group).with_suffix("").as_posix() for file in files}
    extensions.load()
    return sorted(names.union(extensions.choices(group)))


def configure(verb: str, overrides: Sequence[str], **words: object) -> Settings:
    """Makes a verb's settings of Hydra overrides; that they are there says that they can be.

    Args:
        words: settings that are no overrides, as the FILE of `jaxmem trace info FILE`.

    Raises:
        UsageError: an override that does not parse, or names what is not there; a value that
            cannot be.
    """
    kind = VERBS[verb]
    missing = ((kind.argument, ""), (kind.ahead, None), (kind.command, []))
    given = {name: nothing for name, nothing in missing if name}
    return settings_of(verb, {**composed(verb, overrides), **given, **words})


def settings_of(verb: str, given: Mapping[str, object]) -> Settings:
    """Makes a verb's settings of a whole configuration, as a file has it.

    Raises:
        UsageError: it is none; says what is allowed.
    """
    extensions.load()
    try:
        return VERBS[verb].settings.read(given)
    except ValueError as error:
        raise UsageError(str(error)) from error


def composed(verb: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Composes a verb's configuration with Hydra overrides: plain dicts, lists and numbers.

    Raises:
        UsageError: an override that does not parse, or names what is not there.
    """
    with _said_in_one_line(overrides):
        read = parsed(overrides)
        for text, override in zip(overrides, read, strict=True):
            if override.is_sweep_override():
                raise UsageError(
                    f"{text!r} stands for several values; jaxmem train -m and jaxmem compare -m "
                    "run them all"
                )
        choosing = tuple(_choosing(verb, read))
        found = copy.deepcopy(_composed(verb, choosing))
        known = tuple(_keys(found))
        swept = _swept(known)
        for text, override in zip(overrides, read, strict=True):
            key = override.key_or_group
            if key not in (*known, *swept, *GROUPS):
                close = nearest(key, [*known, *swept])
                raise UsageError(f"{brief(text)}: jaxmem {verb} has no {key!r}{close}")
            _check_inner(verb, text, override, known)
        setting = [override for override in read if override.key_or_group not in GROUPS]
        ConfigLoaderImpl._apply_overrides_to_config(setting, found)
    plain = OmegaConf.to_container(found)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def chosen(verb: str, overrides: Sequence[str]) -> tuple[dict[str, str], dict[str, Any]]:
    """Returns what `overrides` choose of each group, and the configuration with nothing else set.

    Raises:
        UsageError: an override that does not parse, or names a choice that is not there.
    """
    with _said_in_one_line(overrides), _configurations():
        choosing = _choosing(verb, parsed(overrides))
        found = compose(file_of(verb), choosing, return_hydra_config=True)
        choices = {group: str(found.hydra.runtime.choices.get(group)) for group in GROUPS}
    return choices, composed(verb, choosing)


def file_of(verb: str) -> str:
    """Names the file of the settings of a verb, in the folder of the configurations."""
    return f"{verb.replace(' ', '_')}.yaml"


@contextmanager
def _configurations() -> Iterator[None]:
    """Lets Hydra find the configurations while it lasts, with those that others have registered."""
    extensions.load()
    for (group, name), node in extensions.NODES.items():
        ConfigStore.instance().store(name, node, group)
    with initialize_config_dir(config_dir=str(configuration_folder()), version_base="1.3"):
        yield


@contextmanager
def _said_in_one_line(overrides: Sequence[str]) -> Iterator[None]:
    """Makes a UsageError of what Hydra refuses."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"{' '.join(map(shortened, overrides))}: {reason}") from None


def _choosing(verb: str, read: Sequence[Override]) -> list[str]:
    """Returns the overrides that choose one of a group, which must be there."""
    found = []
    for override in read:
        group = override.key_or_group
        if group in GROUPS and not override.is_sweep_override():
            _check_choice(group, str(override.value()))
            _check_chooses(verb, group, str(override.input_line))
            found.append(str(override.input_line))
    return found


def _check_inner(verb: str, text: str, override: Override, known: Sequence[str]) -> None:
    """Raises UsageError where a dictionary is given with keys that are not there."""
    key, value = override.key_or_group, override.value()
    for inner in value if isinstance(value, dict) else ():
        name = f"{key}.{inner}"
        if key in OPEN:
            raise UsageError(f"{brief(text)}: a setting is set at a time; write {name}=VALUE")
        if any(other.startswith(f"{key}.") for other in known) and name not in known:
            raise UsageError(f"{brief(text)}: jaxmem {verb} has no {name!r}{nearest(name, known)}")


def _check_chooses(verb: str, group: str, text: str) -> None:
    """Raises UsageError where a verb has no such group to choose from."""
    own = yaml.safe_load((configuration_folder() / file_of(verb)).read_text(encoding="utf-8"))
    if any(group in entry for entry in own["defaults"]):
        return
    inner = own.get(group)
    allowed = [f"{group}.{name}" for name in inner] if isinstance(inner, dict) else list(own)[1:]
    raise UsageError(
        f"{brief(text)}: jaxmem {verb} has no {group} to choose; set one of {', '.join(allowed)}"
    )


def _check_choice(group: str, choice: str) -> None:
    choices = choices_of(configuration_folder(), group)
    if choice not in choices:
        raise UsageError(f"unknown {group} {choice!r}{nearest(choice, choices)}")


def _swept(known: Sequence[str]) -> list[str]:
    """Lists the keys under `grid` or `space`, where there is one: the learner's settings."""
    settings = [key.removeprefix("learner.") for key in known if key.startswith("learner.")]
    names = [name for name in settings if name != "name"]
    return [f"{above}.{name}" for above in OPEN if above in known for name in names]


@functools.cache  # it takes longest, and the runs of a search or a multirun choose the same
def _composed(verb: str, choosing: tuple[str, ...]) -> DictConfig:
    """Composes what these overrides choose of the groups; no other setting is set."""
    with _configurations():
        return compose(file_of(verb), list(choosing))


def _keys(config: DictConfig) -> list[str]:
    """Lists every key and nested key."""
    keys: list[str] = []
    for key, value in config.items():
        keys.append(str(key))
        if isinstance(value, DictConfig):
            keys += [f"{key}.{inner}" for inner in _keys(value)]
    return keys
