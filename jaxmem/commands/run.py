"""`jaxmem run POLICY -- COMMAND ...`."""

import re
import shlex
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from jaxmem.commands import checked, tell_where, terminal
from jaxmem.commands.programs import (
    executable,
    exit_status,
    exit_words,
    run_to_its_end,
    terminated_as_interrupted,
)
from jaxmem.configuration import UsageError
from jaxmem.native.allocator import LiveArena, allocator_words
from jaxmem.native.program import obstacle
from jaxmem.run_folder import RunFolder
from jaxmem.settings.recordings import RunSettings

if TYPE_CHECKING:
    from jaxmem.export.exported import Exported
    from jaxmem.recordings.live_log import LiveFigures, LiveRun
    from jaxmem.recordings.replay import BytePlayer, ReplayEvents
    from jaxmem.render.live_report import LiveResults, LiveRow

DIFFERENT = 3  # exit status where the live run is not its replay
LEAST_UNIT, MOST_UNIT = 16, 4096  # bytes
BESIDE = ("first", "best")  # rules that a run is played again under
RECORDING = "recording.npz"  # of the run folder
AMOUNT = re.compile(r"(\d+(?:\.\d+)?) ?([kmgt]?)i?b?", re.IGNORECASE)
POWERS = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}
MOST_PEAKS = 64  # peak live: a larger number is meant as bytes
UNSEEN = "the allocator was not loaded, or could keep no log"


def run(settings: RunSettings, command: str) -> int:
    """Runs the program, plays its run again, prints the table, writes the run folder."""
    console = terminal(stderr=True)
    program = executable(settings.program[0])
    if hindered := obstacle(program):
        reason = hindered.split(";")[0]
        raise UsageError(f"{settings.program[0]} cannot be run under a policy: {reason}")
    words = [program, *settings.program[1:]]
    name = Path(program).name
    # It brings JAX, which what fails before should not wait for.
    from jaxmem.export.c_source import c_source
    from jaxmem.export.indexes import kept_of

    exported, arena = _asked(settings)
    with (
        checked(RunFolder, "run", name, settings.out, settings.overwrite) as folder,
        terminated_as_interrupted(),
        tempfile.TemporaryDirectory(prefix="jaxmem-", ignore_cleanup_errors=True) as temporary,
    ):
        log = Path(temporary, "log")
        source, kept = c_source(exported), kept_of(exported)
        try:
            under = allocator_words(str(log), source, kept, arena, words, settings.depth)
        except UsageError as error:
            raise UsageError(f"{words[0]} cannot be run under a policy: {error}") from None
        code = run_to_its_end(under)
        told = f"; it ended with {exit_words(code)}" if code else ""
        found = _read_log(log, name, shlex.join(settings.program))
        if isinstance(found, str):
            said = f"{settings.program[0]}: nothing was placed: {found}{told}"
            console.print(said, soft_wrap=True)
            return DIFFERENT
        results = _live_results(found, exported, arena, command, exit_status(code), console)
        _write_live(folder, settings, command, found, results)
    _show_live(console, results, folder.path, told)
    return DIFFERENT if results["differences"] else exit_status(code)


def bytes_of(name: str, given: float | str) -> int:
    """Reads an amount of bytes, as 32768, 32KiB or 1.5 GiB.

    Raises:
        UsageError: it is none; `name` is the setting.
    """
    found = AMOUNT.fullmatch(str(given).strip())
    amount = float(found[1]) * 2 ** POWERS[found[2].lower()] if found else -1
    if not 0 <= amount < 2**62:
        raise UsageError(f"{name} is {given!r}; an amount of bytes, as 4096, 32KiB or 1.5GiB")
    return int(amount)


