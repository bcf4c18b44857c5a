"""What each group of features is worth: branching without it, beside branching with all of them.

`python experiments/ablation.py` trains a policy that sees everything and one without each group, on
three workloads, and tests them on the same sequences. It may be stopped at any time and goes on
where it was: finished runs are kept. Its options are the fields of `Options`, as `states=20000
out=DIR`.
"""

import io
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from study_options import read_options

from jaxmem.environment.observations import GROUPS
from jaxmem.evaluation.provenance import provenance
from jaxmem.evaluation.run import measure, run
from jaxmem.evaluation.statistics import estimates
from jaxmem.learning.result import TrainResult
from jaxmem.learning.train import train
from jaxmem.policies import Policy, policy
from jaxmem.render.progress import TrainingDisplay
from jaxmem.settings.learner import BranchingConfig
from jaxmem.whole_files import write_whole
from jaxmem.workloads.registry import Workload, workload

WORKLOADS: dict[str, tuple[str, dict[str, Any]]] = {
    "large-short-lived": ("large-short-lived", {}),
    "training-step, hints": ("training-step", {"lifetime_hints": "oracle"}),
    "memoryless": ("memoryless", {}),
}
BEST, BASE_POLICY, EVERYTHING = "best-fit", "the base policy alone", "everything"
ROWS = (BEST, BASE_POLICY, EVERYTHING, *GROUPS)
console = Console()


@dataclass
class Options:
    """What can be asked for."""

    states: int = 600_000  # labelled in each run
    horizon: int = 40  # requests for which a placement is followed
    seed: int = 0  # of every training
    sequences: int = 1024  # test sequences of each workload
    test_seed: int = 2026
    out: str = "experiments/results/ablation"


class Finished:
    """The runs that there are, in a folder: results.json, table.md, and failed_requests.npz."""

    def __init__(self, out: Path, question: dict[str, Any]) -> None:
        """Reads what is in the folder; SystemExit if it answers another question."""
        self.out = out
        self.question = json.loads(json.dumps(question))
        self.rows: dict[str, dict[str, Any]] = {name: {} for name in WORKLOADS}
        self.failed: dict[str, np.ndarray] = {}  # % of the requests of each test sequence
        if not (out / "results.json").exists():
            return
        found = json.loads((out / "results.json").read_text(encoding="utf-8"))
        differing = [key for key in self.question if found.get(key) != self.question[key]]
        if differing:
            raise SystemExit(
                f"{out} holds runs with other {', '.join(differing)}; take another out=DIR"
            )
        self.rows = found["rows"]
        with np.load(out / "failed_requests.npz") as arrays:
            self.failed = dict(arrays)

    def has(self, name: str, row: str) -> bool:
        """Whether this row of a workload is finished."""
        return row in self.rows[name]

    def keep(self, name: str, rows: dict[str, tuple[np.ndarray, dict[str, Any]]]) -> None:
        """Rows of a workload more: the failures of each, and what there is to say about it.

        Those of the policy that sees everything are among the first, for the differences to it.
        """
        self.failed |= {f"{name}/{row}": failed for row, (failed, _) in rows.items()}
        for row, (failed, about) in rows.items():
            paired = failed - self.failed[f"{name}/{EVERYTHING}"]
            share, difference = estimates(np.stack([failed, paired], axis=1), 0)
            figures = {"failed_requests": asdict(share), "difference": asdict(difference)}
            self.rows[name][row] = figures | about
        packed = io.BytesIO()
        np.savez_compressed(packed, allow_pickle=False, **self.failed)
        self._write("failed_requests.npz", packed.getvalue())
        self._write("table.md", table(self.rows, self.question).encode())
        # Last: what has it is whole.
        results = {**self.question, "rows": self.rows}
        self._write("results.json", f"{json.dumps(results, indent=1)}\n".encode())

    def _write(self, name: str, content: bytes) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        write_whole(self.out / name, content)


def main(arguments: list[str]) -> None:
    """Trains and tests what is missing."""
    options = options_of(arguments)
    out = Path(options.out)
    finished = Finished(out, question_of(options))
    # Group by group, so that a study that is stopped has something to say about every workload.
    for row in (EVERYTHING, *GROUPS):
        for name in WORKLOADS:
            if not finished.has(name, row):
                train_and_test(finished, options, name, row)
    console.print((out / "table.md").read_text(encoding="utf-8"), highlight=False)


