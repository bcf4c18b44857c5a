"""`jaxmem search`: a search for the settings with which training fails least."""

import dataclasses
import functools
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from jaxmem.commands import checked, tell_where, terminal, training_of
from jaxmem.commands.resume import resumed
from jaxmem.commands.training_run import TrainingRun, save_learned
from jaxmem.configuration import UsageError
from jaxmem.evaluation.provenance import provenance
from jaxmem.evaluation.rules import Rules
from jaxmem.evaluation.tightness import check_tight
from jaxmem.learning.result import TrainResult
from jaxmem.learning.search import SearchPlan, check_counts, plan_search, search
from jaxmem.learning.space import about
from jaxmem.learning.stopping import Terminated
from jaxmem.learning.study import Study, Trial, check_optuna
from jaxmem.policies.policy_file import load_policy
from jaxmem.render.grid import grid_table
from jaxmem.render.progress import SearchDisplay, StagesDisplay
from jaxmem.render.search import draw_importances, draw_trials, search_markdown, trials_table
from jaxmem.run_folder import RESULTS, RunFolder, is_finished
from jaxmem.settings.verbs import SearchSettings

STUDY, BEST, TRIALS = "study.db", "best", "trials"
# What a trial comes to depends on these, and on nothing else that can be set.
ASKED = (
    *("workload", "environment", "network", "learner", "evaluation", "cells", "seed", "seeds"),
)
INTERRUPTED_STATUS = 130  # exit status after Ctrl-C, as a shell has it


def run(settings: SearchSettings, command: str) -> int:
    """Searches, tests the best trial beside the rules, and writes what all trials came to."""
    console = terminal()
    checked(check_optuna)
    anew = settings.resume is None and settings.overwrite
    settings, command = resumed("search", settings, command)
    plan = check(settings)
    training_run, study = _opened(settings, command, plan, console, anew=anew)
    trials, batch = settings.trials, settings.batch
    with training_run, study:
        policies = _Policies(training_run.folder.path, study)
        try:
            with SearchDisplay(console, len(study.trials), trials) as display:
                finished = search(
                    plan,
                    study,
                    trials=trials,
                    batch=batch,
                    watcher=display,
                    checkpointing=training_run.checkpointing,
                    forget=lambda: training_run.end(finished=True),
                    save=policies.save,
                )
        except Terminated as stopped:
            return training_run.terminated(stopped)
        training_run.end(finished)
        if not finished:
            training_run.tell(
                f"interrupted after {len(study.trials)} of {trials} trials; "
                f"{training_run.how_to_go_on} goes on"
            )
        if study.best is None:
            if finished:
                training_run.tell(
                    f"none of {len(study.trials)} trials has come to anything: see above"
                )
            return 1 if finished else INTERRUPTED_STATUS
        folder = policies.promote(study.best.number)
        with StagesDisplay(console) as stages:
            tested, failed = _test_best(settings, plan, study.best, folder, stages)
        results = {
            "command": command,
            **tested,
            "importances": study.importances(),
            "trials": [_trial_entry(trial) for trial in study.trials],
            "training": {"finished": finished},
        }
        # Shown first: a full disk is no reason to lose what was computed.
        console.print(trials_table(results), "", grid_table(results), "", sep="\n")
        with StagesDisplay(console) as stages:
            stages.report("drawing")
            _draw_trials(results, training_run.folder)
        training_run.folder.write_sequences(failed)
        training_run.folder.write_table(search_markdown(results))
        training_run.folder.write_results(results)
    tell_where(console, training_run.folder.path, f"results.json, table.md, pictures, {BEST}/")
    return 0


def check(settings: SearchSettings) -> SearchPlan:
    """Returns what is to be searched, once all of it can be; raises UsageError for what cannot."""
    run_config = training_of(settings)
    plan = checked(plan_search, run_config, settings.space, settings.seeds)
    checked(check_counts, settings.trials, settings.batch, len(plan.seeds))
    checked(check_tight, run_config.task, run_config.seed)
    return plan


