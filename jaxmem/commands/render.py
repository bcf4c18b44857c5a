"""`jaxmem render`."""

from typing import Any

import numpy as np
from PIL.Image import Image

from jaxmem.commands import check_list, check_switch, checked, tell_where, terminal, workload_of
from jaxmem.commands.compare import AT_HOME, draw_fragments, draw_memory, show_memory
from jaxmem.configuration import UsageError
from jaxmem.evaluation.compare import STRONGEST, Comparison, check_comparison, compare
from jaxmem.extras import how_to_get
from jaxmem.policies.saved import SHIPPED
from jaxmem.render.animation import draw_frames
from jaxmem.render.palette import count
from jaxmem.render.progress import StagesDisplay
from jaxmem.render.video import ffmpeg, save_gif, save_mp4
from jaxmem.run_folder import RunFolder
from jaxmem.workloads.registry import Workload

MOST = 12  # policies in a race
LONGEST = 120  # seconds
MADE = (".png", ".gif", ".mp4")


def run(config: dict[str, Any], command: str) -> int:
    """Plays one sequence, draws it, writes the run folder."""
    console = terminal()
    task = workload_of(config)
    question = {
        "policies": players(config, task),
        "sequences": 1,
        "seed": config["seed"],
        "reference": STRONGEST,
        "measures": ["failed_requests", "external_fragmentation", "holes_per_cell"],
    }
    checked(check_comparison, task=task, **question)
    gif, mp4 = check_switch(config, "gif"), check_switch(config, "mp4")
    seconds, requests = check_numbers(config)
    if len(question["policies"]) > MOST:
        raise UsageError(f"{len(question['policies'])} policies; at most {MOST} in one picture")
    if mp4 and ffmpeg() is None:
        raise UsageError(f"mp4=true needs ffmpeg: install it, or {how_to_get('demo')}")
    overwrite = check_switch(config, "overwrite")
    with checked(RunFolder, "render", task.name, config["out"], overwrite) as folder:
        folder.write_config(config, command)
        with StagesDisplay(console) as display:
            played = checked(compare, on=task, report=display.report, **question)
        if task.name == "scenario":
            show_memory(console, played)
        with StagesDisplay(console) as display:
            display.report("drawing")
            draw_memory(played, folder, requests)
            draw_fragments(played, folder)
            frames = race(played, requests) if gif or mp4 else []
            if gif:
                save_gif(folder.file("race.gif"), frames, seconds)
            if mp4:
                checked(save_mp4, folder.file("race.mp4"), frames, seconds)
        folder.write_results({**played.results, "command": command})
        made = ", ".join(sorted(file.name for file in folder.path.iterdir() if file.suffix in MADE))
    tell_where(console, folder.path, made)
    return 0


def players(config: dict[str, Any], task: Workload) -> list[Any]:
    """Returns the policies asked for; by default two fits, and one trained for such a workload."""
    if config["policies"] is not None:
        return check_list(config, "policies")
    trained = [name for name in (task.name, "generalist") if name in SHIPPED][:1]
    return ["first", "best", *(trained if task.cells in AT_HOME else ["worst"])]


def race(played: Comparison, requests: int) -> list[Image]:
    """Draws the frames of the first `requests` requests."""
    task = played.workload
    shown = min(task.length, requests)
    return draw_frames(
        {name: start[0, :shown] for name, start in played.starts.items()},
        np.asarray(played.requests.size[0, :shown]),
        np.asarray(played.requests.lifetime[0, :shown]),
        task.cells,
        task.layout,
        title=f"{task.name}: {count(shown, 'request')} in {count(task.cells, 'cell')}",
    )


def check_numbers(config: dict[str, Any]) -> tuple[float, int]:
    """Returns the seconds that a race takes, and the requests shown."""
    seconds, requests = config["seconds"], config["requests"]
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not number or not 0 < seconds <= LONGEST:
        raise UsageError(f"seconds is {seconds!r}; a number above 0, at most {LONGEST}")
    if isinstance(requests, bool) or not isinstance(requests, int) or requests < 1:
        raise UsageError(f"requests is {requests!r}; a whole number of at least 1")
    return float(seconds), requests
