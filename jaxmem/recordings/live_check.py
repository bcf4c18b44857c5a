"""A live run played again by `replay`, which has to come to the same in every placement."""

from dataclasses import dataclass

import numpy as np

from jaxmem.recordings.live_log import LiveFigures, LiveRun
from jaxmem.recordings.recording import most_live
from jaxmem.recordings.replay import BytePlayer, ReplayEvents, ReportShare, replay


@dataclass(frozen=True, eq=False)
class Placements:
    """Where R requests go, and what that comes to."""

    start: np.ndarray  # int64[R]  units; NOWHERE: it failed
    figures: LiveFigures


def replayed(
    events: ReplayEvents, cells: int, player: BytePlayer, report: ReportShare
) -> Placements:
    """Plays the events of a run in an arena of `cells` units, 0: it grows."""
    outcome = replay(events, cells, player, report=report)
    return Placements(outcome.start, figures_of(events, outcome.start))


def figures_of(events: ReplayEvents, start: np.ndarray) -> LiveFigures:
    """Counts what placements come to, int64[R] units; of blocks that failed nothing is live."""
    placed, units, size = start >= 0, events.units, events.recording.size
    live = np.where(placed, units, 0)[events.request] * np.where(events.frees, -1, 1)
    return LiveFigures(
        peak_live=int(np.cumsum(live).max()),
        high_water=int(np.where(placed, start + units, 0).max()),
        failed=int((~placed).sum()),
        failed_bytes=int(size[~placed].sum()),
    )


def differences(run: LiveRun, again: Placements) -> list[str]:
    """Says what differs between a live run and its replay, each in a line; none: they are equal."""
    found = []
    other = np.flatnonzero(run.start != again.start)
    if other.size:
        first = int(other[0])
        found.append(
            f"{other.size:,} of {run.start.size:,} placements, first that of request {first:,} "
            f"({run.recording.size[first]:,} bytes): live {_where(run.start[first])}, in the "
            f"replay {_where(again.start[first])}"
        )
    for name in ("peak_live", "high_water", "failed", "failed_bytes"):
        live, played = getattr(run.figures, name), getattr(again.figures, name)
        if live != played:
            found.append(f"{name.replace('_', ' ')}: live {live:,}, in the replay {played:,}")
    if run.stopped:
        found.append(f"the log ended before the program did ({run.stopped})")
    return found


def peak_units(size: np.ndarray, lifetime: np.ndarray, unit: int, least: int) -> int:
    """Finds the most units live at once of the requests of at least `least` bytes.

    Args:
        size: int64[R]  bytes.
        lifetime: int64[R]  requests.
        unit: bytes.
    """
    return int(most_live(np.where(size >= least, -(-size // unit), 0), lifetime))


def _where(start: int) -> str:
    return f"at unit {start:,}" if start >= 0 else "nowhere"
