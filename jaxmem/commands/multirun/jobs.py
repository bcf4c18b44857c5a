"""The jobs of a multirun: every combination of the values that a command line lists."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal

import yaml
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from jaxmem.configuration import UsageError, configuration_folder, configure
from jaxmem.overrides import parsed
from jaxmem.read_back import BrokenFileError, read_mapping
from jaxmem.run_folder import CHECKPOINTS, CONFIG, is_finished
from jaxmem.settings.fields import Settings

LONGEST_NAME = 120  # characters of a name; file systems take 255 bytes
LAUNCHER = "hydra/launcher"
WHERE = ("out", "overwrite", "resume")  # settings that say where results go, not what they are


@dataclass(frozen=True)
class MultirunJob:
    """One run of the verb."""

    name: str  # of its folder: the settings in which it differs from the others
    overrides: tuple[str, ...]  # one value each
    settings: Settings  # of the verb


@dataclass(frozen=True)
class Multirun:
    """The jobs that a command with -m asks for, and how they are launched."""

    jobs: tuple[MultirunJob, ...]  # at least one
    launcher: tuple[str, ...]  # overrides that choose and set Hydra's launcher
    out: str | None
    overwrite: bool


def multirun_of(verb: str, words: Sequence[str]) -> Multirun:
    """Reads `words`, the overrides of `jaxmem VERB -m`.

    Raises:
        UsageError: an override that no job or launcher can have.
    """
    own: dict[str, tuple[Override, list[str]]] = {}
    launcher: list[str] = []
    out = None
    for text, override in zip(words, _parsed(words), strict=True):
        key = override.key_or_group
        if key == "resume":
            raise UsageError(
                f"{text!r}: a multirun has many runs; give the same command again, with out= of "
                "its "
                "folder, and it goes on with those that were stopped"
            )
        if override.is_hydra_override():
            _check_launcher(text, override)
            launcher.append(text)
        elif key == "out":
            if override.is_sweep_override():
                raise UsageError(f"{text!r}: one folder is for all jobs, with a folder for each")
            out = override.value()
        else:
            own[override.get_key_element()] = (override, _value_overrides(text, override))
    several = [key for key, (override, _) in own.items() if override.is_sweep_override()]
    combinations = list(product(*(values for _, values in own.values())))
    folders = _names([
        [text for key, text in zip(own, overrides, strict=True) if key in (several or own)]
        for overrides in combinations
    ])  # fmt: skip
    jobs = [
        MultirunJob(name, overrides, configure(verb, overrides))
        for name, overrides in zip(folders, combinations, strict=True)
    ]
    return Multirun(
        jobs=tuple(jobs),
        launcher=tuple(launcher),
        out=None if out is None else str(out),
        overwrite=jobs[0].settings.plain()["overwrite"],
    )


def _parsed(words: Sequence[str]) -> list[Override]:
    folder = str(configuration_folder())
    with initialize_config_dir(config_dir=folder, version_base="1.3"):
        return parsed(words, GlobalHydra.instance().config_loader())


def _check_launcher(text: str, override: Override) -> None:
    key = override.key_or_group
    if key != LAUNCHER and not key.startswith("hydra.launcher."):
        raise UsageError(
            f"{text!r}: of Hydra's own settings, {LAUNCHER}=NAME and hydra.launcher.KEY=VALUE can "
            "be set here"
        )
    if override.is_sweep_override():
        raise UsageError(f"{text!r}: one launcher starts all jobs; give one value")


def _value_overrides(text: str, override: Override) -> list[str]:
    """Writes an override for each value that `text` lists."""
    if not override.is_sweep_override():
        return [str(override.input_line)]
    if not override.is_discrete_sweep():
        raise UsageError(f"{text!r} has no end of values; list them, as key=a,b or key=range(0,5)")
    key = override.get_key_element()
    try:
        values = [f"{key}={value}" for value in override.sweep_string_iterator()]
    except HydraException as error:
        raise UsageError(f"{text!r}: {' '.join(str(error).split())}") from None
    if not values:
        raise UsageError(f"{text!r} stands for no value at all")
    if len(set(values)) < len(values):
        raise UsageError(f"{text!r} has the same value twice")
    # A launcher reads them once more, and as Hydra does.
    return [str(read.input_line) for read in parsed(values)]


def _names(differing: list[list[str]]) -> list[str]:
    """Names each job, safe in a path, by the overrides that tell it from the others."""
    full = [",".join(text.lstrip("+") for text in overrides) or "run" for overrides in differing]
    bare = [re.sub(r"[\[\]{}()'\"\s]", "", text) for text in full]
    plain = [re.sub(r"[^\w.,=+-]+", "-", text) for text in bare]
    # Some file systems do not tell capitals from small letters.
    folded = [name.casefold() for name in plain]
    return [
        name
        if len(name) <= LONGEST_NAME and folded.count(name.casefold()) == 1
        else f"{name[:LONGEST_NAME]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        for name, text in zip(plain, full, strict=True)
    ]


def progress(job: MultirunJob, folder: Path) -> Literal["new", "stopped", "finished"]:
    """Tells how far the job has come in its folder.

    Raises:
        UsageError: the folder holds a run with other settings.
    """
    file = folder / CONFIG
    if not file.exists():
        return "new"
    try:
        found = read_mapping(file)
    except (OSError, BrokenFileError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from None
    wanted = yaml.safe_load(yaml.safe_dump(job.settings.plain()))
    if differing := _differing_settings(wanted, found):
        raise UsageError(
            f"{folder} holds a run with another {', '.join(differing[:3])}; take another out=DIR, "
            "or overwrite=true"
        )
    if is_finished(folder):
        return "finished"
    return "stopped" if (folder / CHECKPOINTS).exists() else "new"


def _differing_settings(
    wanted: Mapping[str, object], found: Mapping[str, object], above: str = ""
) -> list[str]:
    """Lists the settings, as key.inner, in which two configurations differ."""
    names: list[str] = []
    for key in sorted({*wanted, *found} - (set() if above else set(WHERE))):
        ours, theirs = wanted.get(key), found.get(key)
        if isinstance(ours, dict) and isinstance(theirs, dict):
            names += _differing_settings(ours, theirs, f"{above}{key}.")
        elif (key in wanted) != (key in found) or ours != theirs:
            names.append(f"{above}{key}")
    return names
