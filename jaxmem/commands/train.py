"""`jaxmem train`."""

import dataclasses
import shlex

from jaxmem.carded_file import POLICY_FILE
from jaxmem.commands import checked, grid, tell_where, terminal, training_of
from jaxmem.commands.compare import compared_policies, draw_pictures, show
from jaxmem.commands.multihost import WRITTEN, join_hosts, train_along
from jaxmem.commands.resume import resumed
from jaxmem.commands.training_run import TrainingRun, save_learned
from jaxmem.evaluation.compare import Comparison, answer
from jaxmem.evaluation.question import Question, question_of
from jaxmem.evaluation.tightness import check_tight
from jaxmem.learning import hosts
from jaxmem.learning.config import TrainConfig
from jaxmem.learning.grid import Grid
from jaxmem.learning.result import TrainResult
from jaxmem.learning.stopping import Terminated
from jaxmem.learning.train import train
from jaxmem.loggers import check_loggers
from jaxmem.render import draw_learning_curve
from jaxmem.render.progress import StagesDisplay, TrainingDisplay
from jaxmem.run_folder import RunFolder
from jaxmem.runs import LEARNED
from jaxmem.settings.learner import AnyConfig
from jaxmem.settings.verbs import TrainSettings
from jaxmem.whole_files import unwritable

RATES = ("learning_rate", "final_learning_rate")  # of every learner


def run(settings: TrainSettings, command: str) -> int:
    """Trains, compares, prints the table, writes the run folder with the policy in it."""
    console, resume = terminal(), settings.resume
    join_hosts(settings.hosts)
    settings, command = resumed("train", settings, command)
    asked = check(settings)
    if isinstance(asked, Grid):
        return grid.run(settings, command, asked, resume=resume)
    run_config, question = asked
    task = run_config.task
    if not hosts.is_first():
        return train_along(train, run_config)
    training_run = TrainingRun(settings, command, "train", task.name, console, anew=resume is None)
    with training_run:
        training_run.log(settings.loggers, {LEARNED: settings.plain()})
        for note in task.notes:
            console.print(note)
        try:
            with TrainingDisplay(console) as display:
                listeners = [*training_run.listeners, display]
                result = train(
                    run_config, listeners=listeners, checkpointing=training_run.checkpointing()
                )
        except Terminated as stopped:
            return training_run.terminated(stopped)
        saved = _saved(result, training_run)
        if result.interrupted:
            training_run.tell(
                f"{result.note}; the best policy so far is kept; "
                f"{training_run.how_to_go_on} goes on"
            )
        elif result.note:
            training_run.tell(
                f"{result.note}; the best policy so far is kept; with a tenth of the rates:"
            )
            console.print(slower(settings.learner, command), soft_wrap=True)
        with StagesDisplay(console) as stages:
            comparison = answer(question.with_learned(result.policy), stages.report)
        results = _results(result, comparison, command)
        # Shown first: a full disk is no reason to lose what was computed.
        show(console, results)
        with StagesDisplay(console) as stages:
            stages.report("drawing")
            draw_pictures(comparison, training_run.folder)
            draw_curve(result, training_run.folder)
        if not saved or not training_run.folder.file(POLICY_FILE).exists():
            save_learned(training_run.folder.path, result)
        training_run.folder.write_sequences(comparison.failed)
        training_run.folder.write_results(results)
        training_run.end(finished=not result.interrupted)
    tell_where(console, training_run.folder.path, "results.json, table.md, pictures")
    hosts.barrier(WRITTEN)
    return 0


def check(settings: TrainSettings) -> tuple[TrainConfig, Question] | Grid:
    """Returns the run that is asked for and what it is judged by, or the grid of runs.

    Raises:
        UsageError: it cannot be.
    """
    checked(check_loggers, settings.loggers)
    run_config = training_of(settings)
    if settings.seeds is not None or settings.grid:
        return grid.check(settings, run_config)
    question = checked(
        question_of,
        compared_policies(settings.policies, run_config.task),
        run_config.task,
        settings.sequences,
        settings.seed,
        settings.reference,
        settings.measures,
        tuning_sequences=settings.evaluation.tuning_sequences,
        learned=run_config.q,
    )
    checked(check_tight, run_config.task, run_config.seed)
    return run_config, question


def _saved(result: TrainResult, training_run: TrainingRun) -> bool:
    """Writes the policy before it is judged, which takes a while; whether it could be written."""
    try:
        save_learned(training_run.folder.file(POLICY_FILE).parent, result)
    except OSError as error:
        training_run.tell(f"{unwritable(error)}; it is tried again when the policy has been judged")
        return False
    return True


def _results(result: TrainResult, comparison: Comparison, command: str) -> dict[str, object]:
    return {
        **comparison.results,
        "command": command,
        "notes": [*comparison.results["notes"], *filter(None, (result.base_policy, result.note))],
        "training": {
            "steps": result.steps,
            "episodes": result.episodes,
            "seconds": result.seconds,
            "seed": result.seed,
            "finished": not result.interrupted,
            "validation_references": result.references,
            "start": result.start,
            "kept_at": result.kept_at,
            "curve": [dataclasses.asdict(point) for point in result.curve],
        },
    }


def slower(settings: AnyConfig, command: str) -> str:
    """The command that trains once more, in a new folder, with a tenth of the learning rates."""
    dropped = ("out", "overwrite", *(f"learner.{rate}" for rate in RATES))
    words = [word for word in shlex.split(command) if word.partition("=")[0] not in dropped]
    rates = [f"learner.{rate}={getattr(settings, rate) / 10:g}" for rate in RATES]
    return shlex.join([*words, *rates])


def draw_curve(result: TrainResult, folder: RunFolder) -> None:
    """learning_curve.png: failures on validation sequences against steps."""
    draw_learning_curve(
        folder.file("learning_curve.png"),
        [point.steps for point in result.curve],
        [point.failed for point in result.curve],
        result.references,
        start=result.start,
        kept=result.kept_at,
        episodes=result.episodes,
        ylabel="failed requests, validation (%)",
    )
