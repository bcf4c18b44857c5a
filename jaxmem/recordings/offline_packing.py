"""A simple offline heuristic: it knows every lifetime, and stacks a recording as low as it can.

Blocks are rectangles, time by address. In some order each is put at the lowest address at which it
overlaps none that are there: by size as in Pisarchyk & Lee 2020 (arXiv 2001.03288), by lifetime, or
by both. Then what reaches the top is taken earlier, and all is stacked again (squeaky wheel
optimization, Joslin & Clements 1999). Of short recordings the lowest stack is then improved by
`stacking_search`.
"""

import ctypes
from collections.abc import Callable
from functools import cache

import numpy as np

from jaxmem.arena.arena import NEVER
from jaxmem.configuration import UsageError
from jaxmem.native.build import compiled
from jaxmem.recordings import Recording
from jaxmem.recordings.orders import order_of
from jaxmem.recordings.packing import ANNEALED, STACKS, Packing, deaths_of
from jaxmem.recordings.plan_task import UNPINNED, PlanTask
from jaxmem.recordings.replay import events_of, replay
from jaxmem.recordings.stacking_search import blocks_of, dropped, lowest_stack, rounds_for

MOST_STACKED = (
    20_000  # blocks that are stacked one by one: the time for each grows with those below
)
PLACED = 200_000  # blocks placed in all, in every order and round


def offline_packing(
    recording: Recording,
    size: np.ndarray,
    report: Callable[[str], None] = lambda doing: None,
    seed: int = 0,
    enough: Callable[[int], bool] = lambda height: False,
) -> Packing:
    """Stacks the blocks as low as a search finds.

    The `MOST_STACKED` blocks with the largest size x lifetime are stacked. What is left of a longer
    recording lies above them, where first fit puts it: a packing that exists, like every other.

    Args:
        size: int64[R]  units of each request.
        report: told what is being done.
        seed: of the annealing.
        enough: asked with the height so far whether that will do.
    """
    requests = len(size)
    birth, death = np.arange(requests, dtype=np.int64), deaths_of(recording)
    if requests > MOST_STACKED:
        area = size.astype(np.float64) * (death - birth)
        first = np.argsort(-area, kind="stable")
        stack = _Stack(size, birth, death, first[:MOST_STACKED])
        start, rest = stack.start(requests), np.sort(first[MOST_STACKED:])
        start[rest], above = _first_fit(recording, size, rest)
        start[rest] += stack.height
        return Packing(start, stack.height + above, MOST_STACKED, STACKS)
    lowest = _lowest_of_all(size, birth, death, enough)
    blocks = blocks_of(size, birth, death)
    if rounds := rounds_for(blocks):  # else heights may be too large for it
        height, order = lowest_stack(blocks, lowest.by_address, rounds, seed, report, enough)
        if height < lowest.height:
            return Packing(dropped(blocks, order), height, requests, ANNEALED)
    return Packing(lowest.start(requests), lowest.height, requests, STACKS)


def lowest_stacks(task: PlanTask) -> np.ndarray:
    """Stacks blocks that may lie anywhere, as `offline_packing` begins: int64[R] units."""
    return _lowest_of_all(task.size, task.birth, task.death).start(len(task.size))


def first_stack(task: PlanTask) -> np.ndarray:
    """Stacks the blocks by size x lifetime around those that are pinned: int64[R] units."""
    area = task.size.astype(np.float64) * (task.death - task.birth)
    order = np.lexsort((-area, task.pinned < 0))  # what is pinned comes first
    columns = (task.size, task.birth, task.death, order, task.pinned, task.multiple)
    return stacked_in_order(*columns)


def stacked_in_order(
    size: np.ndarray,
    birth: np.ndarray,
    death: np.ndarray,
    order: np.ndarray,
    pinned: np.ndarray,
    multiple: np.ndarray | None = None,
) -> np.ndarray:
    """Stacks blocks as `first_stack` does, in an order (int64[R]) that has the pinned first."""
    return _Stack(size, birth, death, order, pinned, multiple).start(len(size))


def _lowest_of_all(
    size: np.ndarray,
    birth: np.ndarray,
    death: np.ndarray,
    enough: Callable[[int], bool] = lambda height: False,
) -> "_Stack":
    """Finds the lowest of `PLACED` placements in all, of stacks in three orders and from those."""
    requests, life = len(size), death - birth
    area = size.astype(np.float64) * life
    first, *others = (np.argsort(-key, kind="stable") for key in (area, size, life))
    turns = PLACED // (3 * requests)
    change = size.copy()
    mortal = death < requests
    np.subtract.at(change, death[mortal], size[mortal])
    peak = int(np.cumsum(change).max())  # below which nothing can be
    lowest = _lowest(size, birth, death, first, turns, peak, enough)
    for begin in others:
        if lowest.height > peak and not enough(lowest.height):
            found = _lowest(size, birth, death, begin, turns, peak, enough)
            lowest = min(lowest, found, key=lambda stack: stack.height)
    return lowest


