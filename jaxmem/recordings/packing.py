"""A packing: where every block of a recording lies, in the address space from 0 up."""

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from jaxmem.recordings.recording import Recording, Written

PACKING_COLUMNS = "id,lower,upper,size,offset"  # as MiniMalloc has them
STACKS, ANNEALED = "stacks", "annealed"


class Packing(NamedTuple):
    """A packing and how it was found."""

    start: np.ndarray  # int64[R]  units, of each request
    height: int  # units
    stacked: int  # blocks that were taken one by one
    method: str  # STACKS, ANNEALED, or the policy that places blocks so


def deaths_of(recording: Recording) -> np.ndarray:
    """Returns the request before which each block is freed, R if it is never freed: int64[R]."""
    requests = recording.requests
    return np.minimum(np.arange(requests, dtype=np.int64) + recording.lifetime, requests)


def check_packing(start: np.ndarray, size: np.ndarray, death: np.ndarray) -> None:
    """Raises ValueError, with the blocks, where two that are live together overlap.

    Args:
        start, size: int64[R]  units, of each request.
        death: int64[R]  the request before which each block is freed.
    """
    if len(start) and start.min() < 0:
        raise ValueError(f"block {int(start.argmin())} has no place")
    live: list[tuple[int, int, int]] = []  # start, end, block; sorted, so sorted by end too
    dying = np.argsort(death, kind="stable").tolist()
    low, high, deaths = start.tolist(), (start + size).tolist(), death.tolist()
    next_death = 0
    for block in range(len(low)):
        while next_death < len(dying) and deaths[dying[next_death]] <= block:
            gone = dying[next_death]
            del live[bisect_left(live, (low[gone], high[gone], gone))]
            next_death += 1
        at = bisect_left(live, (low[block], high[block], block))
        for below, above, other in live[max(at - 1, 0) : at + 1]:
            if below < high[block] and above > low[block]:
                raise ValueError(f"blocks {other} and {block} overlap while both are live")
        insort(live, (low[block], high[block], block))


def packing_lines(
    recording: Recording, start: np.ndarray, alignment: int, written: Written | None = None
) -> Iterator[str]:
    """Yields the lines of a CSV file: each block with when and where it is, sizes as asked for.

    A block is live for lower <= t < upper; offsets are bytes.

    Args:
        written: ids and times that are used; None: numbers of requests are both.
    """
    yield PACKING_COLUMNS
    offset = start.astype(object) * alignment if alignment > 1 else start
    number = range(recording.requests)
    names, lower, upper = number, number, deaths_of(recording).tolist()
    if written is not None:
        names, lower, upper = written.id, written.lower.tolist(), written.upper.tolist()
    columns = (names, lower, upper, recording.size.tolist(), offset.tolist())
    for row in zip(*columns, strict=True):
        yield ",".join(map(str, row))