def options_of(arguments: list[str]) -> Options:
    """The options on the command line; SystemExit for others."""
    options = read_options(Options, arguments)
    if options.sequences < 2:
        raise SystemExit(f"sequences is {options.sequences}; at least 2, to have intervals")
    return options


def question_of(options: Options) -> dict[str, Any]:
    """All that runs must agree in to stand in one table."""
    try:
        settings = asdict(BranchingConfig(states=options.states, horizon=options.horizon))
    except ValueError as error:
        raise SystemExit(str(error)) from None
    numbers = asdict(options)
    del numbers["out"], settings["hidden_feature_groups"]
    return {**numbers, "settings": settings, "groups": GROUPS}


def train_and_test(finished: Finished, options: Options, name: str, row: str) -> None:
    """One run: of everything, with the rules beside it, or without a group."""
    source, choices = WORKLOADS[name]
    task = workload(source, None, **choices)
    result = trained(task, options, name, row)
    about = {
        "workload": task.name,
        "cells": task.cells,
        "settings": result.card.training["settings"],
        "seed": result.seed,
        "base_policy": result.base_policy,
        "margin": result.card.margin,
        "validation_failed": result.card.training["validation_failed"],
        "steps": result.steps,
        "seconds": result.seconds,
        **provenance(),
    }
    found = {row: (failures(result.policy, task, options), about)}
    if row == EVERYTHING:
        base_policy = result.policy.parameters.base_policy.rule
        for title, rule in ((BEST, policy("best")), (BASE_POLICY, base_policy)):
            found[title] = failures(rule, task, options), {"rule": rule.name}
    finished.keep(name, found)


def trained(task: Workload, options: Options, name: str, row: str) -> TrainResult:
    """What branching learns from all features, or without those of the group `row`."""
    hidden_feature_groups = () if row == EVERYTHING else (row,)
    console.rule(f"{name}: {f'without {row}' if hidden_feature_groups else row}")
    with TrainingDisplay(console) as display:
        result = train(
            task,
            "branching",
            seed=options.seed,
            listeners=[display],
            states=options.states,
            horizon=options.horizon,
            hidden_feature_groups=hidden_feature_groups,
        )
    if result.note:
        raise SystemExit(f"{name}, {row}: {result.note}; finished runs are kept")
    return result


def failures(player: Policy, task: Workload, options: Options) -> np.ndarray:
    """Failed requests in % on each test sequence: float64[P]."""
    requests = task.requests("test", options.test_seed, options.sequences)
    return measure(run(player, requests, task), requests, task)["failed_requests"]


def table(rows: dict[str, dict[str, Any]], question: dict[str, Any]) -> str:
    """The figures in Markdown; what is not finished is left open."""
    lines = [
        "# What each group of features is worth",
        "",
        f"Failed requests (%) on {question['sequences']:,} test sequences of each workload: of a "
        "policy that sees everything, and of policies trained without one group of features, with "
        "the paired differences to everything and their 95 % bootstrap intervals. Above 0: the "
        f"group was missed. Branching, {question['states']:,} states, followed for "
        f"{question['horizon']} requests, one training each: the intervals are over sequences and "
        "do not hold the luck of the training. Where the network sees nothing worth more, a policy "
        "follows its base policy. Without hints there are no predictions, and nothing to miss.",
        "",
        f"| features (columns) | {' | '.join(rows)} |",
        f"|:--|{'--:|' * len(rows)}",
    ]
    for row in ROWS:
        title = f"without {row} ({len(GROUPS[row])})" if row in GROUPS else row
        cells = [_cell(found.get(row), bold=row == EVERYTHING) for found in rows.values()]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(found: dict[str, Any] | None, *, bold: bool) -> str:
    if found is None:
        return ""
    failed = f"{found['failed_requests']['mean']:.2f}"
    difference = "{mean:+.2f} [{low:+.2f}, {high:+.2f}]".format(**found["difference"])
    return f"**{failed}**" if bold else f"{failed}: {difference}"


if __name__ == "__main__":
    main(sys.argv[1:])
