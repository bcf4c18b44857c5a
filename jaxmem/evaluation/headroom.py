"""What better placement could save on a recording: each rule's memory over the peak live bytes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxmem.evaluation.arena_needed import smallest_served
from jaxmem.evaluation.offline_packing import MOST, offline_height
from jaxmem.evaluation.replay import MOST_UNITS, Events, Replayed, replay
from jaxmem.policies.orders import BOUNDED, order_of

FACTORS = (1.02, 1.05, 1.1, 1.2)  # arenas over peak live, in which failures are counted
SMALL = 16  # a request up to peak live / SMALL is small to the rules with a threshold

CONVENTIONS = {
    "time": "a block that dies before a request is freed before it; holes merge at once",
    "choice": "each rule takes the low end of its hole, two_ended and segregated the high end for "
    "large requests; ties go to the lowest address",
    "unbounded": "the space above the highest live block is used only when no hole between blocks "
    "fits; two_ended and segregated need an upper end and have no such figure",
    "bounded": "the whole arena is one hole at the start, and what was never used is part of it; "
    "arena needed: the smallest in which no request fails, by bisection to the unit, so that a "
    "smaller one that happens to do may be missed",
    "failures": "a request that fits no hole fails: it is not placed, and all others go on",
    "offline": "the lowest of stacks built with every lifetime known, the block with the largest "
    f"size x lifetime first; beyond {MOST:,} blocks the others lie above, by first fit",
}


@dataclass(frozen=True)
class Headroom:
    """Units by policy; everything over the peak live units is a ratio of 1 or more."""

    peak_live: int
    unbounded: dict[str, int]  # high-water mark, of the rules that need no upper end
    bounded: dict[str, int]  # arena needed
    failed: dict[str, dict[float, float]]  # % of the requests, by arena / peak live
    failed_bytes: dict[str, dict[float, float]]  # % of the bytes asked for, likewise
    offline: int
    stacked: int  # blocks that the offline packing took one by one
    threshold: int  # the largest request that is small
    most_holes: int

    def ratios(self) -> dict[str, Any]:
        """The `headroom` of results.json."""
        return {
            "unbounded": {name: top / self.peak_live for name, top in self.unbounded.items()},
            "bounded": {name: cells / self.peak_live for name, cells in self.bounded.items()},
            "offline": self.offline / self.peak_live,
        }


def headroom(
    events: Events, policies: Sequence[str], report: Callable[[str], None] = lambda doing: None
) -> Headroom:
    """Replays a recording under each policy, in an arena that grows and in bounded ones.

    Args:
        policies: names of `jaxmem.policies.orders.ORDERED`, each once.
        report: told what is being done.
    Raises:
        ValueError: an unknown policy, or one that needs more than 2**31 - 2 units.
    """
    peak = events.peak_live
    threshold = max(1, peak // SMALL)
    _check_room(events, f"an arena of {FACTORS[-1]} x peak live", _cells(FACTORS[-1], peak))
    players = [_Player(events, name, threshold, report) for name in policies]
    unbounded = {player.name: player.high_water() for player in players if player.grows}
    failed = {player.name: [player.failures(factor) for factor in FACTORS] for player in players}
    bounded = {player.name: player.arena_needed() for player in players}
    report("packing offline")
    offline, stacked = offline_height(events.recording, events.units)
    return Headroom(
        peak_live=peak,
        unbounded=unbounded,
        bounded=bounded,
        failed={name: _shares(rows, np.ones(len(events.units))) for name, rows in failed.items()},
        failed_bytes={name: _shares(rows, events.recording.size) for name, rows in failed.items()},
        offline=offline,
        stacked=stacked,
        threshold=threshold,
        most_holes=max(player.most_holes for player in players),
    )


def _cells(factor: float, peak: int) -> int:
    """The arena of so many times the peak live units, rounded down."""
    return int(factor * peak)


def _shares(failed: Sequence[np.ndarray], weight: np.ndarray) -> dict[float, float]:
    """For each of `FACTORS` the weight (number[R]) of the failed requests (bool[R]), in %."""
    share = weight / weight.sum(dtype=np.float64)
    return {
        factor: float(100 * share[row].sum()) for factor, row in zip(FACTORS, failed, strict=True)
    }


def _check_room(events: Events, what: str, units: int) -> None:
    if units > MOST_UNITS:
        raise ValueError(
            f"{what} needs more than {MOST_UNITS:,} units of {events.alignment:,} bytes for "
            f"{events.recording.name}; take a larger alignment"
        )


class _Player:
    """One policy, and the arenas that are known to do for it, and not to."""

    def __init__(
        self, events: Events, name: str, threshold: int, report: Callable[[str], None]
    ) -> None:
        self.events, self.name, self.report = events, name, report
        self.order = order_of(name, threshold)
        self.grows = name not in BOUNDED
        self.known: dict[int, bool] = {events.peak_live - 1: False}
        self.most_holes = 0

    def high_water(self) -> int:
        """Units of the arena that grows."""
        played = self._play(0, "no bound")
        if not played.served:
            _check_room(self.events, self.name, MOST_UNITS + 1)
        return played.top

    def failures(self, factor: float) -> np.ndarray:
        """Which requests fail in an arena of so many times peak live: bool[R]."""
        cells = _cells(factor, self.events.peak_live)
        played = self._play(cells, f"{factor} x peak live")
        self.known[cells] = played.served
        return played.failed

    def arena_needed(self) -> int:
        """Units, by bisection between the smallest arena that does and the next one that does not.

        Raises:
            ValueError: it is larger than an arena can be.
        """
        while not any(self.known.values()):
            largest = max(self.known)
            _check_room(self.events, self.name, largest + 1)
            self._does(min(largest + self.events.peak_live, MOST_UNITS))
        high = min(cells for cells, does in self.known.items() if does)
        low = max(cells for cells in self.known if cells < high)

        def served(cells: np.ndarray) -> np.ndarray:
            return np.array([self._does(int(cells[0]))])

        return int(smallest_served(served, np.array([low]), np.array([high]))[0])

    def _does(self, cells: int) -> bool:
        self.known[cells] = self._play(cells, "arena needed", until_failure=True).served
        return self.known[cells]

    def _play(self, cells: int, what: str, *, until_failure: bool = False) -> Replayed:
        played = replay(
            self.events,
            cells,
            self.order,
            until_failure=until_failure,
            report=lambda share: self.report(f"{self.name}, {what}: {share:.0%}"),
        )
        self.most_holes = max(self.most_holes, played.most_holes)
        return played
