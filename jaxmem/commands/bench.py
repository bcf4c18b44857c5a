"""`jaxmem bench`."""

import shlex
from typing import Any

import numpy as np

from jaxmem.arena.making import MAX_CELLS
from jaxmem.benchmark.rollouts import Setting, check_settings
from jaxmem.benchmark.throughput import Plan, measure
from jaxmem.commands import check_list, check_switch, checked, tell_where, terminal
from jaxmem.configuration import UsageError
from jaxmem.policies import policy
from jaxmem.render.progress import StagesDisplay
from jaxmem.render.throughput import bench_markdown, bench_tables
from jaxmem.render.throughput_picture import draw_throughput
from jaxmem.rules import RULES
from jaxmem.run_folder import RunFolder

MAX_ARENAS = 65_536
THRESHOLD = 5  # cells, of a rule that has one: any costs the same
QUICK = {
    "cells": [100, 1024],
    "arenas": [1024, 8192],
    "training": False,  # to compile the learner and evaluation takes as long as all the rest
    "rounds": 3,
    "seconds": 0.2,
}


def run(config: dict[str, Any], command: str) -> int:
    """Measures, prints the tables, writes the run folder."""
    console = terminal()
    config = shortened(config, command) if check_switch(config, "quick") else config
    plan = plan_of(config)
    overwrite = check_switch(config, "overwrite")
    with checked(RunFolder, "bench", plan.player.name, config["out"], overwrite) as folder:
        folder.write_config(config, command)
        with StagesDisplay(console) as display:
            results = {"command": command, **measure(plan, display.report)}
        # Shown first: a full disk is no reason to lose what was measured.
        for table in bench_tables(results, console.width):
            console.print(table, "")
        with StagesDisplay(console) as display:
            display.report("drawing")
            for along in ("arenas", "cells"):
                draw_throughput(folder.file(f"throughput_{along}.png"), results, along)
        folder.write_table(bench_markdown(results))
        folder.write_results(results)
    tell_where(console, folder.path, "results.json, table.md, pictures")
    return 0


def shortened(config: dict[str, Any], command: str) -> dict[str, Any]:
    """Puts `QUICK` into the configuration, but for what the command line sets."""
    given = {word.partition("=")[0].lstrip("+") for word in shlex.split(command)}
    return {**config, **{key: value for key, value in QUICK.items() if key not in given}}


def plan_of(config: dict[str, Any]) -> Plan:
    """Plans what a configuration asks for; raises UsageError for what cannot be measured."""
    cells, arenas = _wholes(config, "cells", MAX_CELLS), _wholes(config, "arenas", MAX_ARENAS)
    observations = check_list(config, "observation")
    if not observations:
        raise UsageError("observation is []; name one or more")
    rounds, seconds = config["rounds"], config["seconds"]
    if not _is_whole(rounds, 1000):
        raise UsageError(f"rounds is {rounds!r}; it must be a whole number from 1 to 1000")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= 60:
        raise UsageError(f"seconds is {seconds!r}; it must be a number above 0, at most 60")
    name = str(config["policy"])
    tuning = RULES[name].tuning if name in RULES else None
    numbers = np.squeeze([THRESHOLD, *tuning.untuned]) if tuning else None
    player = checked(policy, name, numbers)
    checked(check_settings, player, observations, config["representation"])
    sizes = [(count, arenas[0]) for count in cells] + [(cells[0], count) for count in arenas]
    return Plan(
        player=player,
        settings=tuple(
            Setting(*size, observation)
            for observation in dict.fromkeys(observations)
            for size in dict.fromkeys(sizes)
        ),
        rounds=rounds,
        seconds=seconds,
        representation=config["representation"],
        references=check_switch(config, "references"),
        training=check_switch(config, "training"),
    )


def _wholes(config: dict[str, Any], name: str, most: int) -> list[int]:
    values = check_list(config, name)
    if not values or not all(_is_whole(value, most) for value in values):
        raise UsageError(f"{name} is {values}; it must be whole numbers from 1 to {most}")
    return values


def _is_whole(value: Any, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most
