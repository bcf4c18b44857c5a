"""One command for an accelerator: speed, memory, and the same answers as the CPU.

`python experiments/accelerator.py out=DIR` takes about six minutes on one GPU and leaves
results.json, table.md and accelerator.png: environment steps a second at three arena sizes, with as
many arenas as it takes until more of them are no faster; training steps of PQN and states labelled
by branching; 32 members of a grid under vmap; the largest recording of the library replayed in
bytes; a learned policy judged; and every answer beside that of the CPU. On a CPU it runs a short
form. Its options are the fields of `Options`, as `seconds=0.1 out=DIR`.
"""

import functools
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from matplotlib.ticker import FixedLocator, LogLocator, NullLocator
from rich.console import Console
from study_options import read_options

from jaxmem.benchmark.learning import Evaluation
from jaxmem.benchmark.rollouts import Rollout, Setting
from jaxmem.benchmark.timing import Timed, time_for
from jaxmem.evaluation.provenance import provenance
from jaxmem.evaluation.run import failed_shares, run
from jaxmem.learning.config import train_config
from jaxmem.learning.members import Members
from jaxmem.learning.program import Program
from jaxmem.policies import FITS, policy
from jaxmem.policies.policy_file import load_policy
from jaxmem.recordings import library_names, load_library
from jaxmem.recordings.orders import order_of
from jaxmem.recordings.replay import events_of, replay
from jaxmem.render.curves import short_count
from jaxmem.render.palette import GRID, INK
from jaxmem.render.progress import StagesDisplay
from jaxmem.render.style import FIGURE_WIDTH, new_figure, picture_style, save_figure
from jaxmem.render.tables import markdown_row
from jaxmem.whole_files import write_whole
from jaxmem.workloads.registry import workload

WORKLOAD = "large-short-lived"
OBSERVATIONS = {"none": "arena alone", "bitmap": "observation + mask"}
FASTER = 1.1  # more arenas that are not so much faster end the search for the most
# On a CPU: enough to see that every part works.
SHORT = {
    "cells": (100,),
    "arenas": (256, 512),
    "pqn_arenas": (128,),
    "branching_arenas": (128,),
    "members": 2,
    "updates": 1,
    "replays": "smallest",
    "sequences": 32,
}
WHOLE = {
    "cells": (100, 256, 1024),
    "arenas": (4_096, 32_768, 131_072, 524_288, 2_097_152),
    "pqn_arenas": (1_024, 8_192, 65_536),
    "branching_arenas": (4_096, 32_768),
    "members": 32,
    "updates": 8,
    "replays": "largest",
    "sequences": 512,
}
console = Console()


@dataclass
class Options:
    """What can be asked for."""

    seconds: float = 0.5  # of each timing
    budget: float = 330.0  # seconds in all, after which nothing new is begun
    out: str = "experiments/results/accelerator"


class Clock:
    """The time that is left; what there is no time for is named in the table."""

    def __init__(self, budget: float) -> None:
        self._end = time.perf_counter() + budget
        self.skipped: list[str] = []

    def allows(self, what: str) -> bool:
        """Tells whether there is time for something, and remembers it where there is none."""
        if time.perf_counter() < self._end:
            return True
        self.skipped.append(what)
        return False


class Block:
    """Some updates of a group of members, as one call."""

    def __init__(self, members: Members, updates: int) -> None:
        params = members.params()
        program = Program(members.programs(), members.begin(), params, devices=1)
        self._train_block = program.compiled(params)
        self._state, self._params = program.start(params), params
        self._updates = np.int32(updates)
        self.steps = updates * members.config.settings.steps_per_update * len(members.places)
        self.once()

    def once(self) -> None:
        """Plays and learns."""
        self._state, _ = jax.block_until_ready(
            self._train_block(self._state, self._params, self._updates)
        )


def main(words: list[str]) -> None:
    """Measures everything, and writes what came of it."""
    options = options_of(words)
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    backend = jax.default_backend()
    size = SHORT if backend == "cpu" else WHOLE
    clock = Clock(options.budget)
    results: dict[str, Any] = {
        "command": " ".join(["python experiments/accelerator.py", *words]),
        "options": asdict(options),
        "backend": backend,
        "form": "short" if size is SHORT else "whole",
        **provenance(),
    }
    with StagesDisplay(console) as display:
        report = display.report
        results["answers"] = answers(size, report)
        results["environment"] = environment(size, options, clock, report)
        results["training"] = training(size, options, clock, report)
        results["replay"] = replayed(size, clock, report)
        results["evaluation"] = evaluated(options, clock, report)
        results["skipped"] = clock.skipped
        results["peak_bytes"] = memory()
        report("drawing")
        text = table(results)
        write_whole(out / "results.json", json.dumps(results, indent=1) + "\n")
        write_whole(out / "table.md", text)
        if results["environment"]:
            draw(out / "accelerator.png", results)
    console.print(text, markup=False, highlight=False)
    wrong = [row["what"] for row in results["answers"] if not row["agrees"]]
    console.print(
        f"{out}: results.json, table.md, accelerator.png; "
        + (f"NOT the CPU's answers: {', '.join(wrong)}" if wrong else "all answers are the CPU's")
    )
    if wrong:
        raise SystemExit(3)


