"""The table of `recorders.py`: what each recorder costs, counts and foretells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from jaxmem.commands.recorders import MEMRAY, PRELOAD, VALGRIND
from jaxmem.native.recorder import DEPTH
from jaxmem.render.tables import markdown_row

PLAIN = "plain"
KINDS = (PLAIN, PRELOAD, MEMRAY, VALGRIND)

Seconds = dict[str, dict[str, list[float]]]  # by program and recorder, one a round


@dataclass
class Foretold:
    """How far one run foretells another: R^2 of log lifetimes, and call sites that are known."""

    program: str
    requests: int  # of the run that is foretold
    known_same: float  # share of the requests of a run on the same input
    known_other: float  # and on another, which the rest is about
    size: float
    site: float
    both: float


@dataclass
class Counted:
    """Requests of one run as two recorders have them."""

    program: str
    preload: int
    valgrind: int  # its own total


def ratios(seconds: dict[str, list[float]]) -> dict[str, float]:
    """CPU seconds over those of the plain program, medians of both, by recorder."""
    plain = median(seconds[PLAIN])
    return {kind: median(of) / plain for kind, of in seconds.items() if kind != PLAIN}


def table(
    seconds: Seconds,
    reach: Mapping[str, float],
    counted: Sequence[Counted],
    foretold: Sequence[Foretold],
    rounds: tuple[int, int],
) -> str:
    """Writes table.md.

    Args:
        reach: times plain that our own recorder should cost at most, by program.
        rounds: timings of each, and with valgrind.
    """
    head = ("CPU seconds over the plain run", "plain, s", *KINDS[1:], "valgrind over preload")
    lines = ["# What it costs to record", "", _verdict(seconds, reach), "", markdown_row(head)]
    lines.append("|:--" + "|--:" * (len(head) - 1) + "|")
    for name, kinds in seconds.items():
        ratio = ratios(kinds)
        cells = [f"{ratio[kind]:.2f}" if kind in ratio else "" for kind in KINDS[1:]]
        cheaper = f"{ratio[VALGRIND] / ratio[PRELOAD]:.0f}" if VALGRIND in ratio else ""
        lines.append(markdown_row([name, f"{median(kinds[PLAIN]):.2f}", *cells, cheaper]))
    lines += [
        "",
        f"Medians of {rounds[0]} runs in turns (valgrind: {rounds[1]}), user and system "
        f"time of the program with the recorder in it; call sites of {DEPTH} frames.",
        "",
        markdown_row(("requests of one run", "preload", "valgrind's own total")),
        "|:--|--:|--:|",
    ]
    for row in counted:
        lines.append(markdown_row([row.program, f"{row.preload:,}", f"{row.valgrind:,}"]))
    head = ("run 2 foretold by run 1", "requests", "keys known, same input", "other input")
    head = (*head, "R² by size", "by site", "by both")
    lines += ["", markdown_row(head), "|:--" + "|--:" * (len(head) - 1) + "|"]
    for row in foretold:
        known = (f"{100 * row.known_same:.2f} %", f"{100 * row.known_other:.2f} %")
        shares = (f"{share:.2f}" for share in (row.size, row.site, row.both))
        lines.append(markdown_row([row.program, f"{row.requests:,}", *known, *shares]))
    return "\n".join(lines) + "\n"


def _verdict(seconds: Seconds, reach: Mapping[str, float]) -> str:
    """What the figures say, in a sentence."""
    costs = {name: ratios(kinds) for name, kinds in seconds.items()}
    ours = [ratio[PRELOAD] for ratio in costs.values()]
    within = sum(ratio[PRELOAD] <= reach[name] for name, ratio in costs.items())
    said = (
        f"Our own recorder costs {min(ours):.2f} to {max(ours):.2f} times the plain run: at most "
        f"1.3, or 1.6 where each object of Python is recorded, for {within} of {len(ours)} programs"
    )
    slow = [ratio[VALGRIND] / ratio[PRELOAD] for ratio in costs.values() if VALGRIND in ratio]
    times = f"; valgrind costs {min(slow):.0f} to {max(slow):.0f} times as much" if slow else ""
    return f"{said}{times}."
