"""`jaxmem bench`."""

import shlex
from dataclasses import replace

import numpy as np

from jaxmem.benchmark.rollouts import Setting, check_settings
from jaxmem.benchmark.throughput import Plan, measure_throughput
from jaxmem.commands import checked, tell_where, terminal
from jaxmem.policies import policy
from jaxmem.render.progress import StagesDisplay
from jaxmem.render.throughput import bench_markdown, bench_tables
from jaxmem.render.throughput_picture import draw_throughput
from jaxmem.rules import RULES
from jaxmem.run_folder import RunFolder
from jaxmem.settings.verbs import BenchSettings

THRESHOLD = 5  # cells, of a rule that has one: any costs the same
QUICK = {
    "cells": (100, 1024),
    "arenas": (1024, 8192),
    "training": False,  # to compile the learner and evaluation takes as long as all the rest
    "rounds": 3,
    "seconds": 0.2,
}


def run(settings: BenchSettings, command: str) -> int:
    """Measures, prints the tables, writes the run folder."""
    console = terminal()
    settings = shortened(settings, command) if settings.quick else settings
    plan = plan_of(settings)
    out, overwrite = settings.out, settings.overwrite
    with checked(RunFolder, "bench", plan.player.name, out, overwrite) as folder:
        folder.write_config(settings.plain(), command)
        with StagesDisplay(console) as display:
            results = {"command": command, **measure_throughput(plan, display.report)}
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


def shortened(settings: BenchSettings, command: str) -> BenchSettings:
    """Puts `QUICK` into the settings, but for what the command line sets."""
    given = {word.partition("=")[0].lstrip("+") for word in shlex.split(command)}
    return replace(settings, **{key: value for key, value in QUICK.items() if key not in given})


def plan_of(settings: BenchSettings) -> Plan:
    """Plans what is asked for; raises UsageError for what cannot be measured."""
    cells, arenas, name = settings.cells, settings.arenas, settings.policy
    tuning = RULES[name].tuning if name in RULES else None
    numbers = np.squeeze([THRESHOLD, *tuning.untuned]) if tuning else None
    player = checked(policy, name, numbers)
    checked(check_settings, player, settings.observation, settings.representation)
    sizes = [(count, arenas[0]) for count in cells] + [(cells[0], count) for count in arenas]
    return Plan(
        player=player,
        settings=tuple(
            Setting(*size, observation)
            for observation in dict.fromkeys(settings.observation)
            for size in dict.fromkeys(sizes)
        ),
        rounds=settings.rounds,
        seconds=settings.seconds,
        representation=settings.representation,
        references=settings.references,
        training=settings.training,
    )
