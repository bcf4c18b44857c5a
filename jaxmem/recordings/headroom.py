"""The memory that better placement could save: each rule's on a recording, over peak live bytes."""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from jaxmem.names import listed
from jaxmem.recordings.hole_scorer import HoleScorer, Live, blocks_are_tiny
from jaxmem.recordings.offline_packing import MOST_STACKED, PLACED, offline_packing
from jaxmem.recordings.packing import Packing
from jaxmem.recordings.policy_file import byte_player, small_units, titled_policies
from jaxmem.recordings.replay import (
    ARENA_FACTOR,
    MOST_UNITS,
    BytePlayer,
    Replayed,
    ReplayEvents,
    replay,
)
from jaxmem.render.trace_verdict import Ratios
from jaxmem.rules import BOUNDED, ORDERED

FACTORS = (1.02, 1.05, 1.1, ARENA_FACTOR)  # arenas over peak live, in which failures are counted

CONVENTIONS = {
    "time": "a block that dies before a request is freed before it; holes merge at once",
    "learned": "a learned policy scores both ends of every hole by shares of the arena, so that it "
    "plays differently in another arena; where the mean live block is under 1/256 of it, it is "
    "best-fit",
    "choice": f"each rule takes the low end of its hole, {listed(BOUNDED)} the high end for "
    "large requests; ties go to the lowest address",
    "unbounded": "the space above the highest live block is used only when no hole between blocks "
    f"fits; {listed([*BOUNDED, 'learned policies'])} need an upper end and have no such figure",
    "bounded": "the whole arena is one hole at the start, and what was never used is part of it; "
    "arena needed: one in which no request fails, and in which one unit less is too few, by "
    f"bisection between the first of {', '.join(map(str, FACTORS))} x peak live, and then of a "
    "quarter more each, that does and the one before; a smaller one that happens to do may be "
    "missed",
    "failures": "a request that fits no hole fails: it is not placed, and all others go on",
    "offline": "the lowest of stacks built with every lifetime known: the blocks by size x "
    "lifetime, by size and by lifetime, those at the top earlier the next time, as often as "
    f"{PLACED:,} placements allow, the lowest of a few hundred blocks improved by simulated "
    f"annealing over its order; of more than {MOST_STACKED:,} blocks those with the largest size x "
    "lifetime once, and the others above by first fit; or what one of the policies needs, if that "
    "is less; in brackets which it was",
    "lower bound": "peak live itself, below which there is no packing",
}


@dataclass(frozen=True)
class Headroom:
    """Units by policy; everything over the peak live units is a ratio of 1 or more."""

    peak_live: int
    unbounded: dict[str, int]  # high-water mark, of the rules that need no upper end
    bounded: dict[str, int]  # arena needed
    failed: dict[str, dict[float, float]]  # % of the requests, by arena / peak live
    failed_bytes: dict[str, dict[float, float]]  # % of the bytes asked for, likewise
    offline: Packing
    threshold: int  # the largest request that is small
    most_holes: int
    # The share of the requests, 0 .. 1, that best fit places for a learned policy in the arena that
    # it needs, since blocks are tiny there.
    by_best_fit: dict[str, float]

    def ratios(self) -> Ratios:
        """Returns the `headroom` of results.json."""
        return {
            "unbounded": {name: top / self.peak_live for name, top in self.unbounded.items()},
            "bounded": {name: cells / self.peak_live for name, cells in self.bounded.items()},
            "offline": self.offline.height / self.peak_live,
            "lower_bound": 1.0,  # no packing is lower than what is live at once
        }


def headroom(
    events: ReplayEvents,
    policies: Sequence[str],
    report: Callable[[str], None] = lambda doing: None,
) -> Headroom:
    """Replays a recording under each policy, in an arena that grows and in bounded ones.

    Args:
        policies: names of `jaxmem.rules.ORDERED`, and names, files or run folders of learned
            policies, each once; figures go by `titled_policies`.
        report: told what is being done.
    Raises:
        ValueError: an unknown policy, or one that needs more than 2**31 - 2 units.
    """
    check_room(events)
    players = [
        _Arenas(*byte_player(events, name), title)
        for title, name in titled_policies(policies).items()
    ]
    _play_side_by_side(players, report)
    report("packing offline")
    packing = offline_packing(events.recording, events.units, report)
    lowest = min(players, key=lambda player: player.needed)
    if lowest.needed < packing.height:  # what is placed online can be placed offline
        start = replay(lowest.events, lowest.needed, lowest.player).start
        packing = packing._replace(start=start, height=lowest.needed, method=lowest.name)
    return Headroom(
        peak_live=events.peak_live,
        unbounded={player.name: player.high_water for player in players if player.grows},
        bounded={player.name: player.needed for player in players},
        failed={player.name: player.lost(np.ones(len(events.units))) for player in players},
        failed_bytes={player.name: player.lost(events.recording.size) for player in players},
        offline=packing,
        threshold=small_units(events),
        most_holes=max(player.most_holes for player in players),
        by_best_fit={
            player.name: _share_by_best_fit(events, player.needed)
            for player in players
            if isinstance(player.player, HoleScorer)
        },
    )


def _share_by_best_fit(events: ReplayEvents, cells: int) -> float:
    """Finds the share of requests that best fit places for a learned policy: 0 .. 1."""
    change = np.where(events.frees, -1, 1)
    units, blocks = (
        np.cumsum(change * amount)[~events.frees] - amount[~events.frees]
        for amount in (events.units[events.request], np.ones(len(change), np.int64))
    )
    live = Live(jnp.asarray(units, jnp.int32), jnp.asarray(blocks, jnp.int32))
    return float(blocks_are_tiny(live, jnp.asarray(cells, jnp.int32)).mean())


