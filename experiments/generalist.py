"""The generalist: one network for all workloads, in arenas of 64 to 256 cells.

`python experiments/generalist.py` teaches it by imitation: on each task the teacher is the policy
that the placement study trained for that workload, or a rule where that fails less. It sees what
past requests foretell, which its teachers did not: so it can tell what kind of program asks. Then
its margin is chosen on validation sequences, it is tested beside its teachers and the fits, and
written into the package with its card; figures go to `experiments/results/generalist`.
"""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import track

from jaxmem.evaluation.provenance import provenance
from jaxmem.evaluation.run import failed_share, measure, run
from jaxmem.evaluation.statistics import estimates
from jaxmem.evaluation.tuning import strongest_rules
from jaxmem.learning.imitation import ImitationConfig, Task, imitate
from jaxmem.policies import Policy, policy
from jaxmem.policies.learned import BaseRule, greedy
from jaxmem.policies.policy_file import Card, base_policy_of, choice_of, read_policy, save_policy
from jaxmem.policies.q_functions import CandidateQ
from jaxmem.rules import CLASSICAL
from jaxmem.whole_files import write_whole
from jaxmem.workloads.registry import Workload, workload

SEED, TEST_SEED = 0, 2026
TRIAL, VALIDATION, TEST, TEST_OTHERS = 256, 256, 2048, 512  # sequences
CONFIG = ImitationConfig(iterations=240, buffer_updates=10, hidden_sizes=(128, 128), capacity=256)
# What it follows where nothing is worth more: best-fit's hole, small blocks low, larger ones high.
BASE_POLICY = policy("two_ended_tuned", np.array([3, 1, 1], np.int32))
MARGINS = (0.0, 0.5, 1.0, 2.0)  # by how much more often its teachers chose a placement, logarithm
SAFE = 0.05  # points above best-fit that a margin may cost on a task
# The study's rows, and the sizes beside the standard one. Where larger arenas are not named,
# nothing fails in them.
ROWS: dict[str, tuple[str, dict[str, Any], tuple[int, ...]]] = {
    "large-short-lived": ("large-short-lived", {}, (64, 88)),
    "stack-with-leaks": ("stack-with-leaks", {}, (64, 84)),
    "comb": ("comb", {}, (64, 256)),
    "training-step-hints": ("training-step", {"lifetime_hints": "oracle"}, (64, 160, 256)),
    "training-step": ("training-step", {}, (64, 160, 256)),
    "call-sites-hints": ("call-sites", {"lifetime_hints": "class"}, (64, 88)),
    "call-sites": ("call-sites", {}, (64, 88)),
    "generational": ("generational", {}, (64, 84)),
    "size-classes": ("size-classes", {}, (64, 88)),
    "small-short-lived": ("small-short-lived", {}, (64, 80)),
    "memoryless": ("memoryless", {}, (64, 88)),
    "geometric": ("geometric", {}, (64, 88)),
    "robson": ("robson", {}, (64, 256)),
    "mixed": ("mixed", {}, ()),
}
MEMBERS = Path(__file__).parent / "results" / "placement_study" / "members"
OUT = Path(__file__).parent / "results" / "generalist"
SHIPPED = Path(__file__).parent.parent / "jaxmem" / "policies" / "shipped"
console = Console()


@dataclass(frozen=True)
class StudyTask:
    """One workload in one size of arena."""

    name: str
    workload: Workload  # as it is
    taught: Task
    taught_by: str  # the teacher in words
    standard: bool  # in its standard size


def tasks() -> list[StudyTask]:
    """Every workload in every size, each with the teacher that fails less on training sequences."""
    every_one = [(row, cells) for row, (name, _, sizes) in ROWS.items() for cells in (0, *sizes)]
    return [task_of(row, cells) for row, cells in track(every_one, "teachers", console=console)]


def task_of(row: str, cells: int) -> StudyTask:
    """The task of a row in an arena of so many cells; 0: of the standard size."""
    name, options, _ = ROWS[row]
    standard = workload(name).cells
    if cells:
        options = {**options, "capacity": round(100 * cells / standard)}
    plain = workload(name, cells or standard, **options)
    seen = (
        plain
        if plain.has_hints
        else workload(name, cells or standard, **options, lifetime_hints="estimated")
    )
    rule, sentence = strongest_rules(seen, SEED)[0]
    teachers = {sentence: rule}
    if (MEMBERS / f"{row}-0.safetensors").exists():
        teachers["the study's policy"] = specialist(row)
    requests = seen.requests("train", SEED, TRIAL)
    failed = {said: failed_share(teacher, requests, seen) for said, teacher in teachers.items()}
    taught_by = min(failed, key=lambda said: failed[said])
    title = f"{row}, {plain.cells} cells"
    return StudyTask(title, plain, Task(seen, teachers[taught_by]), taught_by, not cells)


def specialist(row: str) -> Policy:
    """The study's policy of a row, seed 0, which does not see hints if it was trained without."""
    network, card = read_policy(MEMBERS / f"{row}-0.safetensors")
    hidden_feature_groups = (
        card.hidden_feature_groups
        if card.training["hinted"]
        else (*card.hidden_feature_groups, "predictions")
    )
    q = CandidateQ(card.holes, card.hidden_sizes, hidden_feature_groups, card.features)
    return greedy(q, network, base_policy=base_policy_of(card))


def teach(everything: list[StudyTask]) -> Any:
    """The parameters of one network, taught all tasks."""
    with Bar(console=console) as bar:
        line = bar.add_task("teaching", total=CONFIG.iterations)
        return imitate(
            [task.taught for task in everything],
            CONFIG,
            seed=SEED,
            report=lambda at: bar.update(
                line, completed=at.iteration, description=f"teaching, loss {at.loss:.3f}"
            ),
        )


