"""How low a recording can be stacked by who knows every lifetime: a simple offline heuristic.

Blocks are rectangles, time by address. In some order each is put at the lowest address at which it
overlaps none that are there: by size as in Pisarchyk & Lee 2020 (arXiv 2001.03288), by lifetime, or
by both. Then what reaches the top is taken earlier, and all is stacked again (squeaky wheel
optimization, Joslin & Clements 1999). Of short recordings the lowest stack is then improved by
`stacking_search`.
"""

from collections.abc import Callable

import numpy as np

from jaxmem.evaluation.replay import events_of, replay
from jaxmem.evaluation.stacking_search import blocks_of, lowest_stack, rounds_for
from jaxmem.policies.orders import order_of
from jaxmem.workloads.requests import NEVER
from jaxmem.workloads.traces import Recording

MOST = 20_000  # blocks that are stacked one by one: the time for each grows with those below
PLACED = 200_000  # blocks placed in all, in every order and round


def offline_height(
    recording: Recording, size: np.ndarray, report: Callable[[str], None] = lambda doing: None
) -> tuple[int, int]:
    """The height of the lowest stack found, in units, and the blocks that were stacked one by one.

    The `MOST` blocks with the largest size x lifetime are stacked. What is left of a longer
    recording lies above them, where first fit puts it: a packing that exists, like every other.

    Args:
        size: int64[R]  units of each request.
        report: told what is being done.
    """
    requests = len(size)
    birth = np.arange(requests, dtype=np.int64)
    death = np.minimum(birth + recording.lifetime, requests)
    life = death - birth
    area = size.astype(np.float64) * life
    first, *others = (np.argsort(-key, kind="stable") for key in (area, size, life))
    if requests > MOST:
        height = _Stack(size, birth, death, first[:MOST]).height
        return height + _first_fit_height(recording, size, np.sort(first[MOST:])), MOST
    turns = PLACED // (3 * requests)
    change = size.copy()
    mortal = death < requests
    np.subtract.at(change, death[mortal], size[mortal])
    peak = int(np.cumsum(change).max())  # below which nothing can be
    height, order = np.iinfo(np.int64).max, first
    for begin in (first, *others):
        if height > peak:
            found = _lowest(size, birth, death, begin, turns, peak)
            height, order = min((height, order), found, key=lambda stack: stack[0])
    blocks = blocks_of(size, birth, death)
    if rounds := rounds_for(blocks):  # else heights may be too large for it
        height = min(height, lowest_stack(blocks, order, rounds, report=report)[0])
    return height, requests


def _lowest(
    size: np.ndarray,
    birth: np.ndarray,
    death: np.ndarray,
    order: np.ndarray,
    rounds: int,
    peak: int,
) -> tuple[int, np.ndarray]:
    """The lowest stack of so many, each made from the troubles of the one before.

    None follows one that is no higher than `peak`.

    Returns:
        Its height, and the blocks in the order of their addresses in it, int64[N].
    """
    lowest, by_address = np.iinfo(np.int64).max, order
    for _ in range(rounds):
        stack = _Stack(size, birth, death, order)
        if stack.height < lowest:
            lowest, by_address = stack.height, order[np.argsort(stack.low, kind="stable")]
        if lowest <= peak:
            break
        place = np.arange(len(order), dtype=np.float64)
        place[stack.high == stack.height] /= 2
        order = order[np.argsort(place, kind="stable")]
    return lowest, by_address


class _Stack:
    """The blocks of `order` (int64[N]), each as low as it can be, one by one."""

    def __init__(
        self, size: np.ndarray, birth: np.ndarray, death: np.ndarray, order: np.ndarray
    ) -> None:
        # In the order of placing, so that those that are there lie side by side.
        self.size, self.birth, self.death = size[order], birth[order], death[order]
        self.low, self.high = np.zeros_like(self.size), np.zeros_like(self.size)
        for number in range(len(order)):
            self.low[number] = self._lowest_gap(number)
            self.high[number] = self.low[number] + self.size[number]

    @property
    def height(self) -> int:
        """Units."""
        return int(self.high.max())

    def _lowest_gap(self, number: int) -> int:
        """The lowest address for a block beside those before it."""
        together = self.birth[:number] < self.death[number]
        together &= self.death[:number] > self.birth[number]
        below = self.low[:number][together]
        by_address = np.argsort(below)
        below = below[by_address]
        free = np.maximum.accumulate(self.high[:number][together][by_address])
        if not below.size or below[0] >= self.size[number]:
            return 0
        gaps = np.flatnonzero(below[1:] - free[:-1] >= self.size[number])
        return int(free[gaps[0]] if gaps.size else free[-1])


def _first_fit_height(recording: Recording, size: np.ndarray, kept: np.ndarray) -> int:
    """The high-water mark of first fit with the requests of `kept` (int64[N], rising) alone."""
    lifetime = recording.lifetime[kept]
    next_request = np.searchsorted(kept, kept + lifetime)
    shorter = np.where(lifetime == NEVER, NEVER, next_request - np.arange(len(kept)))
    events = events_of(Recording(recording.name, size[kept], shorter), alignment=1)
    return replay(events, 0, order_of("first")).top
