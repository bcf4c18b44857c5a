"""How low a recording can be stacked by who knows every lifetime: a simple offline heuristic.

Blocks are rectangles, time by address. Each is put, the largest first, at the lowest address at
which it overlaps none that are there (the greedy-by-size planners of Pisarchyk & Lee 2020,
arXiv 2001.03288, which place by size alone).
"""

import numpy as np

from jaxmem.evaluation.replay import events_of, replay
from jaxmem.policies.orders import order_of
from jaxmem.workloads.requests import NEVER
from jaxmem.workloads.traces import Recording

MOST = 20_000  # blocks that are stacked one by one: the time for each grows with those below
FEW = 4_000  # up to so many, more than one order is tried


def offline_height(recording: Recording, size: np.ndarray) -> tuple[int, int]:
    """The height of the lowest stack found, in units, and the blocks that were stacked one by one.

    The `MOST` blocks with the largest size x lifetime are stacked. What is left of a longer
    recording lies above them, where first fit puts it: a packing that exists, like every other.

    Args:
        size: int64[R]  units of each request.
    """
    requests = len(size)
    birth = np.arange(requests, dtype=np.int64)
    death = np.minimum(birth + recording.lifetime, requests)
    life = death - birth
    area = size.astype(np.float64) * life
    keys = [area] if requests > FEW else [area, size, life]
    orders = [np.argsort(-key, kind="stable") for key in keys]
    stacked = min(requests, MOST)
    height = min(_stacked(size, birth, death, order[:stacked]) for order in orders)
    if stacked < requests:
        height += _first_fit_height(recording, size, np.sort(orders[0][stacked:]))
    return height, stacked


def _stacked(size: np.ndarray, birth: np.ndarray, death: np.ndarray, order: np.ndarray) -> int:
    """The height of the blocks of `order` (int64[N]), each as low as it can be, one by one."""
    # In the order of placing, so that those that are there lie side by side.
    size, birth, death = size[order], birth[order], death[order]
    low, high = np.zeros_like(size), np.zeros_like(size)
    for number in range(len(order)):
        together = (birth[:number] < death[number]) & (death[:number] > birth[number])
        below = low[:number][together]
        by_address = np.argsort(below)
        below = below[by_address]
        free = np.maximum.accumulate(high[:number][together][by_address])
        # Where a gap begins, but for the first one and that above all.
        gaps = np.flatnonzero(below[1:] - free[:-1] >= size[number])
        if not below.size or below[0] >= size[number]:
            low[number] = 0
        else:
            low[number] = free[gaps[0]] if gaps.size else free[-1]
        high[number] = low[number] + size[number]
    return int(high.max())


def _first_fit_height(recording: Recording, size: np.ndarray, kept: np.ndarray) -> int:
    """The high-water mark of first fit with the requests of `kept` (int64[N], rising) alone."""
    lifetime = recording.lifetime[kept]
    next_request = np.searchsorted(kept, kept + lifetime)
    shorter = np.where(lifetime == NEVER, NEVER, next_request - np.arange(len(kept)))
    events = events_of(Recording(recording.name, size[kept], shorter), alignment=1)
    return replay(events, 0, order_of("first")).top
