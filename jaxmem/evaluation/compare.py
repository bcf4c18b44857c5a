"""Comparing policies: the same fresh sequences for each, differences with intervals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

import numpy as np
from rich.console import Console

from jaxmem.evaluation import arena_needed, decision_time
from jaxmem.evaluation.hindsight import bounds, with_hindsight
from jaxmem.evaluation.provenance import provenance
from jaxmem.evaluation.question import Question, question_of
from jaxmem.evaluation.run import Trajectory, measure, over_time, run
from jaxmem.evaluation.statistics import estimates
from jaxmem.evaluation.tuning import least_failing, tuned
from jaxmem.policies import Policy
from jaxmem.render.report import markdown_table, rich_table
from jaxmem.rules import CLASSICAL
from jaxmem.settings.learner import STRONGEST
from jaxmem.settings.verbs import SHOWN
from jaxmem.workloads.peaks import peak_live
from jaxmem.workloads.registry import Workload, workload_from
from jaxmem.workloads.requests import Requests


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
    asked = question_of(policies, task, sequences, seed, reference, measures, hindsight)
    return answer(asked, report)


def answer(asked: Question, report: Callable[[str], None] = lambda doing: None) -> Comparison:
    """Judges the policies of a question; `report` is told what is being done."""
    task, seed, reference, measures = asked.task, asked.seed, asked.reference, asked.measures
    notes = [*task.notes, *asked.notes]
    players: dict[str, Policy] = {}
    for name, given in asked.players.items():
        if given is None:
            report(f"tuning {name}")
            given, note = tuned(name, task, seed, asked.tuning_sequences)
            notes.append(note)
        players[name] = given
    report("drawing test sequences")
    requests = task.requests("test", seed, asked.sequences)
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
    size = np.asarray(requests.size)
    if (size > task.cells).any():
        notes.append(
            f"{100 * (size > task.cells).mean():.1f} % of the requests ask for more than the "
            f"{task.cells} cells there are (up to {size.max()}): no policy can place them"
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
        **provenance(),
        "policies": _estimates(values, reference, measures, seed),
        "notes": notes,
    }
    failed = {name: measured["failed_requests"] for name, measured in values.items()}
    if asked.hindsight:
        report("searching with hindsight")
        found = bounds(requests, task, others=starts.values(), width=asked.hindsight_width)
        results = with_hindsight(results, failed, found, seed)
    if task.name == "scenario":
        results["starts"] = {
            name: [int(start) if start >= 0 else None for start in played[0]]
            for name, played in starts.items()
        }
    return Comparison(task, results, requests, starts, failed, fragmentation, failed_so_far)


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
) -> dict[str, dict[str, dict[str, object]]]:
    """Estimates means, intervals and paired differences to the reference, by policy and measure."""
    table: dict[str, dict[str, dict[str, object]]] = {name: {} for name in values}
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