def options_of(words: list[str]) -> Options:
    """Reads the options; SystemExit for others."""
    options = read_options(Options, words)
    if not 0 < options.seconds <= 60 or not options.budget > 0:
        raise SystemExit(
            f"seconds is {options.seconds:g}, budget {options.budget:g}; seconds of a timing are "
            "above 0, at most 60, and the budget is above 0"
        )
    return options


def answers(size: dict[str, Any], report: Callable[[str], None]) -> list[dict[str, Any]]:
    """Plays rules and a network here and on the CPU: starts of rules exactly, failures nearly."""
    task = workload(WORKLOAD)
    requests = task.requests("test", 0, size["sequences"])
    rows = []
    for name in (*FITS, "two_ended"):
        report(f"the answers of {name}")
        player = policy(name, np.int32(4) if name == "two_ended" else None)
        here = np.asarray(run(player, requests, task).start)
        with on_cpu():
            there = np.asarray(run(player, requests, task).start)
        differing = int((here != there).sum())
        rows.append({"what": f"starts of {name}", "differing": differing, "agrees": not differing})
    report("the answers of a network")
    player = load_policy(WORKLOAD)
    here = failed_shares(player, requests, task).mean()
    with on_cpu():
        there = failed_shares(player, requests, task).mean()
    # Networks round elsewhere, and one other choice changes what follows: a tenth of a point.
    difference = float(abs(here - there))
    rows.append(
        {"what": "failed % of the network", "differing": difference, "agrees": difference < 0.1}
    )
    return rows


@contextmanager
def on_cpu() -> Iterator[None]:
    """Within it, what is computed is computed by the CPU."""
    with jax.default_device(jax.devices("cpu")[0]):
        yield


