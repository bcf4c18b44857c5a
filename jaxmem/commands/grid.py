"""`jaxmem train seeds=8 grid.learning_rate=[...]`: many members in one program."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxmem.commands import checked, tell_where, terminal
from jaxmem.commands.multihost import WRITTEN, train_along
from jaxmem.commands.training_run import TrainingRun, save_learned
from jaxmem.configuration import UsageError
from jaxmem.evaluation.provenance import provenance
from jaxmem.evaluation.rules import Rules
from jaxmem.evaluation.tightness import check_tight
from jaxmem.learning import hosts
from jaxmem.learning.config import TrainConfig
from jaxmem.learning.grid import Grid, GridResult, grid_of, train_grid
from jaxmem.learning.stopping import Terminated
from jaxmem.render.grid import grid_markdown, grid_table
from jaxmem.render.progress import GridDisplay, StagesDisplay
from jaxmem.render.study import Panel, draw_learning_bands
from jaxmem.run_folder import RunFolder
from jaxmem.settings.verbs import TrainSettings
from jaxmem.workloads.registry import Workload

CURVE_PANELS = 12  # learning curves in one picture


def check(settings: TrainSettings, run_config: TrainConfig) -> Grid:
    """Returns the members, once all of them can be trained; raises UsageError for what cannot be.

    Args:
        run_config: what all members are but for what is set for each.
    """
    if settings.policies is not None:
        raise UsageError("policies cannot be set beside seeds or grid: all rules are shown")
    grid = checked(grid_of, run_config, settings.grid, settings.seeds or 1)
    checked(check_tight, run_config.task, run_config.seed)
    return grid


def run(settings: TrainSettings, command: str, grid: Grid, *, resume: str | None) -> int:
    """Trains all members, tests them on the same sequences, and writes what they left.

    Args:
        resume: the folder of the run that this one goes on with, if any.
    """
    console, task = terminal(), grid.config.task
    if not hosts.is_first():
        return train_along(train_grid, grid)
    training_run = TrainingRun(settings, command, "train", task.name, console, anew=resume is None)
    with training_run:
        training_run.log(settings.loggers, _configs(settings, grid))
        try:
            with GridDisplay(console, grid.titles, len(grid.seeds)) as display:
                listeners = [*training_run.listeners, display]
                result = train_grid(
                    grid, listeners=listeners, checkpointing=training_run.checkpointing
                )
        except Terminated as stopped:
            return training_run.terminated(stopped)
        with StagesDisplay(console) as stages:
            tested, failed = _tested(result, settings, task, stages)
        results = _grid_results(result, tested, settings, task, command)
        # Shown first: a full disk is no reason to lose what was computed.
        console.print(grid_table(results), "")
        for place, row in enumerate(result.members):
            for member in row:
                save_learned(
                    training_run.folder.file(f"members/{_name(place, member.seed)}"), member
                )
        save_learned(training_run.folder.path, result.members[result.best][0])
        with StagesDisplay(console) as stages:
            stages.report("drawing")
            _draw_curves(result, training_run.folder)
        training_run.folder.write_sequences(failed)
        training_run.folder.write_table(grid_markdown(results))
        training_run.folder.write_results(results)
        training_run.end(finished=results["training"]["finished"])
    tell_where(console, training_run.folder.path, "results.json, table.md, curves, members/")
    hosts.barrier(WRITTEN)
    return 0


def _grid_results(
    result: GridResult,
    tested: Mapping[str, object],
    settings: TrainSettings,
    task: Workload,
    command: str,
) -> dict[str, Any]:
    """results.json."""
    members = [member for row in result.members for member in row]
    return {
        "command": command,
        "workload": task.name,
        "cells": task.cells,
        "sequences": settings.sequences,
        "seed": settings.seed,
        **provenance(),
        **tested,
        "notes": sorted({member.note for member in members if member.note}),
        "training": {
            "finished": not any(member.interrupted for member in members),
            "seconds": max(member.seconds for member in members),
        },
    }


def _tested(
    result: GridResult, settings: TrainSettings, task: Workload, stages: StagesDisplay
) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    """Every member and rule on the same test sequences, as it stands in results.json.

    Returns:
        That, and failed requests of each sequence in %, by name: float64[P].
    """
    grid = result.grid
    rules = Rules(
        task,
        settings.seed,
        settings.sequences,
        settings.evaluation.tuning_sequences,
        stages.report,
    )
    choices, members = [], []
    tried: dict[str, np.ndarray] = {}
    for place, row in enumerate(result.members):
        stages.report(f"playing {grid.titles[place]}")
        failed = rules.beside([member.policy for member in row])
        tried |= {_name(place, member.seed): of for member, of in zip(row, failed, strict=True)}
        validation = result.validation_failed[place].mean()
        choices.append(
            {
                "title": grid.titles[place],
                "settings": grid.choices[place],
                "validation_failed": float(validation) if np.isfinite(validation) else None,
                **rules.figures(failed),
            }
        )
        members += [
            {
                "choice": place,
                "seed": member.seed,
                "policy": f"members/{_name(place, member.seed)}",
                "validation_failed": member.validation_failed,
                "failed_requests": float(failed[number].mean()),
                "steps": member.steps,
                "episodes": member.episodes,
                "base_policy": member.base_policy,
                "note": member.note,
                "curve": [dataclasses.asdict(point) for point in member.curve],
            }
            for number, member in enumerate(row)
        ]
    found = {
        "seeds": list(grid.seeds),
        "choices": choices,
        "best": result.best,
        **rules.about,
        "members": members,
    }
    return found, rules.failed | tried


def _name(place: int, seed: int) -> str:
    return f"choice-{place}-seed-{seed}"


def _configs(settings: TrainSettings, grid: Grid) -> dict[str, dict[str, object]]:
    """Writes of each member what it would be asked for alone with."""
    alone = dataclasses.replace(settings, seeds=None, grid={}).plain()
    return {
        _name(place, seed): {**alone, "seed": seed, "learner": {**alone["learner"], **choice}}
        for place, choice in enumerate(grid.choices)
        for seed in grid.seeds
    }


def _draw_curves(result: GridResult, folder: RunFolder) -> None:
    """learning_curves.png: each choice with all its seeds, those that fail least first."""
    order = np.argsort(result.validation_failed.mean(axis=1), kind="stable")
    panels = [
        Panel(
            title=result.grid.titles[place],
            steps=[np.array([point.steps for point in member.curve]) for member in curves],
            failed=[np.array([point.failed for point in member.curve]) for member in curves],
            references=_strongest_reference(curves[0].references),
        )
        for place in order
        if (curves := [member for member in result.members[place] if member.curve])
    ]
    if panels:
        draw_learning_bands(folder.file("learning_curves.png"), panels[:CURVE_PANELS])


def _strongest_reference(references: dict[str, float]) -> dict[str, float]:
    strongest = min(references, key=lambda name: references[name])
    return {strongest: references[strongest]}