def units_needed(
    events: ReplayEvents,
    player: BytePlayer,
    report: Callable[[str], None] = lambda doing: None,
    title: str = "player",
) -> int:
    """Finds the units of the smallest arena that places every request, as `headroom` has it.

    Args:
        title: of the player, in what is reported.
    """
    arenas = _Arenas(events, player, title)
    arenas.report = report
    for factor in FACTORS:
        arenas.does(_arena_units(factor, events.peak_live))
    return arenas.needed_units()


def _arena_units(factor: float, peak: int) -> int:
    """Returns the arena of so many times the peak live units, rounded down."""
    return int(factor * peak)


def check_room(events: ReplayEvents) -> None:
    """Raises ValueError where the largest arena of `FACTORS` cannot be."""
    units = _arena_units(FACTORS[-1], events.peak_live)
    _check_room(events, f"an arena of {FACTORS[-1]} x peak live", units)


def _check_room(events: ReplayEvents, what: str, units: int) -> None:
    if units > MOST_UNITS:
        larger = events.alignment
        while units * events.alignment > MOST_UNITS * larger:
            larger *= 2
        raise ValueError(
            f"{what} needs more than {MOST_UNITS:,} units of {events.alignment:,} bytes for "
            f"{events.recording.name}; take alignment={larger}"
        )


class _StoppedError(Exception):
    """Something else has failed, or was interrupted."""


def _play_side_by_side(players: Sequence["_Arenas"], report: Callable[[str], None]) -> None:
    """Lets each of the players find its figures, as many at once as there are cores."""
    doing: dict[str, str] = {}
    stopped = threading.Event()

    def play(player: _Arenas) -> None:
        def told(what: str) -> None:
            if stopped.is_set():
                raise _StoppedError
            doing[player.name] = what
            report("; ".join(list(doing.values())))

        player.play(told)
        del doing[player.name]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        playing = [pool.submit(play, player) for player in players]
        try:
            for player in as_completed(playing):
                player.result()
        except BaseException:
            stopped.set()
            pool.shutdown(cancel_futures=True)
            raise


class _Arenas:
    """One policy, and the arenas that are known to do for it, and not to."""

    high_water = 0  # units of the arena that grows
    needed = 0  # units of the smallest arena that does

    def __init__(self, events: ReplayEvents, player: BytePlayer, name: str) -> None:
        self.events, self.player, self.name = events, player, name
        self.grows = name in ORDERED and name not in BOUNDED
        self.failed: dict[float, np.ndarray] = {}  # bool[R] by arena / peak live
        self.known: dict[int, bool] = {events.peak_live - 1: False}  # by units
        self.most_holes = 0
        self.report: Callable[[str], None] = lambda doing: None

    def play(self, report: Callable[[str], None]) -> None:
        """Finds all figures."""
        self.report = report
        if self.grows:
            self.high_water = self._high_water()
        for factor in FACTORS:
            cells = _arena_units(factor, self.events.peak_live)
            played = self._replay(cells, f"{factor} x peak live")
            self.known[cells] = played.served
            self.failed[factor] = played.failed
        self.needed = self.needed_units()

    def lost(self, weight: np.ndarray) -> dict[float, float]:
        """Sums the weight (number[R]) of requests that fail, in % of all, by arena / peak live."""
        share = 100 * weight / weight.sum(dtype=np.float64)
        return {factor: float(share[failed].sum()) for factor, failed in self.failed.items()}

    def _high_water(self) -> int:
        played = self._replay(0, "unbounded")
        if not played.served:
            _check_room(self.events, self.name, MOST_UNITS + 1)
        if self.name == "first":
            # The top is its last choice in either arena, so it comes to the same addresses in both.
            self.known |= {played.top - 1: False, played.top: True}
        return played.top

    def needed_units(self) -> int:
        """Bisects between the smallest arena that does and the next one that does not."""
        while not any(self.known.values()):
            largest = max(self.known)
            _check_room(self.events, self.name, largest + 1)
            self.does(min(largest + -(-largest // 4), MOST_UNITS))
        high = min(cells for cells, does in self.known.items() if does)
        low = max(cells for cells in self.known if cells < high)

        def served(cells: np.ndarray) -> np.ndarray:
            return np.array([self.does(int(cells[0]))])

        return int(smallest_served(served, np.array([low]), np.array([high]))[0])

    def does(self, cells: int) -> bool:
        """Tells whether an arena of so many units is enough."""
        self.known[cells] = self._replay(cells, "arena needed", until_failure=True).served
        return self.known[cells]

    def _replay(self, cells: int, what: str, *, until_failure: bool = False) -> Replayed:
        played = replay(
            self.events,
            cells,
            self.player,
            until_failure=until_failure,
            report=lambda share: self.report(f"{self.name}, {what}: {share:.0%}"),
        )
        self.most_holes = max(self.most_holes, played.most_holes)
        return played


def smallest_served(
    served: Callable[[np.ndarray], np.ndarray], low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """Bisects for the size from which on all is served, of P arenas at once: int64[P].

    Args:
        served: of sizes (int64[P]), whether each arena does: bool[P].
        low: int64[P]  sizes that do not.
        high: int64[P]  larger ones that do.
    """
    while np.any(high - low > 1):
        middle = (low + high) // 2
        does = served(middle)
        high, low = np.where(does, middle, high), np.where(does, low, middle)
    return high