def environment(
    size: dict[str, Any], options: Options, clock: Clock, report: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Steps a second with more and more arenas, until they are no faster or do not fit."""
    rows = []
    for cells in size["cells"]:
        for observation in OBSERVATIONS:
            best = 0.0
            for arenas in size["arenas"]:
                what = f"{arenas:,} arenas of {cells} cells, {OBSERVATIONS[observation]}"
                if not clock.allows(what):
                    break
                report(what)
                make = functools.partial(
                    Rollout, policy("best"), Setting(cells, arenas, observation)
                )
                found = timed(make, options.seconds)
                rows.append({"cells": cells, "arenas": arenas, "observation": observation, **found})
                if found["steps_per_second"] is None or found["steps_per_second"] < FASTER * best:
                    break
                best = found["steps_per_second"]
    return rows


def training(
    size: dict[str, Any], options: Options, clock: Clock, report: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Training steps a second: PQN and branching with more arenas, and a grid of members."""
    asked = [("pqn", arenas, 1) for arenas in size["pqn_arenas"]]
    asked += [("branching", arenas, 1) for arenas in size["branching_arenas"]]
    asked += [("pqn", 128, size["members"])]
    rows = []
    for learner, arenas, count in asked:
        what = f"{learner}, {arenas:,} arenas, {count} {'member' if count == 1 else 'members'}"
        if not clock.allows(what):
            break
        report(what)
        settings: dict[str, Any] = {"base_policy": "best"} if learner == "branching" else {}
        config = train_config(WORKLOAD, learner, arenas=arenas, devices=1, **settings)
        rules = (policy("best") if learner == "branching" else None,) * count
        members = Members(config, tuple(range(count)), (config.settings,), rules)
        make = functools.partial(Block, members, size["updates"])
        found = timed(make, options.seconds)
        rows.append({"learner": learner, "arenas": arenas, "members": count, **found})
    return rows


def timed(make: Callable[[], Timed], seconds: float) -> dict[str, Any]:
    """Steps a second of a program, and the seconds that it took to make; None: no room for it."""
    began = time.perf_counter()
    try:
        program = make()
        made = time.perf_counter() - began
        rate = max(time_for(program, seconds / 3).per_second for _ in range(3))
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return {"steps_per_second": None, "made_in": None}
    return {"steps_per_second": rate, "made_in": made}


def replayed(
    size: dict[str, Any], clock: Clock, report: Callable[[str], None]
) -> dict[str, Any] | None:
    """Replays a recording of the library in bytes, under best-fit; the second time is timed."""
    choose = min if size["replays"] == "smallest" else max
    recording = choose(map(load_library, library_names()), key=lambda one: one.events)
    if not clock.allows(f"the recording {recording.name}"):
        return None
    report(f"replaying {recording.name}")
    events = events_of(recording, 16)
    first = replay(events, events.peak_live, order_of("best"))
    began = time.perf_counter()
    again = replay(events, events.peak_live, order_of("best"))
    seconds = time.perf_counter() - began
    assert np.array_equal(first.failed, again.failed)
    return {"recording": recording.name, "events": recording.events, "seconds": seconds}


def evaluated(
    options: Options, clock: Clock, report: Callable[[str], None]
) -> dict[str, Any] | None:
    """Judges a learned policy on test sequences."""
    if not clock.allows("evaluation of a learned policy"):
        return None
    report("judging a learned policy")
    return {
        "policy": WORKLOAD,
        **timed(lambda: Evaluation(load_policy(WORKLOAD)), options.seconds),
    }


def memory() -> int | None:
    """Returns the most bytes of the device that were in use; None: it does not say."""
    stats = jax.devices()[0].memory_stats() or {}
    return stats.get("peak_bytes_in_use")


def table(results: dict[str, Any]) -> str:
    """Writes table.md."""
    lines = [
        "# On an accelerator",
        "",
        f"{results['device']}; the {results['form']} form. Speed: the best of three timings of "
        f"{results['options']['seconds'] / 3:.2g} s or one call; compilation is apart.",
        "",
        markdown_row(["cells", "arenas", "step", "steps / s", "made in"]),
        "|--:|--:|:--|--:|--:|",
    ]
    for row in results["environment"]:
        lines.append(
            markdown_row(
                [
                    f"{row['cells']:,}",
                    f"{row['arenas']:,}",
                    f"best-fit, {OBSERVATIONS[row['observation']]}",
                    *_rate(row),
                ]
            )
        )
    lines += [
        "",
        markdown_row(["learner", "arenas", "members", "steps / s", "made in"]),
        "|:--|--:|--:|--:|--:|",
    ]
    for row in results["training"]:
        words = [row["learner"], f"{row['arenas']:,}", str(row["members"]), *_rate(row)]
        lines.append(markdown_row(words))
    lines += ["", *_sentences(results), "", f"`{results['command']}`", ""]
    return "\n".join(lines)


def _rate(row: dict[str, Any]) -> list[str]:
    if row["steps_per_second"] is None:
        return ["no room", "-"]
    return [f"{row['steps_per_second']:,.0f}", f"{row['made_in']:.0f} s"]


def _sentences(results: dict[str, Any]) -> Iterator[str]:
    """Yields what is no table, a paragraph each."""
    if of := results["replay"]:
        yield (
            f"- {of['recording']}: {of['events']:,} events replayed under best-fit in "
            f"{of['seconds']:.1f} s."
        )
    if of := results["evaluation"]:
        yield f"- The policy {of['policy']} judged: {_rate(of)[0]} requests / s."
    for row in results["answers"]:
        verdict = "as on the CPU" if row["agrees"] else "NOT as on the CPU"
        yield f"- {row['what']}: {verdict} (differing: {row['differing']:g})."
    if results["peak_bytes"] is not None:
        yield f"- Memory of the device, at most: {results['peak_bytes'] / 2**30:.2f} GiB."
    if results["skipped"]:
        yield f"- No time was left for: {'; '.join(results['skipped'])}."


def draw(path: Path, results: dict[str, Any]) -> None:
    """Draws accelerator.png: steps a second against arenas, a line for each size of arena."""
    rows = [row for row in results["environment"] if row["steps_per_second"] is not None]
    shades = ("#0072b2", "#d55e00", "#009e73")
    cells = list(dict.fromkeys(row["cells"] for row in rows))
    with picture_style():
        figure = new_figure(FIGURE_WIDTH, 4.2)
        panels = figure.subplots(1, len(OBSERVATIONS), sharey=True)
        figure.suptitle(f"Steps a second, best-fit, on {results['device']}", x=0.01, ha="left")
        for axes, (observation, title) in zip(panels, OBSERVATIONS.items(), strict=True):
            for size, shade in zip(cells, shades, strict=False):
                points = [
                    (row["arenas"], row["steps_per_second"])
                    for row in rows
                    if (row["observation"], row["cells"]) == (observation, size)
                ]
                if points:
                    axes.plot(*zip(*points, strict=True), "o-", color=shade, label=f"{size} cells")
            axes.set(xscale="log", yscale="log", xlabel="arenas side by side")
            axes.set_title(title, loc="left", color=INK)
            axes.xaxis.set_major_locator(FixedLocator(sorted({row["arenas"] for row in rows})))
            axes.yaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_minor_locator(NullLocator())
                axis.set_major_formatter(lambda value, _: short_count(value))
            axes.grid(color=GRID)
            if axes.lines:
                axes.legend(frameon=False)
        panels[0].set_ylabel("environment steps / s")
        save_figure(figure, path)


if __name__ == "__main__":
    main(sys.argv[1:])