def _asked(settings: RunSettings) -> tuple["Exported", LiveArena]:
    """Returns the policy and the arena that are asked for.

    Raises:
        UsageError: there is no such policy, it cannot play in this arena, or that cannot be sized.
    """
    from jaxmem.export.exported import SizeRule, only_in_bytes, read_exported
    from jaxmem.recordings.profiled_policy import ProfiledPolicy
    from jaxmem.rules import ORDERED, RULES

    unit, least = settings.alignment or LEAST_UNIT, bytes_of("least", settings.least)
    threshold = settings.threshold
    if threshold is not None:
        threshold = bytes_of("threshold", threshold) // unit
    elif settings.policy in ORDERED and RULES[settings.policy].parts_by_size:
        raise UsageError(
            f"{settings.policy} needs threshold=BYTES, of the largest block that is small"
        )
    exported = checked(read_exported, settings.policy, threshold)
    policy = checked(only_in_bytes, exported, "run")
    runs: list[object] = []
    if isinstance(policy, ProfiledPolicy):
        trained = policy.training.get("alignment")
        if settings.alignment is None and isinstance(trained, int):
            unit = min(max(trained, LEAST_UNIT), MOST_UNIT)
        learned = policy.training.get("runs")
        runs = learned if isinstance(learned, list) else []
    units = _units_asked(settings, unit, least, runs)
    if not units and not isinstance(policy, SizeRule):
        raise UsageError(
            f"{settings.policy} plays in arenas that are bounded: give arena=, as arena=512MiB or "
            "arena=1.05"
        )
    return exported, LiveArena(units, unit, least, settings.least_alignment)


