"""What better placement could save on a recording: each rule's memory over the peak live bytes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxmem.evaluation.arena_needed import smallest_served
from jaxmem.evaluation.offline_packing import MOST, offline_height
from jaxmem.evaluation.replay import MOST_UNITS, Events, replay
from jaxmem.policies.orders import BOUNDED, rules_of

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
    Raises:
        ValueError: an unknown policy, or one that needs more than 2**31 - 2 units.
    """
    threshold = max(1, events.peak_live // SMALL)
    growing = [name for name in policies if name not in BOUNDED]
    sizes = [int(factor * events.peak_live) for factor in FACTORS]
    _check_room(events, f"an arena of {FACTORS[-1]} x peak live", sizes[-1] <= MOST_UNITS)
    names = growing + [name for name in policies for _ in FACTORS]
    cells = np.array([0] * len(growing) + sizes * len(policies), np.int64)
    played = replay(
        events,
        cells,
        rules_of(names, threshold),
        report=lambda share: report(f"replaying in {len(names)} arenas: {share:.0%}"),
    )
    first = len(growing)
    for name, served in zip(growing, played.served, strict=False):
        _check_room(events, name, bool(served))
    failed = played.failed[first:].reshape(len(policies), len(FACTORS), -1)
    needed = _arenas_needed(events, policies, threshold, ~failed.any(axis=2), report)
    report("packing offline")
    offline, stacked = offline_height(events.recording, events.units)
    by_bytes = failed @ (events.recording.size / events.recording.size.sum(dtype=np.float64))
    return Headroom(
        peak_live=events.peak_live,
        unbounded=dict(zip(growing, played.top[:first].tolist(), strict=True)),
        bounded=dict(zip(policies, needed.tolist(), strict=True)),
        failed=_by_factor(policies, failed.mean(axis=2)),
        failed_bytes=_by_factor(policies, by_bytes),
        offline=offline,
        stacked=stacked,
        threshold=threshold,
        most_holes=played.most_holes,
    )


def _by_factor(policies: Sequence[str], share: np.ndarray) -> dict[str, dict[float, float]]:
    """float[policies, factors] in %, by name and factor."""
    return {
        name: dict(zip(FACTORS, (100 * row).tolist(), strict=True))
        for name, row in zip(policies, share, strict=True)
    }


def _check_room(events: Events, what: str, enough: bool) -> None:
    if not enough:
        raise ValueError(
            f"{what} needs more than {MOST_UNITS:,} units of {events.alignment:,} bytes for "
            f"{events.recording.name}; take a larger alignment"
        )


def _arenas_needed(
    events: Events,
    policies: Sequence[str],
    threshold: int,
    does: np.ndarray,
    report: Callable[[str], None],
) -> np.ndarray:
    """The arena that each policy needs: int64[policies], units.

    Args:
        does: bool[policies, factors]  whether the arenas of `FACTORS` do.
    """
    rules = rules_of(policies, threshold)
    rounds = 0

    def served(cells: np.ndarray) -> np.ndarray:
        nonlocal rounds
        rounds += 1
        report(f"searching for the arena needed: round {rounds}")
        return replay(events, cells, rules, until_all_fail=True).served

    peak = events.peak_live
    sizes = np.array([int(factor * peak) for factor in FACTORS], np.int64)
    # The first of the sizes that does, and the one before it.
    known = np.array([peak - 1, *sizes], np.int64)
    found = does.any(axis=1)
    place = np.where(found, does.argmax(axis=1), len(sizes))
    low = known[place]
    high = np.where(found, known[np.minimum(place + 1, len(sizes))], low)
    while not found.all():
        for name, enough in zip(policies, found | (high < MOST_UNITS), strict=True):
            _check_room(events, name, bool(enough))
        high = np.where(found, high, np.minimum(high + peak, MOST_UNITS))
        now = served(np.where(found, peak - 1, high)) | found
        low, found = np.where(now, low, high), now
    return smallest_served(served, low, high)