def player(network: Any, margin: float) -> Policy:
    q = CandidateQ(CONFIG.holes, CONFIG.hidden_sizes)
    return greedy(
        q, network, base_policy=BaseRule(BASE_POLICY, np.float32(margin)), estimates_lifetimes=True
    )


def chosen_margin(network: Any, everything: list[StudyTask]) -> float:
    """The margin that fails least beside best-fit, over all tasks, on validation sequences.

    One that costs more than SAFE points on any task is taken only if all do.
    """
    ratios: dict[float, list[float]] = {margin: [] for margin in MARGINS}
    above = dict.fromkeys(MARGINS, -np.inf)
    for task in track(everything, "choosing the margin", console=console):
        validation = task.workload.requests("validation", SEED, VALIDATION)
        best = failed_share(policy("best"), validation, task.workload)
        for margin in MARGINS:
            mine = failed_share(player(network, margin), validation, task.workload)
            ratios[margin].append(mine / max(best, 1e-2))
            above[margin] = max(above[margin], mine - best)
    for margin, found in ratios.items():
        console.print(
            f"margin {margin:g}: {np.mean(found):.4f} of best-fit's failures, at most "
            f"{above[margin]:+.2f} points above them"
        )
    safe = [margin for margin in MARGINS if above[margin] <= SAFE] or [MARGINS[-1]]
    return min(safe, key=lambda margin: float(np.mean(ratios[margin])))


def test(mine: Policy, everything: list[StudyTask]) -> dict[str, Any]:
    """Failed requests of the generalist, its teachers and the fits on test sequences, paired."""
    found = {}
    for task in track(everything, "testing", console=console):
        requests = task.workload.requests("test", TEST_SEED, TEST if task.standard else TEST_OTHERS)
        players = {"learned": mine, **{name: policy(name) for name in CLASSICAL}}
        failed = {name: _failed(one, requests, task.workload) for name, one in players.items()}
        told = task.taught.workload.requests("test", TEST_SEED, requests.sequences)
        failed["teacher"] = _failed(task.taught.teacher, told, task.taught.workload)
        strongest = min(CLASSICAL, key=lambda name: failed[name].mean())
        pairs = np.stack([failed["learned"] - failed[name] for name in (strongest, "best")], axis=1)
        to_strongest, to_best = estimates(pairs, 0)
        found[task.name] = {
            "sequences": requests.sequences,
            "taught_by": task.taught_by,
            "failed_requests": {name: float(values.mean()) for name, values in failed.items()},
            "best_of_four_fits": strongest,
            "difference": vars(to_strongest),
            "difference_to_best": vars(to_best),
        }
    return found


def _failed(one: Policy, requests: Any, task: Workload) -> np.ndarray:
    """Failed requests in %, float64[P]; where a failure ends the episode, those not asked too."""
    found = measure(run(one, requests, task), requests, task)
    if task.stop_at_failure:
        return 100 * (1 - found["placed_requests"] / task.length)
    return found["failed_requests"]


def table(found: dict[str, Any]) -> str:
    """The figures in Markdown."""
    lines = [
        "# One network for all workloads",
        "",
        f"Failed requests (%) on {TEST:,} test sequences of each task ({TEST_OTHERS} in other than "
        "the standard size), and the paired differences with 95 % bootstrap intervals. The teacher "
        "is the policy that it learnt the task from; of its gain over the best of the four fits "
        "the generalist has the share that is given. Where a failure ends the episode (mixed), "
        "what was not asked for any more has failed.",
        "",
        "| task | best of four fits | teacher | generalist | share of the teacher's gain | "
        "difference to the fit | difference to best-fit |",
        "|:--|--:|--:|--:|--:|--:|--:|",
    ]
    for name, one in found.items():
        failed, fit = one["failed_requests"], one["best_of_four_fits"]
        gain = failed[fit] - failed["teacher"]
        share = f"{(failed[fit] - failed['learned']) / gain:.0%}" if gain > 0.05 else "-"
        differences = [
            "{mean:+.2f} [{low:+.2f}, {high:+.2f}]".format(**one[key])
            for key in ("difference", "difference_to_best")
        ]
        lines.append(
            f"| {name} | {failed[fit]:.2f} {fit} | {failed['teacher']:.2f} | "
            f"**{failed['learned']:.2f}** | {share} | {' | '.join(differences)} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Teaches, tests and ships."""
    begin = time.perf_counter()
    everything = tasks()
    network = teach(everything)
    margin = chosen_margin(network, everything)
    seconds = time.perf_counter() - begin
    card = Card(
        holes=CONFIG.holes,
        hidden_sizes=CONFIG.hidden_sizes,
        base_policy=BASE_POLICY.name,
        choice=choice_of(BASE_POLICY),
        margin=margin,
        estimates_lifetimes=True,
        training={
            "workloads": {task.name: task.taught_by for task in everything},
            "learner": "imitation",
            "lifetime_hints": "estimated",
            "seed": SEED,
            "settings": asdict(CONFIG),
            "seconds": seconds,
        },
    )
    SHIPPED.mkdir(exist_ok=True)
    save_policy(SHIPPED / "generalist.safetensors", network, card)
    found = test(player(network, margin), everything)
    results = {"card": asdict(card), "test_seed": TEST_SEED, "tasks": found, **provenance()}
    OUT.mkdir(parents=True, exist_ok=True)
    for folder, name in ((OUT, "results.json"), (SHIPPED, "generalist.json")):
        write_whole(folder / name, json.dumps(results, indent=1) + "\n")
    write_whole(OUT / "table.md", table(found))
    console.print(table(found))


if __name__ == "__main__":
    main()