def _units_asked(settings: RunSettings, unit: int, least: int, runs: list[object]) -> int:
    """Returns the units of the arena; 0: it grows.

    Args:
        runs: that the policy is learned from, as its file has them.
    """
    from jaxmem.recordings import read_trace
    from jaxmem.recordings.live_check import peak_units
    from jaxmem.recordings.replay import MOST_UNITS

    arena = settings.arena
    if arena is None:
        if settings.recording is not None:
            raise UsageError("recording= is for arena=1.05, which is measured by it")
        return 0
    if isinstance(arena, str):
        units = bytes_of("arena", arena) // unit
    elif not 0 < arena <= MOST_PEAKS:
        raise UsageError(
            f"arena is {arena:g}; times the peak live of earlier runs, above 0 and at most "
            f"{MOST_PEAKS}, or bytes with their unit, as 512MiB"
        )
    else:
        if settings.recording is not None:
            earlier = checked(read_trace, settings.recording)
            peak = peak_units(earlier.size, earlier.lifetime, unit, least)
        else:
            peaks = [run["peak_live"] for run in runs if isinstance(run, dict)]
            peak = -(-max(peaks, default=0) // unit)
        if not peak:
            raise UsageError(
                f"arena={arena:g} is times the peak live of an earlier run, of which nothing is "
                "known: name it by recording=FILE, or give bytes, as arena=512MiB"
            )
        units = round(arena * peak)
    if not 1 <= units <= MOST_UNITS:
        raise UsageError(
            f"arena={arena} is {units:,} units of {unit} bytes; there may be 1 to {MOST_UNITS:,}"
        )
    return units


def events_under(exported: "Exported", run: "LiveRun") -> "ReplayEvents":
    """Makes the events that `replay` plays under a policy.

    Raises:
        ValueError: no arena holds what is live at once.
    """
    from jaxmem.recordings.profiled_policy import ProfiledPolicy
    from jaxmem.recordings.replay import events_of

    events = events_of(run.recording, run.unit)
    policy = exported.policy
    return policy.foretold(events) if isinstance(policy, ProfiledPolicy) else events


def live_player_of(exported: "Exported") -> "BytePlayer":
    """Returns what plays events under a policy."""
    from jaxmem.export.exported import only_in_bytes
    from jaxmem.recordings.hole_scorer import HoleScorer

    policy = only_in_bytes(exported, "run")
    return policy if isinstance(policy, HoleScorer) else policy.player


def _read_log(log: Path, name: str, program: str) -> "LiveRun | str":
    """Reads the log of a run; a text says why there is none."""
    from jaxmem.recordings.live_log import LiveLogError, read_live

    try:
        return read_live(log, name, program)
    except FileNotFoundError:
        return UNSEEN
    except LiveLogError as error:
        return str(error)


def _live_results(
    run: "LiveRun",
    exported: "Exported",
    arena: LiveArena,
    command: str,
    status: int,
    console: Console,
) -> "LiveResults":
    """Plays a run again, and makes the results.json, but for what it was computed with."""
    from jaxmem.recordings.learning import LITTLE_KNOWN
    from jaxmem.recordings.live_check import differences, replayed
    from jaxmem.recordings.orders import order_of
    from jaxmem.recordings.profile import UNFORETOLD
    from jaxmem.render.live_report import live_verdict
    from jaxmem.render.progress import StagesDisplay

    results: LiveResults = {
        "command": command,
        "program": run.recording.about.program,
        "policy": exported.name,
        "exit_status": status,
        "requests": run.recording.requests,
        "unit": run.unit,
        "least": arena.least,
        "arena": arena.units * run.unit,
        "live": _live_row(run.figures, run.unit),
        "replayed": {},
        "nanoseconds": run.nanoseconds,
        "peak_rss": run.peak_rss,
        "foretold": None,
        "differences": [],
        "notes": _run_notes(run, arena),
        "verdict": "",
    }
    try:
        events = events_under(exported, run)
    except ValueError as error:
        results["differences"] = [f"it cannot be played again: {error}"]
        results["verdict"] = live_verdict(results)
        return results
    if events.foretold is not None:
        foretold = float((events.foretold != UNFORETOLD).mean())
        results["foretold"] = foretold
        results["notes"].append(
            f"Of the requests {foretold:.1%} are foretold by the runs that the policy is learned "
            "from" + ("." if foretold >= LITTLE_KNOWN else ": is it of this program?")
        )
    players = {exported.name: live_player_of(exported)}
    players |= {name: order_of(name) for name in BESIDE if name != exported.name}
    with StagesDisplay(console) as display:
        for name, player in players.items():

            def report(share: float, name: str = name) -> None:
                display.report(f"playing it again under {name}: {share:.0%}")

            again = replayed(events, arena.units, player, report)
            if not results["replayed"]:
                results["differences"] = differences(run, again)
            results["replayed"][name] = _live_row(again.figures, run.unit)
    results["verdict"] = live_verdict(results)
    return results


def _live_row(figures: "LiveFigures", unit: int) -> "LiveRow":
    counted = asdict(figures)
    counted["peak_live"] *= unit
    counted["high_water"] *= unit
    return counted  # pyright: ignore[reportReturnType]


def _run_notes(run: "LiveRun", arena: LiveArena) -> list[str]:
    """Says what went elsewhere."""
    notes = []
    if arena.least:
        notes.append(f"Blocks of fewer than {arena.least:,} bytes are the C library's.")
    if arena.least_alignment:
        notes.append(
            "Blocks for which no alignment of at least "
            f"{arena.least_alignment:,} bytes is asked are the C library's."
        )
    if run.figures.failed:
        notes.append(
            f"The C library has given what found no hole: {run.figures.failed:,} requests, "
            f"{run.figures.failed_bytes:,} bytes."
        )
    if run.refused:
        notes.append(
            f"For {run.refused:,} requests the arena could have no memory; they are the C "
            "library's, and no part of this."
        )
    return notes


def _write_live(
    folder: RunFolder, settings: RunSettings, command: str, run: "LiveRun", results: "LiveResults"
) -> None:
    from jaxmem.evaluation.provenance import provenance
    from jaxmem.recordings import write_store
    from jaxmem.render.live_report import live_markdown

    folder.write_config(settings.plain(), command)
    write_store(folder.file(RECORDING), run.recording)
    folder.write_table(live_markdown(results))
    folder.write_results({**results, **provenance()})


def _show_live(console: Console, results: "LiveResults", path: Path, ended: str) -> None:
    from jaxmem.render.live_report import live_table

    console.print(live_table(results), "")
    for note in results["notes"]:
        console.print(note, soft_wrap=True)
    if ended:
        console.print(f"The program{ended.removeprefix('; it')}", soft_wrap=True)
    tell_where(console, path, f"results.json, table.md, {RECORDING}")
    console.print("", Text(results["verdict"]), *results["differences"], sep="\n", soft_wrap=True)