def _opened(
    settings: SearchSettings, command: str, plan: SearchPlan, console: Console, *, anew: bool
) -> tuple[TrainingRun, Study]:
    """The run folder and the study in it: one that is there is gone on with, unless `anew`."""
    plain = settings.plain()
    asked = {**{name: plain[name] for name in ASKED}, "space": about(plan.space)}
    opened = functools.partial(
        Study,
        space=plan.space,
        asked=asked,
        first=plan.defaults,
        seed=settings.seed,
        sampler=settings.sampler,
    )
    study = None
    out = None if settings.out is None else Path(settings.out)
    if out is not None and (out / STUDY).exists() and not anew:
        study = checked(opened, out / STUDY)
        if is_finished(out) and len(study.trials) >= settings.trials:
            study.close()
            raise UsageError(
                f"{out} already holds a search of {len(study.trials)} trials, which is finished; "
                "more trials=N go on with it, overwrite=true begins anew"
            )
    given = dataclasses.replace(settings, overwrite=anew or study is not None)
    task = plan.config.task
    with ExitStack() as failing:
        if study is not None:
            failing.callback(study.close)
        training_run = TrainingRun(given, command, "search", task.name, console, anew=study is None)
        failing.push(training_run)
        # Of fewer trials: until all are done, the search is not.
        if is_finished(training_run.folder.path):
            training_run.folder.file(RESULTS).unlink()
        if study is None:
            for name in (BEST, TRIALS):
                shutil.rmtree(training_run.folder.file(name), ignore_errors=True)
            training_run.folder.file(STUDY).unlink(missing_ok=True)
            study = checked(opened, training_run.folder.file(STUDY))
        failing.pop_all()
    for note in task.notes:
        console.print(note)
    return training_run, study


class _Policies:
    """The policies of the best trial: below trials/NUMBER/ while it may yet be beaten."""

    def __init__(self, folder: Path, study: Study) -> None:
        self._folder, self._study = folder, study

    def save(self, number: int, members: Sequence[TrainResult]) -> None:
        """Writes what the seeds of a trial have learnt; of others only the best so far is kept."""
        best = None if self._study.best is None else str(self._study.best.number)
        for earlier in (self._folder / TRIALS).glob("*"):
            if earlier.name != best:
                shutil.rmtree(earlier, ignore_errors=True)
        for member in members:
            save_learned(self._of(number) / f"seed-{member.seed}", member)

    def promote(self, number: int) -> Path:
        """best/, with the policies of this trial."""
        best = self._folder / BEST
        if self._of(number).exists():
            shutil.rmtree(best, ignore_errors=True)
            self._of(number).rename(best)
        shutil.rmtree(self._folder / TRIALS, ignore_errors=True)
        return best

    def _of(self, number: int) -> Path:
        return self._folder / TRIALS / str(number)


def _test_best(
    settings: SearchSettings,
    plan: SearchPlan,
    best: Trial,
    folder: Path,
    stages: StagesDisplay,
) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    """The best trial and every rule on the same test sequences, as a grid of one choice has it.

    Returns:
        That, and failed requests of each sequence in %, by name: float64[P].
    """
    task = plan.config.task
    rules = Rules(
        task,
        settings.seed,
        settings.sequences,
        settings.evaluation.tuning_sequences,
        stages.report,
    )
    stages.report("playing the best trial")
    names = [f"seed-{seed}" for seed in plan.seeds]
    players = [load_policy(folder / name / "policy.safetensors") for name in names]
    failed = rules.beside(players)
    results = {
        "workload": task.name,
        "cells": task.cells,
        "sequences": settings.sequences,
        "seed": settings.seed,
        **provenance(),
        "seeds": list(plan.seeds),
        "best_trial": best.number,
        "choices": [
            {
                "title": f"trial {best.number}",
                "settings": best.settings,
                "validation_failed": best.failed,
                **rules.figures(failed),
            }
        ],
        "best": 0,
        **rules.about,
        "members": [
            {
                "choice": 0,
                "seed": seed,
                "policy": f"{BEST}/{name}",
                "validation_failed": by_seed,
                "failed_requests": float(of.mean()),
            }
            for seed, name, by_seed, of in zip(plan.seeds, names, best.by_seed, failed, strict=True)
        ],
        "notes": [],
    }
    return results, rules.failed | dict(zip(names, failed, strict=True))


def _trial_entry(trial: Trial) -> dict[str, object]:
    return {**dataclasses.asdict(trial), "validation_failed": trial.failed}


def _draw_trials(results: dict[str, Any], folder: RunFolder) -> None:
    """trials.png; and importance.png, where there are trials enough to tell."""
    draw_trials(folder.file("trials.png"), results["trials"])
    if results["importances"]:
        draw_importances(folder.file("importance.png"), results["importances"])
