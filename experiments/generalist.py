"""The generalist: one network for all workloads, in arenas of 64 to 256 cells.

`python experiments/generalist.py` trains it by branching on every task in turn, chooses its margin
on validation sequences, tests it beside the fits, and writes `generalist.safetensors` and its card
into the package, figures into `experiments/results/generalist`.
"""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.progress import track

from jaxmem.environment.environment import Environment
from jaxmem.environment.tasks import params_of
from jaxmem.evaluation.run import failed_share, measure, run
from jaxmem.evaluation.statistics import estimates
from jaxmem.evaluation.surroundings import surroundings
from jaxmem.evaluation.tuning import tuned
from jaxmem.learning.branching import BranchingConfig, make_train
from jaxmem.learning.collect import start_arenas
from jaxmem.learning.guides import MARGINS
from jaxmem.policies import CLASSICAL, Policy, policy
from jaxmem.policies.learned import Guide, learned
from jaxmem.policies.saved import Card, choice_of, save_policy
from jaxmem.workloads.registry import Workload, workload

CAPACITY, HORIZON, HOLES, SEED, TEST_SEED = 256, 320, 8, 0, 2026
TRAINING, VALIDATION, TEST = 2048, 512, 2048
UPDATES = 60  # of each task
# What it follows where nothing is worth more: best-fit's hole, small blocks low, larger ones high.
GUIDE = policy("segregated", np.array([3, 1, 1], np.int32))
# Cells beside the standard size. Larger arenas are left out where nothing fails in them.
SIZES = {
    "large-short-lived": (64, 88),
    "stack-with-leaks": (64, 84),
    "comb": (64, 256),
    "training-step": (64, 160, 256),
    "call-sites": (64, 88),
    "generational": (64, 84),
    "size-classes": (64, 88),
    "small-short-lived": (64, 80),
    "memoryless": (64, 88),
    "geometric": (64, 88),
    "robson": (64, 256),
}
HINTED = ("training-step", "call-sites")
OUT = Path(__file__).parent / "results" / "generalist"
SHIPPED = Path(__file__).parent.parent / "jaxmem" / "policies" / "shipped"
console = Console()


@dataclass(frozen=True)
class Task:
    """One workload in one size of arena."""

    name: str
    workload: Workload
    rule: Policy  # its strongest rule of the segregated kind, which plays on in branches


def tasks() -> list[Task]:
    """Every workload in every size, with and without hints, each with its tuned rule."""
    found = []
    for name, sizes in SIZES.items():
        standard = workload(name).cells
        for hints in (False, True) if name in HINTED else (False,):
            for cells in (standard, *sizes):
                options: dict[str, Any] = {"capacity": round(100 * cells / standard)}
                if hints:
                    options["hints"] = True
                task = workload(name, cells, **options)
                title = f"{name}{', hints' if hints else ''}, {cells} cells"
                found.append(Task(title, task, tuned("segregated", task, SEED)[0]))
    return found


def train(everything: list[Task]) -> tuple[Any, BranchingConfig]:
    """The parameters of one network after UPDATES updates on each task, in turn."""
    config = BranchingConfig(
        guide="segregated",
        states=1024 * UPDATES * len(everything),
        kept=4 * len(everything),
        passes=6.0,
        widths=(96, 96),
    )
    env = Environment(
        cells=CAPACITY, horizon=HORIZON, observation="packed", holes=HOLES, keep_last=False
    )
    start, block = make_train(config, env, GUIDE)
    keys = jax.random.split(jax.random.key(SEED), len(everything) + 1)
    params = [
        params_of(task.workload, "train", SEED, TRAINING, capacity=CAPACITY) for task in everything
    ]
    begin = jax.jit(lambda key, params: start_arenas(env, params, key, config.arenas))
    arenas = [begin(key, own) for key, own in zip(keys[1:], params, strict=True)]
    scales = [np.float32(1.0)] * len(everything)
    go_on = jax.jit(block, donate_argnums=0)
    learner = jax.jit(start)(keys[0], params[0])
    for turn in track(range(UPDATES), "training", console=console):
        for number, task in enumerate(everything):
            at = int(learner.update) % config.room
            learner = learner.replace(arenas=arenas[number], guide=task.rule, scale=scales[number])
            learner, _ = go_on(learner, params[number], np.int32(1))
            arenas[number] = jax.tree.map(jnp.copy, learner.arenas)
            if turn == 0:
                # Every task speaks equally loudly: its labels are made to spread by 1.
                count = int(learner.labels.count[at])
                spread = float(jnp.std(learner.labels.worth[at, :count]))
                scales[number] = np.float32(1.0 / max(spread, 1e-2))
    return jax.device_get(learner.parameters), config


