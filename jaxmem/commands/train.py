"""`jaxmem train`."""

import dataclasses
from typing import Any

from rich.console import Console

from jaxmem.commands import check_list, checked, grid, training_of
from jaxmem.commands.compare import draw_pictures, rivals, show
from jaxmem.commands.kept import KeptRun
from jaxmem.commands.processes import WRITTEN, follow, join_hosts
from jaxmem.commands.resume import resumed
from jaxmem.evaluation.compare import check_comparison, compare
from jaxmem.learning import hosts
from jaxmem.learning.result import TrainResult
from jaxmem.learning.stopping import Terminated
from jaxmem.learning.train import train
from jaxmem.loggers import check_loggers
from jaxmem.policies.saved import save_policy
from jaxmem.render import draw_learning_curve
from jaxmem.render.progress import StagesDisplay, TrainingDisplay
from jaxmem.run_folder import RunFolder
from jaxmem.runs import LEARNED


def run(config: dict[str, Any], command: str) -> int:
    """Trains, compares, prints the table, writes the run folder with the policy in it."""
    console = Console()
    join_hosts(config["hosts"])
    anew = config["resume"] is None
    config, command = resumed("train", config, command)
    checked(check_loggers, check_list(config, "loggers"))
    run_config = training_of(config)
    task = run_config.task
    if grid.asked_for(config):
        return grid.run(config, command, run_config, anew=anew)
    others = rivals(config, task)
    question = {
        "sequences": config["sequences"],
        "seed": config["seed"],
        "reference": config["reference"],
        "measures": check_list(config, "measures"),
    }
    checked(check_comparison, policies=others, task=task, learned=run_config.q, **question)
    if not hosts.is_first():
        return follow(train, run_config)
    kept = KeptRun(config, command, "train", task.name, console, anew=anew)
    kept.log(config["loggers"], {LEARNED: config})
    folder = kept.folder
    for note in task.notes:
        console.print(note, highlight=False)
    try:
        with TrainingDisplay(console) as display:
            listeners = [*kept.listeners, display]
            result = train(run_config, listeners=listeners, checkpointing=kept.checkpointing())
    except Terminated as stopped:
        return kept.terminated(stopped)
    save_policy(folder.file("policy.safetensors"), result.policy.parameters.network, result.card)
    if result.note:
        kept.tell(f"{result.note}; the best policy so far is kept; {kept.how_to_go_on} goes on")
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
            "curve": [dataclasses.asdict(point) for point in result.curve],
        },
    }
    folder.write_sequences(comparison.failed)
    folder.write_results(results)
    kept.end(finished)
    show(console, results, folder)
    hosts.together(WRITTEN)
    return 0


def draw_curve(result: TrainResult, folder: RunFolder) -> None:
    """learning_curve.png: failures on validation sequences against steps."""
    draw_learning_curve(
        folder.file("learning_curve.png"),
        [point.steps for point in result.curve],
        [point.failed for point in result.curve],
        result.references,
        episodes=result.episodes,
        ylabel="failed requests, validation (%)",
    )
