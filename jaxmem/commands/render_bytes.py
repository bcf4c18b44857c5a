"""`jaxmem render` of a recording in bytes, under policies that play it whole."""

from collections.abc import Sequence

from jaxmem.commands import checked, tell_where, terminal
from jaxmem.commands.byte_policies import check_byte_policies
from jaxmem.configuration import UsageError
from jaxmem.evaluation.provenance import provenance
from jaxmem.recordings import load_library, read_trace
from jaxmem.recordings.byte_play import byte_results, events_in_bytes, play_in_bytes
from jaxmem.render.byte_play import (
    byte_frames,
    byte_markdown,
    byte_table,
    draw_byte_map,
)
from jaxmem.render.progress import StagesDisplay
from jaxmem.render.video import save_gif, save_mp4
from jaxmem.run_folder import RunFolder
from jaxmem.settings.verbs import RenderSettings
from jaxmem.settings.workload import WORKLOADS, TraceSettings


def run(settings: RenderSettings, command: str, by: str) -> int:
    """Plays the recording, prints the table, draws, writes the run folder.

    Args:
        by: the policy for which it is played in bytes.
    """
    console = terminal()
    workload = checked_workload(settings, by)
    policies: Sequence[str] = check_byte_policies(settings.policies)
    found = (
        checked(read_trace, workload.path)
        if workload.path is not None
        else checked(load_library, workload.name or "")
    )
    events, notes = checked(events_in_bytes, found, None)
    with checked(RunFolder, "render", found.name, settings.out, settings.overwrite) as folder:
        with StagesDisplay(console) as display:
            played = checked(play_in_bytes, events, policies, workload.slack, display.report)
        results = byte_results(played, events.alignment, command, notes)
        console.print(byte_table(results))
        with StagesDisplay(console) as display:
            display.report("drawing")
            shown = played.shown(settings.requests)
            draw_byte_map(folder.file("memory.png"), shown)
            made = ["memory.png"]
            frames = byte_frames(shown) if settings.gif or settings.mp4 else []
            if settings.gif:
                save_gif(folder.file("race.gif"), frames, settings.seconds)
                made.append("race.gif")
            if settings.mp4:
                checked(save_mp4, folder.file("race.mp4"), frames, settings.seconds)
                made.append("race.mp4")
        folder.write_config(settings.plain(), command)
        folder.write_table(byte_markdown(results))
        folder.write_results({**results, **provenance()})
    tell_where(console, folder.path, f"results.json, table.md, {', '.join(made)}")
    return 0


def checked_workload(settings: RenderSettings, by: str) -> TraceSettings:
    """Returns the recording that is asked for.

    Raises:
        UsageError: it is none, or it is to be played as no recording in bytes is.
    """
    workload = settings.workload
    if not isinstance(workload, TraceSettings):
        raise UsageError(
            f"policies: {by} plays recordings in bytes: take workload=trace workload.path=FILE"
        )
    if (workload.path is None) == (workload.name is None):
        raise UsageError("workload trace needs workload.path=FILE or workload.name=RECORDING")
    if settings.cells is not None:
        raise UsageError(f"cells is {settings.cells}; {by} plays in bytes: leave it away")
    usual = WORKLOADS["trace"]
    for key in ("episodes", "window", "live", "lifetime_hints"):
        if getattr(workload, key) != getattr(usual, key):
            raise UsageError(
                f"workload.{key} is {getattr(workload, key)}; {by} plays whole recordings in "
                "bytes: leave it away"
            )
    return workload
