"""Run folders as they are found: what was asked for, and what came of it."""

import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from jaxmem import renamed
from jaxmem.read_back import BrokenFileError, brief, is_finite_number, read_mapping
from jaxmem.run_folder import CONFIG, RESULTS, SEQUENCES

MAIN = "failed_requests"
LEARNED = "learned"
GROUP_NAMES = {
    "workload": "source",
    "learner": "name",
    "network": "name",
}  # what a group is known by
MOST_SEQUENCE_BYTES = 2**30  # of sequences.npz, unpacked
SEARCH = ("space", "trials", "batch", "sampler")  # settings of a search, not of what it has found


@dataclass(frozen=True)
class Run:
    """A finished comparison of policies; a training, which ends in one; or a member of a grid."""

    name: str  # of its folder, below the one that was searched
    config: dict[str, Any] = field(repr=False)
    results: dict[str, Any] = field(repr=False)  # of a member: as if it had been trained alone
    failed: dict[str, np.ndarray] = field(repr=False)  # float64[P], %, by policy; {}: not kept


class UnusableRunError(ValueError):
    """A folder that holds no whole run: the message says why."""


def runs_below(folder: Path) -> tuple[list[Run], dict[str, str]]:
    """Reads all runs below `folder`, or in it, by name; members of a grid in one program are runs.

    Returns:
        The runs, and why each of the other folders that hold a part of one is left out.
    """
    runs: list[Run] = []
    left_out: dict[str, str] = {}
    for path in sorted(_run_folders(folder)):
        name = path.relative_to(folder).as_posix()
        try:
            runs += _read_run(path, name)
        except UnusableRunError as reason:
            left_out[name] = str(reason)
    return runs, left_out


def _run_folders(folder: Path) -> Iterator[Path]:
    """Yields the folders with a configuration or results; hidden ones are other programs'."""
    for path, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if CONFIG in files or RESULTS in files:
            yield Path(path)


def _read_run(path: Path, name: str) -> list[Run]:
    if not (path / RESULTS).exists():
        raise UnusableRunError(f"not finished: no {RESULTS}")
    if not (path / CONFIG).exists():
        raise UnusableRunError(f"broken: no {CONFIG}")
    try:
        results = read_mapping(path / RESULTS)
        config = renamed.new_config(read_mapping(path / CONFIG))
    except (OSError, BrokenFileError) as error:
        raise UnusableRunError(f"broken: {error}") from None
    failed = _sequences(path / SEQUENCES)
    try:
        if not results.get("training", {}).get("finished", True):
            raise UnusableRunError("its training was stopped before the end")
        if "members" in results:
            runs = _member_runs(name, config, results, failed)
        elif "policies" in results:
            runs = [Run(name, config, results, failed)]
        else:
            raise UnusableRunError("it compares no policies")
        for run in runs:
            _check_config(run.config)
            _check_figures(run)
    except UnusableRunError:
        raise
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        what = " ".join(f"{type(error).__name__} {error}".split())[:200]
        raise UnusableRunError(f"broken: {RESULTS} is not as jaxmem writes it: {what}") from None
    return runs


def _sequences(file: Path) -> dict[str, np.ndarray]:
    """Reads the failed requests of each sequence, by policy, where they are kept."""
    try:
        with zipfile.ZipFile(file) as archive:
            sizes = [member.file_size for member in archive.infolist()]
        if sum(sizes) > MOST_SEQUENCE_BYTES:
            raise ValueError(f"it holds more than {MOST_SEQUENCE_BYTES:,} bytes")
        with np.load(file, allow_pickle=False) as kept:
            policies, failed = kept["policies"], kept[MAIN]
        if policies.dtype.kind != "U" or failed.dtype != np.float64 or not failed.size:
            raise ValueError(f"{policies.dtype} and {failed.dtype} of shape {failed.shape}")
        if policies.ndim != 1 or failed.ndim != 2 or not np.isfinite(failed).all():
            raise ValueError("no finite number for each policy and sequence")
        return dict(zip(policies.tolist(), failed, strict=True))
    except FileNotFoundError:
        return {}
    except Exception as error:  # whatever a broken file makes of the reader
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UnusableRunError(f"broken: {file.name}: {reason}") from None


def _member_runs(
    name: str, config: dict[str, Any], results: dict[str, Any], failed: dict[str, np.ndarray]
) -> list[Run]:
    """Reads the members of a grid in one program, or of the best trial of a search.

    The sequences they are tested on are the same.
    """
    config = {key: value for key, value in config.items() if key not in SEARCH}
    runs = []
    for member in results["members"]:
        settings = renamed.new_settings(results["choices"][member["choice"]]["settings"])
        alone = {"seed": member["seed"], "seeds": None, "grid": {}}
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


def _check_config(config: dict[str, object]) -> None:
    """Checks that a configuration has a seed, and says what was played and trained."""
    seed = config.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise UnusableRunError(f"broken: {CONFIG} has seed {brief(seed)}")
    for group, name in GROUP_NAMES.items():
        settings = config.get(group, {})
        known = isinstance(settings, dict) and isinstance(settings.get(name, ""), str)
        if not known:
            raise UnusableRunError(f"broken: {CONFIG} has {group} {brief(settings)}")


def _check_figures(run: Run) -> None:
    """Checks that each policy has its mean, and that kept sequences are those it is the mean of."""
    results = run.results
    if not isinstance(results["workload"], str):
        raise UnusableRunError(f"broken: {RESULTS} has workload {brief(results['workload'])}")
    if not results["policies"]:
        raise UnusableRunError(f"broken: {RESULTS} compares no policies")
    for policy, row in results["policies"].items():
        entry = row[MAIN]
        if not is_finite_number(entry["mean"], 0, 100):
            raise UnusableRunError(f"broken: {RESULTS} has no {MAIN} of {policy[:40]}")
        difference = {} if entry.get("difference") is None else entry["difference"]
        ends = [entry.get("low"), entry.get("high")]
        ends += [difference.get(name) for name in ("mean", "low", "high")]
        if not all(end is None or is_finite_number(end, -100, 100) for end in ends):
            raise UnusableRunError(f"broken: {RESULTS} has no interval of {policy[:40]}")
        if run.failed and not np.isclose(run.failed[policy].mean(), entry["mean"]):
            raise UnusableRunError(f"broken: {SEQUENCES} does not have the figures of {RESULTS}")
