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
LEARNED = "learned"


@dataclass(frozen=True)
class Run:
    """A finished comparison of policies; a training, which ends in one; or a member of a sweep."""

    name: str  # of its folder, below the one that was searched
    config: dict[str, Any] = field(repr=False)
    results: dict[str, Any] = field(repr=False)  # of a member: as if it had been trained alone
    failed: dict[str, np.ndarray] = field(repr=False)  # float64[P], %, by policy; {}: not kept


class UnusableRunError(ValueError):
    """A folder that holds no whole run: the message says why."""


def runs_below(folder: Path) -> tuple[list[Run], dict[str, str]]:
    """Every run below `folder`, or in it, by name; members of a sweep in one program are runs.

    Returns:
        The runs, and why each of the other folders that hold a part of one is left out.
    """
    runs: list[Run] = []
    left_out: dict[str, str] = {}
    for path in sorted(_candidates(folder)):
        name = path.relative_to(folder).as_posix()
        try:
            runs += _read(path, name)
        except UnusableRunError as reason:
            left_out[name] = str(reason)
    return runs, left_out


def _candidates(folder: Path) -> Iterator[Path]:
    """The folders with a configuration or results; hidden ones are other programs'."""
    for path, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if CONFIG in files or RESULTS in files:
            yield Path(path)


def _read(path: Path, name: str) -> list[Run]:
    if not (path / RESULTS).exists():
        raise UnusableRunError(f"not finished: no {RESULTS}")
    if not (path / CONFIG).exists():
        raise UnusableRunError(f"broken: no {CONFIG}")
    results, config = _mapping(path / RESULTS), _mapping(path / CONFIG)
    failed = _sequences(path / SEQUENCES)
    try:
        if not results.get("training", {}).get("finished", True):
            raise UnusableRunError("its training was stopped before the end")
        if "members" in results:
            runs = _members(name, config, results, failed)
        elif "policies" in results:
            runs = [Run(name, config, results, failed)]
        else:
            raise UnusableRunError("it compares no policies")
        for run in runs:
            _check_figures(run)
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        what = f"{type(error).__name__} {error}"
        raise UnusableRunError(f"broken: {RESULTS} is not as jaxmem writes it: {what}") from None
    return runs


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


def _sequences(file: Path) -> dict[str, np.ndarray]:
    """Failed requests of each sequence, by policy, where they are kept."""
    try:
        with np.load(file, allow_pickle=False) as kept:
            return dict(zip(map(str, kept["policies"]), kept[MAIN], strict=True))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UnusableRunError(f"broken: {file.name}: {' '.join(str(error).split())}") from None


def _members(
    name: str, config: dict[str, Any], results: dict[str, Any], failed: dict[str, np.ndarray]
) -> list[Run]:
    """The members of a sweep in one program; the sequences they are tested on are the same."""
    runs = []
    for member in results["members"]:
        settings = results["choices"][member["choice"]]["settings"]
        alone = {"seed": member["seed"], "seeds": None, "sweep": {}}
        means = {LEARNED: member[MAIN], **results["rules"]}
        own = failed.get(Path(member["policy"]).name)
        runs.append(
            Run(
                name=f"{name}/{member['policy']}",
                config={**config, **alone, "learner": {**config["learner"], **settings}},
                results={
                    "workload": results["workload"],
                    "policies": {policy: {MAIN: {"mean": mean}} for policy, mean in means.items()},
                },
                failed={} if own is None else {LEARNED: own, **failed},
            )
        )
    return runs


def _check_figures(run: Run) -> None:
    """Every policy has its mean, and the sequences that are kept are those it is the mean of."""
    for policy, row in run.results["policies"].items():
        mean = row[MAIN]["mean"]
        if not isinstance(mean, int | float):
            raise UnusableRunError(f"broken: {RESULTS} has no {MAIN} of {policy}")
        if run.failed and not np.isclose(run.failed[policy].mean(), mean):
            raise UnusableRunError(f"broken: {SEQUENCES} does not have the figures of {RESULTS}")
