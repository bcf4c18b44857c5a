"""Hint-fit in bytes: where a block will long lie beside others, by lifetimes that are foretold.

The rule is that of `jaxmem.policies.placement_rules.hint_fit`, the rest of a hole counted in 128ths
of the arena, since its cost was chosen in arenas of about as many cells. What is not foretold goes
by best fit.
"""

from bisect import bisect_left, insort

import numpy as np

from jaxmem.arena.arena import NOWHERE
from jaxmem.policies.placement_rules import APART_COST, HINT_HOLES, REST_COST
from jaxmem.recordings.headroom import smallest_served
from jaxmem.recordings.profile import UNFORETOLD
from jaxmem.recordings.replay import ReplayEvents

CELLS = 128  # in which costs of a rest are counted
WIDEST = 2.0  # arena over peak live; more is not looked for
PRECISION = 0.0005  # of the arena needed, in peak live


def hint_fit_needed(events: ReplayEvents) -> float:
    """Bisects for the arena that hint-fit needs over peak live, for events that are foretold."""
    step = max(1, int(PRECISION * events.peak_live))

    def served(steps: np.ndarray) -> np.ndarray:
        return np.array([all_placed(events, int(of) * step) for of in steps])

    low, high = (events.peak_live - 1) // step, int(WIDEST * events.peak_live) // step
    found = smallest_served(served, np.array([low]), np.array([high]))[0]
    return max(1.0, float(found * step / events.peak_live))


def all_placed(events: ReplayEvents, cells: int) -> bool:
    """Plays foretold events in an arena of so many units: whether every request finds a hole."""
    assert events.foretold is not None
    arena = _Arena(cells)
    starts, now = {}, 0
    units, foretold = events.units.tolist(), events.foretold.tolist()
    for frees, request in zip(events.frees.tolist(), events.request.tolist(), strict=True):
        if frees:
            arena.free(starts.pop(request), units[request])
            continue
        start = arena.placed(units[request], foretold[request], now)
        if start == NOWHERE:
            return False
        starts[request], now = start, now + 1
    return True


class _Arena:
    """Holes by address, and until when the blocks beside them are foretold to live."""

    def __init__(self, cells: int) -> None:
        self.cells = cells
        self.holes = [(0, cells)]  # low, high
        self.below: dict[int, int] = {}  # foretold death, by the address at which a block ends
        self.above: dict[int, int] = {}  # likewise by the address at which one starts

    def placed(self, size: int, lifetime: int, now: int) -> int:
        """Places a block where it costs least, and returns its start; NOWHERE: no hole fits."""
        fitting = [hole for hole in self.holes if hole[1] - hole[0] >= size]
        if not fitting:
            return NOWHERE
        if lifetime == UNFORETOLD:
            low, high = min(fitting, key=lambda hole: hole[1] - hole[0])
            start = low
        else:
            ends = [
                (*self._cost(hole, at_high, size, lifetime, now), hole)
                for hole in fitting[:HINT_HOLES]
                for at_high in (False, True)
            ]
            _, _, start, (low, high) = min(ends)
        del self.holes[bisect_left(self.holes, (low, high))]
        for rest in ((low, start), (start + size, high)):
            if rest[0] < rest[1]:
                insort(self.holes, rest)
        self.above[start] = self.below[start + size] = now + lifetime if lifetime else 0
        return start

    def _cost(
        self, hole: tuple[int, int], at_high: bool, size: int, lifetime: int, now: int
    ) -> tuple[float, int, int]:
        """Returns what an end of a hole costs, the length of the hole, and the start there."""
        low, high = hole
        rest = high - low - size
        here, there = self._beside(low, self.below, now), self._beside(high, self.above, now)
        if at_high:
            here, there = there, here
        touching = lifetime if here is None else min(here, lifetime)
        if rest == 0:
            touching += lifetime if there is None else min(there, lifetime)
        apart = 0 if here is None else abs(here - lifetime)
        left = REST_COST * CELLS * rest / self.cells
        cost = lifetime - touching + APART_COST * apart + left
        return cost, high - low, high - size if at_high else low

    def _beside(self, address: int, deaths: dict[int, int], now: int) -> int | None:
        """Returns for how many requests a neighbour stays; None: a wall, or there is no telling."""
        left = deaths.get(address, 0) - now
        return left if left > 0 else None

    def free(self, start: int, size: int) -> None:
        """Frees a block, and merges the holes beside it."""
        end = start + size
        del self.above[start], self.below[end]
        at = bisect_left(self.holes, (start, end))
        if at < len(self.holes) and self.holes[at][0] == end:
            end = self.holes.pop(at)[1]
        if at and self.holes[at - 1][1] == start:
            start = self.holes.pop(at - 1)[0]
        insort(self.holes, (start, end))
