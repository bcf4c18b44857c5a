"""`jaxmem train`."""

import dataclasses
import shlex
from typing import Any

from rich.console import Console

from jaxmem.commands import check_list, checked, grid, training_of
from jaxmem.commands.compare import draw_pictures, rivals, show
from jaxmem.commands.kept import KeptRun
from jaxmem.commands.processes import WRITTEN, follow, join_hosts
from jaxmem.commands.resume import resumed
from jaxmem.evaluation.compare import check_comparison, compare
from jaxmem.evaluation.tightness import check_tight
from jaxmem.learning import hosts
from jaxmem.learning.devices import check_devices
from jaxmem.learning.learners import check_training, q_of
from jaxmem.learning.stopping import Terminated
from jaxmem.learning.train import TrainResult, train
from jaxmem.loggers import check_loggers
from jaxmem.policies.saved import save_policy
from jaxmem.render import draw_learning_curve
from jaxmem.render.progress import StagesDisplay, TrainingDisplay
from jaxmem.run_folder import RunFolder
from jaxmem.runs import LEARNED

RATES = ("learning_rate", "final_learning_rate")  # of every learner


def run(config: dict[str, Any], command: str) -> int:
    """Trains, compares, prints the table, writes the run folder with the policy in it."""
    console = Console()
    join_hosts(config["hosts"])
    anew = config["resume"] is None
    config, command = resumed("train", config, command)
    checked(check_loggers, check_list(config, "loggers"))
    task, job = training_of(config)
    if grid.asked_for(config):
        return grid.run(config, command, task, job, anew=anew)
    others = rivals(config, task)
    question = {
        "sequences": config["sequences"],
        "seed": config["seed"],
        "reference": config["reference"],
        "measures": check_list(config, "measures"),
    }
    game = {name: value for name, value in job.items() if name != "devices"}
    _, settings = checked(check_training, task, **game)
    checked(check_devices, job["devices"], settings.arenas_in_play)
    learned = q_of(settings, task, job["holes"])
    checked(check_comparison, policies=others, task=task, learned=learned, **question)
    checked(check_tight, task, job["seed"])
    if not hosts.is_first():
        return follow(train, task, **job)
    kept = KeptRun(config, command, "train", task.name, console, anew=anew)
    kept.log(config["loggers"], {LEARNED: config})
    folder = kept.folder
    for note in task.notes:
        console.print(note, highlight=False)
    try:
        with TrainingDisplay(console) as display:
            listeners = [*kept.listeners, display]
            result = train(task, **job, listeners=listeners, keeping=kept.keeping())
    except Terminated as stopped:
        return kept.terminated(stopped)
    save_policy(folder.file("policy.safetensors"), result.policy.parameters.network, result.card)
    if result.interrupted:
        kept.tell(f"{result.note}; the best policy so far is kept; {kept.how_to_go_on} goes on")
    elif result.note:
        kept.tell(f"{result.note}; the best policy so far is kept; with a tenth of the rates:")
        console.print(slower(config, command), markup=False, highlight=False, soft_wrap=True)
    with StagesDisplay(console) as stages:
        comparison = checked(
            compare, [*others, result.policy], task, report=stages.report, **question
        )
        stages.report("drawing")
        draw_pictures(comparison, folder)
        draw_curve(result, folder)
    finished = not result.interrupted
    results = {
        **comparison.results,
        "command": command,
        "notes": [*comparison.results["notes"], *filter(None, (result.guide, result.note))],
        "training": {
            "steps": result.steps,
            "episodes": result.episodes,
            "seconds": result.seconds,
            "seed": result.seed,
            "finished": finished,
            "validation_references": result.references,
            "start": result.start,
            "kept_at": result.kept_at,
            "curve": [dataclasses.asdict(point) for point in result.curve],
        },
    }
    folder.write_sequences(comparison.failed)
    folder.write_results(results)
    kept.end(finished)
    show(console, results, folder)
    hosts.together(WRITTEN)
    return 0


def slower(config: dict[str, Any], command: str) -> str:
    """The command that trains once more, in a new folder, with a tenth of the learning rates."""
    dropped = ("out", "overwrite", *(f"learner.{rate}" for rate in RATES))
    words = [word for word in shlex.split(command) if word.partition("=")[0] not in dropped]
    rates = [f"learner.{rate}={config['learner'][rate] / 10:g}" for rate in RATES]
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
