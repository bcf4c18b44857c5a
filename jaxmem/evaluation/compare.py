"""Comparing policies: the same fresh sequences for each, differences with intervals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from jaxmem.evaluation import arena_needed, decision_time
from jaxmem.evaluation.hindsight import bounds, check_searchable, with_hindsight
from jaxmem.evaluation.run import Trajectory, measure, over_time, run
from jaxmem.evaluation.statistics import estimates
from jaxmem.evaluation.surroundings import surroundings
from jaxmem.evaluation.tuning import least_failing, tuned
from jaxmem.names import nearest
from jaxmem.policies import Policy, policy
from jaxmem.policies.q_functions import QFunction
from jaxmem.policies.saved import SHIPPED, load_policy, read_policy
from jaxmem.render.report import markdown_table, rich_table
from jaxmem.rules import CLASSICAL, NAMES, TUNED
from jaxmem.workloads.peaks import peak_live
from jaxmem.workloads.registry import Workload, workload_from
from jaxmem.workloads.requests import Requests

STRONGEST = "strongest"  # reference: the classical fit among those compared that fails least
MEASURES = (
    "failed_requests",
    "failed_cells",
    "external_fragmentation",
    "holes_per_cell",
    "unusable_free",
    "utilization",
    "high_water_mark",
    "high_water_per_peak",
    "placed_requests",
)
COSTLY_MEASURES = ("arena_needed", "arena_needed_per_peak", "decision_nanoseconds")
SHOWN = MEASURES[:7]


@dataclass(frozen=True)
class Comparison:
    """The results of a comparison, and what they were found on."""

    workload: Workload
    results: dict[str, Any] = field(repr=False)  # as in results.json
    requests: Requests = field(repr=False)  # the test sequences
    starts: dict[str, np.ndarray] = field(repr=False)  # int32[P, T] of each policy
    failed: dict[str, np.ndarray] = field(repr=False)  # float64[P] of each policy, in %
    fragmentation: dict[str, np.ndarray] = field(repr=False)  # float64[T + 1], of `over_time`
    failed_so_far: dict[str, np.ndarray] = field(repr=False)  # float64[T], likewise, in %

    def __str__(self) -> str:
        page = StringIO()
        Console(file=page, width=100).print(rich_table(self.results, width=100))
        return page.getvalue()

    def _repr_markdown_(self) -> str:
        return markdown_table(self.results)


def compare(
    policies: Sequence[str | Policy],
    on: str | Workload,
    *,
    cells: int | None = None,
    sequences: int = 1024,
    seed: int = 0,
    reference: str = STRONGEST,
    measures: Sequence[str] = SHOWN,
    hindsight: bool = False,
    report: Callable[[str], None] = lambda doing: None,
    **options: object,
) -> Comparison:
    """Judges policies on the same fresh test sequences of a workload.

    Args:
        policies: names, paths of saved policies, or policies.
        on: a workload or its name; `cells` and `options` are then its own.
        sequences: P, at least 1; a fixed sequence is one.
        reference: a policy compared, or "strongest".
        hindsight: add how few requests could have failed, and how far each policy has come.
        report: is told what is being done.

    Raises:
        ValueError: an unknown or double name, or a value out of range, before anything is compiled.
    """
    task = workload_from(on, cells, options)
    check_comparison(policies, task, sequences, seed, reference, measures)
    if hindsight:
        check_searchable(task)
    notes = [*task.notes, *_unhinted(policies, task)]
    players: dict[str, Policy] = {}
    for name, given in _players(policies).items():
        if given is None:
            report(f"tuning {name}")
            given, note = tuned(name, task, seed)
            notes.append(note)
        players[name] = given
    report("drawing test sequences")
    requests = task.requests("test", seed, sequences)
    starts: dict[str, np.ndarray] = {}
    values: dict[str, dict[str, np.ndarray]] = {}
    fragmentation: dict[str, np.ndarray] = {}
    failed_so_far: dict[str, np.ndarray] = {}
    for name, player in players.items():
        report(f"playing {name}")
        trajectory = run(player, requests, task, seed)
        starts[name] = np.asarray(trajectory.start)
        fragmentation[name], failed_so_far[name] = over_time(trajectory, task)
        values[name] = _judge(player, trajectory, requests, task, seed, measures)
    if reference == STRONGEST:
        reference = _strongest(values)
    if not any(measured["failed_requests"].any() for measured in values.values()):
        peak = int(peak_live(requests, task.layout).max())
        notes.append(
            f"no policy failed a request: at most {peak} of {task.cells} cells are asked for at "
            "once here; a tighter arena would tell the policies apart"
        )
    results = {
        "command": "jaxmem.compare",
        "workload": task.name,
        "cells": task.cells,
        "sequences": requests.sequences,
        "requests": task.length,
        "warmup": task.warmup,
        "seed": seed,
        "reference": reference,
        **surroundings(),
        "policies": _estimates(values, reference, measures, seed),
        "notes": notes,
    }
    failed = {name: measured["failed_requests"] for name, measured in values.items()}
    if hindsight:
        report("searching with hindsight")
        found = bounds(requests, task, others=starts.values())
        results = with_hindsight(results, failed, found, seed)
    if task.name == "scenario":
        results["starts"] = {
            name: [int(start) if start >= 0 else None for start in played[0]]
            for name, played in starts.items()
        }
    return Comparison(task, results, requests, starts, failed, fragmentation, failed_so_far)


def check_comparison(
    policies: Sequence[str | Policy],
    task: Workload,
    sequences: int,
    seed: int,
    reference: str,
    measures: Sequence[str],
    learned: QFunction | None = None,
) -> None:
    """Raises ValueError for what `compare` would refuse; `learned`: such a policy comes later."""
    players = _players(policies)
    names = [*players, *(["learned"] if learned else [])]
    if len(set(names)) < len(names):
        raise ValueError("policy learned is given twice: this run makes one of its own")
    _check_whole("sequences", sequences, 1)
    _check_whole("seed", seed, 0)
    if reference != STRONGEST and reference not in names:
        raise ValueError(f"reference {reference!r} is not compared{nearest(str(reference), names)}")
    known = (*MEASURES, *COSTLY_MEASURES)
    for name in measures:
        if name not in known:
            raise ValueError(f"unknown measure {name!r}{nearest(str(name), known)}")
    if "failed_requests" not in measures:
        raise ValueError("measures must have failed_requests: policies are ranked by it")
    for player in filter(None, players.values()):
        player.check_plays(task.cells)
    arenas = {name: player.arena for name, player in players.items() if player}
    for name, arena in {**arenas, "learned": learned.arena if learned else None}.items():
        if arena is not None and any(measure.startswith("arena_needed") for measure in measures):
            raise ValueError(
                f"arena_needed: policy {name} plays in arenas of {arena} cells only, and no smaller"
            )


def find_policy(name: str) -> Policy:
    """Finds a policy by its name, or reads the file or run folder that `name` is a path of.

    The policies that come with the package have names too.

    Raises:
        ValueError: it is neither, with the nearest names.
    """
    file = policy_file(name)
    if file is None and name not in NAMES:
        raise ValueError(f"unknown policy {name!r}{nearest(name, (*NAMES, *SHIPPED))}")
    return policy(name) if file is None else load_policy(file)


def policy_file(name: str) -> Path | str | None:
    """Returns what `load_policy` takes for this name; None for a rule, or if nothing has it."""
    if name in NAMES or name in SHIPPED:
        return name if name in SHIPPED else None
    path = Path(name)
    if name.endswith(".safetensors") or path.is_dir():
        return path / "policy.safetensors" if path.is_dir() else path
    return None


def _unhinted(policies: Sequence[str | Policy], task: Workload) -> list[str]:
    """Notes each saved policy that was trained without the hints that there are here."""
    named = [entry for entry in policies if isinstance(entry, str)] if task.hinted else []
    return [
        f"{name} was trained without hints: what they say here is new to it"
        for name in named
        if (file := policy_file(name)) is not None
        and not read_policy(file)[1].training.get("hinted", False)
    ]


def _players(policies: Sequence[str | Policy]) -> dict[str, Policy | None]:
    """Returns the policies by name; None stands for one that must be tuned first."""
    if not policies:
        raise ValueError(f"no policy to compare; known: {', '.join(NAMES)}, or a policy file")
    players: dict[str, Policy | None] = {}
    for entry in policies:
        if isinstance(entry, str) and entry in TUNED:
            name, player = entry, None
        else:
            player = entry if isinstance(entry, Policy) else find_policy(str(entry))
            if player.name in players and isinstance(entry, str) and entry not in NAMES:
                # A second saved policy goes by the name of its run folder.
                path = Path(entry)
                player = replace(player, name=path.parent.name if path.suffix else path.name)
            name = player.name
        if name in players:
            raise ValueError(f"policy {name} is given twice")
        players[name] = player
    return players


def _judge(
    player: Policy,
    trajectory: Trajectory,
    requests: Requests,
    task: Workload,
    seed: int,
    measures: Sequence[str],
) -> dict[str, np.ndarray]:
    """Takes every measure asked for: float64[P], timings float64[rounds]."""
    values = measure(trajectory, requests, task)
    if any(name.startswith("arena_needed") for name in measures):
        needed = arena_needed.arena_needed(player, requests, task, seed)
        values["arena_needed"] = needed
        values["arena_needed_per_peak"] = needed / peak_live(requests)
    if "decision_nanoseconds" in measures:
        values["decision_nanoseconds"] = decision_time.decision_nanoseconds(player, requests, task)
    return values


def _strongest(values: dict[str, dict[str, np.ndarray]]) -> str:
    """Names the classical fit that fails least here, which makes it the hardest to beat."""
    candidates = [name for name in values if name in CLASSICAL] or list(values)
    return least_failing({name: values[name]["failed_requests"].mean() for name in candidates})


def _estimates(
    values: dict[str, dict[str, np.ndarray]], reference: str, measures: Sequence[str], seed: int
) -> dict[str, dict[str, Any]]:
    """Estimates means, intervals and paired differences to the reference, by policy and measure."""
    table: dict[str, dict[str, Any]] = {name: {} for name in values}
    for name in measures:
        columns = np.stack([played[name] for played in values.values()], axis=1)
        base = values[reference][name][:, None]
        alone = estimates(columns, seed)
        paired = estimates(columns - base, seed)
        for player, own, difference in zip(values, alone, paired, strict=True):
            table[player][name] = {**vars(own), "difference": vars(difference)}
            if name == "decision_nanoseconds":
                # The policies are timed one after another: their rounds are no pairs.
                table[player][name]["difference"] = {**vars(difference), "low": None, "high": None}
    return table


def _check_whole(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**32:
        raise ValueError(f"{name} is {value!r}; it must be a whole number from {least} to 2^32 - 1")