def _lowest(
    size: np.ndarray,
    birth: np.ndarray,
    death: np.ndarray,
    order: np.ndarray,
    rounds: int,
    peak: int,
    enough: Callable[[int], bool] = lambda height: False,
) -> "_Stack":
    """Finds the lowest of so many stacks, each made from the troubles of the one before.

    None follows one that is no higher than `peak`, or low enough.
    """
    lowest = stack = _Stack(size, birth, death, order)
    for _ in range(rounds - 1):
        if lowest.height <= peak or enough(lowest.height):
            break
        place = np.arange(len(order), dtype=np.float64)
        place[stack.high == stack.height] /= 2
        order = order[np.argsort(place, kind="stable")]
        stack = _Stack(size, birth, death, order)
        lowest = min(lowest, stack, key=lambda each: each.height)
    return lowest


class _Stack:
    """The blocks of `order` (int64[N]), each as low as it can be, one by one.

    Those that are pinned, with a place of 0 or more, lie there, the others at a multiple of theirs.
    """

    def __init__(
        self,
        size: np.ndarray,
        birth: np.ndarray,
        death: np.ndarray,
        order: np.ndarray,
        pinned: np.ndarray | None = None,
        multiple: np.ndarray | None = None,
    ) -> None:
        self.order = order
        self.multiple = np.ones_like(order) if multiple is None else multiple[order]
        # In the order of placing, so that those that are there lie side by side.
        self.size, self.birth, self.death = size[order], birth[order], death[order]
        self.pinned = np.full_like(order, UNPINNED) if pinned is None else pinned[order]
        self.low, self.high = np.zeros_like(self.size), np.zeros_like(self.size)
        if (stack := _compiled_stack()) is None:
            self._stack()
        else:
            columns = (self.size, self.birth, self.death, self.pinned, self.multiple, self.low)
            if not stack(len(order), *(column.ctypes.data for column in columns)):
                raise MemoryError
            self.high = self.low + self.size

    def _stack(self) -> None:
        """Does what stack.c does, slowly."""
        for number, fixed in enumerate(self.pinned):
            self.low[number] = fixed if fixed >= 0 else self._lowest_gap(number)
            self.high[number] = self.low[number] + self.size[number]

    @property
    def height(self) -> int:
        """Units."""
        return int(self.high.max())

    @property
    def by_address(self) -> np.ndarray:
        """The blocks in the order of their addresses: int64[N]."""
        return self.order[np.argsort(self.low, kind="stable")]

    def start(self, requests: int) -> np.ndarray:
        """Returns where the blocks lie, by request: int64[R] units; 0 for those not stacked."""
        start = np.zeros(requests, np.int64)
        start[self.order] = self.low
        return start

    def _lowest_gap(self, number: int) -> int:
        """Finds the lowest address for a block beside those before it."""
        together = self.birth[:number] < self.death[number]
        together &= self.death[:number] > self.birth[number]
        below = self.low[:number][together]
        by_address = np.argsort(below)
        below = below[by_address]
        free = np.maximum.accumulate(self.high[:number][together][by_address])
        free += -free % self.multiple[number]
        if not below.size or below[0] >= self.size[number]:
            return 0
        gaps = np.flatnonzero(below[1:] - free[:-1] >= self.size[number])
        return int(free[gaps[0]] if gaps.size else free[-1])


@cache
def _compiled_stack() -> Callable[..., int] | None:
    """Loads stack.c, compiled if need be; None where it cannot be."""
    try:
        stack = ctypes.CDLL(str(compiled("stack"))).stacked
    except UsageError:
        return None
    stack.argtypes = [ctypes.c_int64, *[ctypes.c_void_p] * 6]
    stack.restype = ctypes.c_int
    return stack


def _first_fit(recording: Recording, size: np.ndarray, kept: np.ndarray) -> tuple[np.ndarray, int]:
    """Plays first fit with the requests of `kept` (int64[N], rising) alone: starts, int64[N], the
    high-water mark, in units."""
    lifetime = recording.lifetime[kept]
    next_request = np.searchsorted(kept, kept + lifetime)
    shorter = np.where(lifetime == NEVER, NEVER, next_request - np.arange(len(kept)))
    events = events_of(Recording(recording.name, size[kept], shorter), alignment=1)
    played = replay(events, 0, order_of("first"))
    return played.start, played.top
