"""`jaxmem train`."""

import dataclasses
from typing import Any

from rich.console import Console

from jaxmem.commands import check_list, check_switch, checked, workload_of
from jaxmem.commands.compare import draw_pictures, rivals, show
from jaxmem.commands.resume import resumed
from jaxmem.configuration import UsageError
from jaxmem.evaluation.compare import check_comparison, compare
from jaxmem.learning.checkpoint import Checkpoints
from jaxmem.learning.learners import check_training, q_of
from jaxmem.learning.stopping import Terminated
from jaxmem.learning.train import TrainResult, train
from jaxmem.learning.training import Keeping
from jaxmem.metrics import FILE, MetricsFile
from jaxmem.policies.saved import save_policy
from jaxmem.render import draw_learning_curve
from jaxmem.render.progress import StagesDisplay, TrainingDisplay
from jaxmem.run_folder import CHECKPOINTS, RunFolder

TERMINATED = 143  # exit status after SIGTERM, as a shell has it


def run(config: dict[str, Any], command: str) -> int:
    """Trains, compares, prints the table, writes the run folder with the policy in it."""
    console = Console()
    anew = config["resume"] is None
    config, command = resumed(config, command)
    # A recording is trained on in windows, so that there is something left to test on.
    windows = {"episodes": "windows"} if config["workload"]["source"] == "trace" else {}
    task = workload_of(config, **windows)
    settings, network = dict(config["learner"]), dict(config["network"])
    job = {
        "learner": settings.pop("name"),
        "seed": config["seed"],
        "network": network.pop("name"),
        **network,
        **config["environment"],
        **settings,
    }
    others = rivals(config, task)
    question = {
        "sequences": config["sequences"],
        "seed": config["seed"],
        "reference": config["reference"],
        "measures": check_list(config, "measures"),
    }
    _, settings = checked(check_training, task, **job)
    learned = q_of(settings, task, job["holes"])
    checked(check_comparison, policies=others, task=task, learned=learned, **question)
    seconds, keep = checkpoint_settings(config)
    folder = checked(
        RunFolder, "train", task.name, config["out"], check_switch(config, "overwrite")
    )
    folder.write_config(config, command)

    def tell(sentence: str) -> None:
        console.print(sentence, style="bold", highlight=False)

    for note in task.notes:
        console.print(note, highlight=False)
    checkpoints = Checkpoints(folder.file(CHECKPOINTS), tell)
    if anew:
        checkpoints.remove()
    try:
        with TrainingDisplay(console) as display:
            result = train(
                task,
                listeners=[MetricsFile(folder.file(FILE), tell), display],
                keeping=Keeping(checkpoints, seconds),
                **job,
            )
    except Terminated as stopped:
        tell(f"{stopped}; jaxmem train resume={folder.path} goes on")
        return TERMINATED
    save_policy(folder.file("policy.safetensors"), result.policy.parameters.network, result.card)
    if result.note:
        tell(
            f"{result.note}; the best policy so far is kept, and jaxmem train "
            f"resume={folder.path} goes on"
        )
    with StagesDisplay(console) as stages:
        comparison = checked(
            compare, [*others, result.policy], task, report=stages.report, **question
        )
        stages.report("drawing")
        draw_pictures(comparison, folder)
        draw_curve(result, folder)
    results = {
        **comparison.results,
        "command": command,
        "notes": [*comparison.results["notes"], *filter(None, (result.guide, result.note))],
        "training": {
            "steps": result.steps,
            "episodes": result.episodes,
            "seconds": result.seconds,
            "seed": result.seed,
            "finished": not result.note,
            "validation_references": result.references,
            "curve": [dataclasses.asdict(point) for point in result.curve],
        },
    }
    folder.write_results(results)
    if result.note or keep:
        checkpoints.close()
    else:
        checkpoints.remove()
    show(console, results, folder)
    return 0


def checkpoint_settings(config: dict[str, Any]) -> tuple[float, bool]:
    """Seconds between two checkpoints, and whether those of a finished run are kept."""
    given = config["checkpoint"]
    seconds, keep = given["seconds"], given["finished"]
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= 0:
        raise UsageError(f"checkpoint.seconds is {seconds!r}; a number of at least 0")
    if not isinstance(keep, bool):
        raise UsageError(f"checkpoint.finished is {keep!r}; it must be true or false")
    return float(seconds), keep


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
