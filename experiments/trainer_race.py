"""One trainer with one seed: how much its policy fails, by the CPU seconds that it has trained.

`python experiments/trainer_race.py trainer=pqn seed=0 out=FILE`, by an interpreter that has the
trainer's package; `trainers_study.py` runs all of them. On the clock is what trains: environment
steps, gradients, and the tuning of rules that a learner begins with; off it are the drawing of
sequences, compilation, and validation. It counts CPU seconds of all cores together, which other
work on the machine changes less than those on the wall, told beside them.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from typing import Any

from raced_trainers import ENTRIES, TASK, Clock, Script, Trainer
from study_options import read_options

from jaxmem.evaluation.provenance import provenance
from jaxmem.evaluation.run import failed_share
from jaxmem.names import nearest
from jaxmem.policies import Policy
from jaxmem.whole_files import write_whole
from jaxmem.workloads.registry import workload

FIRST, GROWTH = 0.5, 1.4  # CPU seconds before the first validation, and their factor to the next
RUNGS = (1 / 64, 1 / 16, 1 / 4, 1)  # of the whole run, where each point is a run of its own
VALIDATION = 256  # sequences that nothing is trained on, the same for all


@dataclass
class Options:
    """What can be asked for."""

    trainer: str = "branching"  # of `ENTRIES`
    seed: int = 0
    limit: float = 120.0  # CPU seconds of training
    out: str = "row.json"


@dataclass(frozen=True)
class Point:
    """Where a trainer stands at a validation."""

    cpu: float  # seconds of training, of all cores together
    wall: float  # seconds of training
    steps: int  # environment steps, over all arenas
    failed: float  # % of the requests of the validation sequences


def main() -> None:
    """Runs the trainer, and writes its row."""
    options = read_options(Options, sys.argv[1:])
    if options.trainer not in ENTRIES:
        raise SystemExit(f"trainer={options.trainer}{nearest(options.trainer, ENTRIES)}")
    entry, clock, judging = ENTRIES[options.trainer], Clock(), Clock()
    # Before the race, so that what is not installed is told before it.
    about = {"packages": {name: version(name) for name in entry.packages}, **provenance()}
    trainer = entry.make(clock, options.seed, **entry.settings)
    task = workload(TASK)
    requests = task.requests("validation", 0, VALIDATION)

    def judge(player: Policy) -> float:
        with judging.running():
            return failed_share(player, requests, task)

    def report(point: Point) -> None:
        print(f"{point.cpu:.1f} CPU s, {point.steps:,} steps: {point.failed:.2f} %", flush=True)

    load, run = os.getloadavg()[0], ladder if hasattr(trainer, "compiled") else race
    points = run(trainer, clock, judge, options.limit, report)
    row = {
        **question(options.trainer, options.seed, options.limit),
        "unit": trainer.unit,
        "points": [asdict(point) for point in points],
        "preparing": time.process_time() - clock.cpu - judging.cpu,
        "judging": judging.cpu,
        "load": [load, os.getloadavg()[0]],
        **about,
    }
    write_whole(options.out, json.dumps(row, indent=1) + "\n")


def question(trainer: str, seed: int, limit: float) -> dict[str, Any]:
    """Returns what a row answers; rows of another question do not stand in the same table."""
    asked = {"trainer": trainer, "seed": seed, "limit": limit, "validation": VALIDATION}
    return {**asked, "settings": ENTRIES[trainer].settings}


def race(
    trainer: Trainer,
    clock: Clock,
    judge: Callable[[Policy], float],
    limit: float,
    report: Callable[[Point], None] = lambda point: None,
) -> list[Point]:
    """Trains to the end of the run or to the limit, and validates on the way, ever more seldom."""
    done, points, before = 0, list[Point](), clock.cpu

    def validate() -> None:
        failed = judge(trainer.player())
        points.append(Point(clock.cpu, clock.wall, done * trainer.unit, failed))
        report(points[-1])

    validate()
    for seconds in _times(limit):
        if clock.cpu >= seconds:
            continue
        while clock.cpu < seconds and done < trainer.units:
            pace = done / (clock.cpu - before) if done else 0.0
            units = max(1, min(round(pace * (seconds - clock.cpu)), trainer.units - done))
            with clock.running():
                trainer.advance(units)
            done += units
        validate()
        if done == trainer.units:
            break
    return points


def ladder(
    script: Script,
    clock: Clock,
    judge: Callable[[Policy], float],
    limit: float,
    report: Callable[[Point], None] = lambda point: None,
) -> list[Point]:
    """Trains anew for each point, ever longer, up to the whole run or to the limit."""
    points, fit = list[Point](), script.units
    for share in RUNGS:
        units = min(max(1, round(share * script.units)), fit)
        train, begun = script.compiled(units), replace(clock)
        with clock.running():
            trained = train()
        cpu, wall = clock.cpu - begun.cpu, clock.wall - begun.wall
        points.append(Point(cpu, wall, units * script.unit, judge(script.player(trained))))
        report(points[-1])
        fit = int(units * limit / cpu)
        if fit <= units:
            break
    return points


def _times(limit: float) -> Iterator[float]:
    seconds = FIRST
    while seconds < limit:
        yield seconds
        seconds *= GROWTH
    yield limit


if __name__ == "__main__":
    main()