def player(network: Any, config: BranchingConfig, margin: float) -> Policy:
    return learned(network, HOLES, config.widths, guide=Guide(GUIDE, np.float32(margin)))


def chosen_margin(network: Any, config: BranchingConfig, everything: list[Task]) -> float:
    """The margin that fails least beside best-fit, over all tasks, on validation sequences."""
    ratios = {margin: [] for margin in reversed(MARGINS)}
    for task in track(everything, "choosing the margin", console=console):
        validation = task.workload.requests("validation", SEED, VALIDATION)
        best = max(failed_share(policy("best"), validation, task.workload), 1e-2)
        for margin in ratios:
            mine = failed_share(player(network, config, margin), validation, task.workload)
            ratios[margin].append(mine / best)
    for margin, found in ratios.items():
        console.print(f"margin {margin:g}: {np.mean(found):.4f} of best-fit's failures")
    return min(ratios, key=lambda margin: float(np.mean(ratios[margin])))


def test(mine: Policy, everything: list[Task]) -> dict[str, Any]:
    """Failed requests of the generalist and the fits on test sequences, paired."""
    found = {}
    for task in track(everything, "testing", console=console):
        requests = task.workload.requests("test", TEST_SEED, TEST)
        players = {"learned": mine, **{name: policy(name) for name in CLASSICAL}}
        players |= {"segregated": task.rule, "its guide": GUIDE}
        failed = {
            name: measure(run(one, requests, task.workload), requests, task.workload)[
                "failed_requests"
            ]
            for name, one in players.items()
        }
        strongest = min(CLASSICAL, key=lambda name: failed[name].mean())
        pairs = np.stack([failed["learned"] - failed[name] for name in (strongest, "best")], axis=1)
        to_strongest, to_best = estimates(pairs, 0)
        found[task.name] = {
            "failed_requests": {name: float(values.mean()) for name, values in failed.items()},
            "best_of_four_fits": strongest,
            "difference": vars(to_strongest),
            "difference_to_best": vars(to_best),
        }
    return found


def table(found: dict[str, Any]) -> str:
    """The figures in Markdown."""
    lines = [
        "# One network for all workloads",
        "",
        f"Failed requests (%) on {TEST:,} test sequences of each task, and the paired differences "
        "with 95 % bootstrap intervals.",
        "",
        "| task | best of four fits | segregated, tuned on the task | generalist | "
        "difference to the fit | difference to best-fit |",
        "|:--|--:|--:|--:|--:|--:|",
    ]
    for name, one in found.items():
        failed, fit = one["failed_requests"], one["best_of_four_fits"]
        differences = [
            "{mean:+.2f} [{low:+.2f}, {high:+.2f}]".format(**one[key])
            for key in ("difference", "difference_to_best")
        ]
        lines.append(
            f"| {name} | {failed[fit]:.2f} {fit} | {failed['segregated']:.2f} | "
            f"**{failed['learned']:.2f}** | {' | '.join(differences)} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Trains, tests and ships."""
    begin = time.perf_counter()
    everything = tasks()
    network, config = train(everything)
    margin = chosen_margin(network, config, everything)
    seconds = time.perf_counter() - begin
    found = test(player(network, config, margin), everything)
    card = Card(
        holes=HOLES,
        widths=config.widths,
        guide=GUIDE.name,
        choice=choice_of(GUIDE),
        margin=margin,
        training={
            "workloads": [task.name for task in everything],
            "learner": "branching",
            "hinted": True,
            "seed": SEED,
            "settings": asdict(config),
            "seconds": seconds,
        },
    )
    SHIPPED.mkdir(exist_ok=True)
    save_policy(SHIPPED / "generalist.safetensors", network, card)
    results = {"card": asdict(card), "test_seed": TEST_SEED, "tasks": found, **surroundings()}
    OUT.mkdir(parents=True, exist_ok=True)
    for folder, name in ((OUT, "results.json"), (SHIPPED, "generalist.json")):
        (folder / name).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (OUT / "table.md").write_text(table(found), encoding="utf-8")
    console.print(table(found))


if __name__ == "__main__":
    main()
