"""`jaxmem plan FILE`."""

import signal
from collections.abc import Sequence

from jaxmem.commands import checked, tell_where, terminal
from jaxmem.commands.training_run import TERMINATED
from jaxmem.configuration import UsageError
from jaxmem.evaluation.provenance import provenance
from jaxmem.learning.stopping import Stop
from jaxmem.names import nearest
from jaxmem.recordings import alignment_of, read_trace
from jaxmem.recordings.packing import check_packing, packing_lines
from jaxmem.recordings.plan_board import Board
from jaxmem.recordings.plan_task import PlanTask, plan_task
from jaxmem.recordings.planning import PLANNERS, plan, why_not
from jaxmem.render.plan_picture import draw_plan
from jaxmem.render.plan_report import PlanResults, plan_markdown, plan_table, plan_verdict
from jaxmem.render.progress import TimeDisplay
from jaxmem.run_folder import RunFolder
from jaxmem.settings.recordings import PlanSettings

STOPPED_STATUS = 130  # exit status after Ctrl-C, as a shell has it


def run(settings: PlanSettings, command: str) -> int:
    """Plans, writes the run folder, prints the table and the verdict."""
    console = terminal()
    check_planners(settings.planners)
    recording = checked(read_trace, settings.file)
    alignment = settings.alignment or alignment_of(recording)
    task = checked(plan_task, recording, alignment)
    planners, notes = _planners_of(settings.planners, task)
    out, overwrite = settings.out, settings.overwrite
    with checked(RunFolder, "plan", recording.name, out, overwrite) as folder, Stop() as stop:
        with TimeDisplay(console, settings.seconds) as display:
            board = checked(
                plan,
                task,
                planners,
                settings.seconds,
                settings.seed,
                lambda board: display.report(board.seconds, _found(board)),
                lambda: stop.heard is not None,
            )
        results = _plan_results(board, command, notes, interrupted=stop.heard is not None)
        assert board.best is not None
        start = board.best.start
        _check_plan(task, board)
        folder.write_packing(packing_lines(recording, start, alignment, recording.written))
        folder.write_config(settings.plain(), command)
        folder.write_table(plan_markdown(results))
        folder.write_results({**results, **provenance()})
        starts = start * alignment
        draw_plan(folder.file("plan.png"), results, starts, recording.size, recording.lifetime)
        console.print(plan_table(results), "")
    for note in results["notes"]:
        console.print(note, soft_wrap=True)
    tell_where(console, folder.path, "offsets.csv, results.json, table.md, plan.png")
    console.print("", results["verdict"], sep="\n")
    statuses = {signal.SIGINT: STOPPED_STATUS, signal.SIGTERM: TERMINATED}
    return statuses[stop.heard] if stop.heard else 0


def check_planners(names: Sequence[str] | None) -> None:
    """Raises UsageError where these are no planners, none, or one is there twice."""
    allowed = ", ".join(PLANNERS)
    if names is not None and not names:
        raise UsageError(f"planners is []; name one or more of {allowed}")
    for name in names or ():
        if name not in PLANNERS:
            known = nearest(name, PLANNERS)
            raise UsageError(f"planners: unknown planner {name!r}{known}")
    if names is not None and len(set(names)) < len(names):
        raise UsageError(f"planners is {list(names)}; name each once")


def _planners_of(names: Sequence[str] | None, task: PlanTask) -> tuple[list[str], list[str]]:
    """Returns the planners that can plan this, and why others cannot.

    Raises:
        UsageError: one that was asked for cannot, or none can.
    """
    reasons = {name: why_not(name, task) for name in names or PLANNERS}
    against = [reason for reason in reasons.values() if reason]
    planners = [name for name, reason in reasons.items() if not reason]
    if against and (names is not None or not planners):
        raise UsageError(f"planners: {'; '.join(against)}")
    return planners, [f"Left out: {reason}." for reason in against]


def _found(board: Board) -> str:
    if board.best is None:
        return "planning"
    ratio = board.best.height / board.task.peak_live
    return f"{ratio:.4f} x peak live, by {board.best.method}"


def _check_plan(task: PlanTask, board: Board) -> None:
    """Makes sure that the best packing is one before it is written."""
    assert board.best is not None
    start = board.best.start
    check_packing(start, task.size, task.death)
    fixed = task.pinned >= 0
    if (start[fixed] != task.pinned[fixed]).any():
        raise ValueError("a pinned buffer was moved")
    if (start % task.multiple).any():
        raise ValueError("a buffer lies at no multiple of its alignment")


def _plan_results(
    board: Board, command: str, notes: Sequence[str], *, interrupted: bool
) -> PlanResults:
    """Makes the results.json, but for what it was computed with."""
    task, best = board.task, board.best
    assert best is not None
    unit, recording = task.alignment, task.recording
    results: PlanResults = {
        "command": command,
        "trace": recording.name,
        "buffers": recording.requests,
        "pinned": int((task.pinned >= 0).sum()),
        "aligned": int((task.multiple > 1).sum()),
        "alignment": unit,
        "arena_needed": best.height * unit,
        "peak_live": task.peak_live * unit,
        "lower_bound": board.lower_bound * unit,
        "ratio": best.height / task.peak_live,
        "planner": best.method,
        "proven": board.proven,
        "interrupted": interrupted,
        "seconds": round(board.seconds, 3),
        "heights": {
            planner: [[round(seconds, 3), height * unit] for seconds, height in heights]
            for planner, heights in board.heights.items()
        },
        "notes": [*notes, *board.notes, *(f"{note}." for note in _planners_left_out(task))],
        "verdict": "",
    }
    results["verdict"] = plan_verdict(results)
    return results


def _planners_left_out(task: PlanTask) -> list[str]:
    """Returns what the reader of the file has to say, but for what is not left out here."""
    taken = ("buffers with an offset", "buffers with an alignment")
    return [note for note in task.recording.about.notes if not note.startswith(taken)]
