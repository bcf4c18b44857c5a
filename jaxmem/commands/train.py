"""`jaxmem train`."""

import dataclasses
from typing import Any

from rich.console import Console

from jaxmem.commands import check_list, check_switch, checked, workload_of
from jaxmem.commands.compare import draw_memory, rivals, show
from jaxmem.evaluation.compare import check_comparison, compare
from jaxmem.learning.train import TrainResult, check_training, q_of, train
from jaxmem.policies.saved import save_policy
from jaxmem.render import draw_learning_curve
from jaxmem.render.progress import StagesDisplay, TrainingDisplay
from jaxmem.run_folder import RunFolder


def run(config: dict[str, Any], command: str) -> int:
    """Trains, compares, prints the table, writes the run folder with the policy in it."""
    console = Console()
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
    folder = checked(
        RunFolder, "train", task.name, config["out"], check_switch(config, "overwrite")
    )
    folder.write_config(config)
    for note in task.notes:
        console.print(note, highlight=False)
    with TrainingDisplay(console) as display:
        result = train(
            task,
            started=display.started,
            report=lambda at: display.report(
                at.steps, at.episodes, at.steps_per_second, at.loss, at.failed
            ),
            **job,
        )
    save_policy(folder.file("policy.safetensors"), result.policy.parameters.network, result.card)
    if result.note:
        console.print(f"{result.note}; the best policy so far is kept", style="bold")
    with StagesDisplay(console) as stages:
        comparison = checked(
            compare, [*others, result.policy], task, report=stages.report, **question
        )
        stages.report("drawing")
        draw_memory(comparison, folder)
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
            "validation_references": result.references,
            "curve": [dataclasses.asdict(point) for point in result.curve],
        },
    }
    folder.write_results(results)
    show(console, results, folder)
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
