"""`jaxmem render`."""

from collections.abc import Sequence

import numpy as np
from PIL.Image import Image

from jaxmem.commands import checked, render_bytes, tell_where, terminal, workload_of
from jaxmem.commands.compare import AT_HOME, draw_fragments, draw_memory, show_memory
from jaxmem.commands.shadowed import tell_shadowed
from jaxmem.configuration import UsageError
from jaxmem.evaluation.compare import Comparison, answer
from jaxmem.evaluation.question import question_of
from jaxmem.extras import how_to_get
from jaxmem.policies.policy_file import SHIPPED
from jaxmem.recordings.policy_file import plays_in_bytes
from jaxmem.render.animation import draw_frames
from jaxmem.render.palette import count
from jaxmem.render.progress import StagesDisplay
from jaxmem.render.video import ffmpeg, save_gif, save_mp4
from jaxmem.run_folder import RunFolder
from jaxmem.settings.verbs import RenderSettings
from jaxmem.workloads.registry import Workload

MOST_RACERS = 12  # policies in a race
MADE = (".png", ".gif", ".mp4")


def run(settings: RenderSettings, command: str) -> int:
    """Plays one sequence, draws it, writes the run folder."""
    console, gif, mp4 = terminal(), settings.gif, settings.mp4
    tell_shadowed(console, settings.policies)
    if len(settings.policies or ()) > MOST_RACERS:
        raise UsageError(
            f"{len(settings.policies or ())} policies; at most {MOST_RACERS} in one picture"
        )
    if mp4 and ffmpeg() is None:
        raise UsageError(f"mp4=true needs ffmpeg: install it, or {how_to_get('demo')}")
    in_bytes = next(filter(plays_in_bytes, settings.policies or ()), None)
    if in_bytes is not None:
        return render_bytes.run(settings, command, in_bytes)
    task = workload_of(settings)
    policies, requests = rendered_policies(settings.policies, task), settings.requests
    measures = ("failed_requests", "external_fragmentation", "holes_per_cell")
    question = checked(
        question_of,
        policies,
        task,
        sequences=1,
        seed=settings.seed,
        measures=measures,
        tuning_sequences=settings.tuning_sequences,
    )
    out, overwrite = settings.out, settings.overwrite
    with checked(RunFolder, "render", task.name, out, overwrite) as folder:
        folder.write_config(settings.plain(), command)
        with StagesDisplay(console) as display:
            played = checked(answer, question, display.report)
        if task.name == "scenario":
            show_memory(console, played)
        with StagesDisplay(console) as display:
            display.report("drawing")
            draw_memory(played, folder, requests)
            draw_fragments(played, folder)
            frames = race(played, requests) if gif or mp4 else []
            if gif:
                save_gif(folder.file("race.gif"), frames, settings.seconds)
            if mp4:
                checked(save_mp4, folder.file("race.mp4"), frames, settings.seconds)
        folder.write_results({**played.results, "command": command})
        made = ", ".join(sorted(file.name for file in folder.path.iterdir() if file.suffix in MADE))
    tell_where(console, folder.path, made)
    return 0


def rendered_policies(policies: Sequence[str] | None, task: Workload) -> Sequence[str]:
    """Returns the policies asked for; by default two fits, and one trained for such a workload."""
    if policies is not None:
        return policies
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
