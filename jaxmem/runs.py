"""Run folders as they are found: what was asked for, and what came of it."""

import json
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from jaxmem.run_folder import CONFIG, RESULTS, SEQUENCES

MAIN = "failed_requests"


@dataclass(frozen=True)
class Run:
    """A finished comparison of policies, or a training, which ends in one."""

    name: str  # of its folder, below the one that was searched
    config: dict[str, Any] = field(repr=False)
    results: dict[str, Any] = field(repr=False)
    failed: dict[str, np.ndarray] = field(repr=False)  # float64[P], %, by policy; {}: not kept


class UnusableRunError(ValueError):
    """A folder that holds no whole run: the message says why."""


def runs_below(folder: Path) -> tuple[list[Run], dict[str, str]]:
    """Every run folder below `folder`, or `folder` itself, by name.

    Returns:
        The runs, and why each of the other folders that hold a part of one is left out.
    """
    runs: list[Run] = []
    left_out: dict[str, str] = {}
    for path in sorted(_candidates(folder)):
        name = path.relative_to(folder).as_posix()
        try:
            runs.append(_read(path, name))
        except UnusableRunError as reason:
            left_out[name] = str(reason)
    return runs, left_out


def _candidates(folder: Path) -> Iterator[Path]:
    """The folders with a configuration or results; hidden ones are other programs'."""
    for path, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if CONFIG in files or RESULTS in files:
            yield Path(path)


def _read(path: Path, name: str) -> Run:
    if not (path / RESULTS).exists():
        raise UnusableRunError(f"not finished: no {RESULTS}")
    results = _mapping(path / RESULTS)
    if "policies" not in results:
        raise UnusableRunError("it compares no policies")
    _check_policies(results["policies"])
    training = results.get("training")
    if isinstance(training, dict) and not training.get("finished", True):
        raise UnusableRunError("its training was stopped before the end")
    if not (path / CONFIG).exists():
        raise UnusableRunError(f"broken: no {CONFIG}")
    return Run(name, _mapping(path / CONFIG), results, _sequences(path / SEQUENCES, results))


def _mapping(file: Path) -> dict[str, Any]:
    """What a JSON or YAML file holds."""
    try:
        text = file.read_text(encoding="utf-8")
        found = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UnusableRunError(f"broken: {file.name}: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise UnusableRunError(f"broken: {file.name} is no mapping")
    return found


def _check_policies(policies: Any) -> None:
    try:
        means = [row[MAIN]["mean"] for row in policies.values()]
    except (AttributeError, KeyError, TypeError):
        raise UnusableRunError(f"broken: {RESULTS} has no {MAIN} of every policy") from None
    if not means or not all(isinstance(mean, int | float) for mean in means):
        raise UnusableRunError(f"broken: {RESULTS} has no {MAIN} of every policy")


def _sequences(file: Path, results: dict[str, Any]) -> dict[str, np.ndarray]:
    """Failed requests of each sequence, where they are kept and those of these results."""
    try:
        with np.load(file, allow_pickle=False) as kept:
            failed = dict(zip(map(str, kept["policies"]), kept[MAIN], strict=True))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UnusableRunError(f"broken: {file.name}: {' '.join(str(error).split())}") from None
    means = {name: row[MAIN]["mean"] for name, row in results["policies"].items()}
    for name, mean in means.items():
        if name not in failed or not np.isclose(failed[name].mean(), mean):
            raise UnusableRunError(f"broken: {file.name} does not have the figures of {RESULTS}")
    return failed
