"""The memory at a moment: what lies where, from the start cells that a policy chose."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

FREE = -1  # owner of a hole
FIRST_LAYOUT_OWNER = -2  # owner of the first block that was there before; the next is -3, and so on

LayoutLike = Sequence[Sequence[int]]  # (start, size) of each block that is there from the beginning


class Stretch(NamedTuple):
    """A block or a hole."""

    start: int  # cell address
    size: int  # cells, at least 1
    owner: (
        int  # the request, from 0, of the block; FREE; FIRST_LAYOUT_OWNER or below: of the layout
    )

    @property
    def end(self) -> int:
        """One past the last cell."""
        return self.start + self.size


def memory_at(
    time: int,
    start: np.ndarray,
    size: np.ndarray,
    lifetime: np.ndarray,
    cells: int,
    layout: LayoutLike = (),
) -> list[Stretch]:
    """Returns what lies in the arena when request `time` waits, in address order, without a gap.

    Args:
        time: 0 .. T; T: after the last request.
        start: int[T], the start cell of each request, below 0: failed.
        size: int[T], cells.
        lifetime: int[T], requests; a block of request t is live for t .. t + lifetime - 1.
        layout: blocks that stay for good.
    """
    request = np.arange(min(time, len(start)))
    placed = np.asarray(start)[: len(request)] >= 0
    live = request[placed & (request + np.asarray(lifetime)[: len(request)] > time)]
    blocks = [
        Stretch(int(at), int(many), FIRST_LAYOUT_OWNER - k) for k, (at, many) in enumerate(layout)
    ]
    blocks += [Stretch(int(start[k]), int(size[k]), int(k)) for k in live]
    return with_holes(blocks, cells)


def stretches_of(taken: np.ndarray, begins: np.ndarray) -> list[Stretch]:
    """Returns what lies in an arena that knows its cells only; blocks are numbered by address.

    Args:
        taken: bool[N], whether a block covers the cell.
        begins: bool[N], whether a block begins at the cell.
    """
    taken, begins = np.asarray(taken, bool), np.asarray(begins, bool)
    starts = np.flatnonzero(begins & taken)
    borders = np.flatnonzero(begins | ~taken)
    ends = np.append(borders, len(taken))[np.searchsorted(borders, starts, side="right")]
    blocks = [
        Stretch(int(a), int(b - a), k) for k, (a, b) in enumerate(zip(starts, ends, strict=True))
    ]
    return with_holes(blocks, len(taken))


def with_holes(blocks: Iterable[Stretch], cells: int) -> list[Stretch]:
    """Returns the blocks in address order, and the holes between them."""
    found: list[Stretch] = []
    at = 0
    for block in sorted(blocks):
        if block.start > at:
            found.append(Stretch(at, block.start - at, FREE))
        found.append(block)
        at = block.end
    return [*found, Stretch(at, cells - at, FREE)] if at < cells else found


def holes(memory: Sequence[Stretch]) -> list[Stretch]:
    """Returns the holes of it."""
    return [stretch for stretch in memory if stretch.owner == FREE]


def legal_ends(memory: Sequence[Stretch], size: int) -> list[int]:
    """Returns the low and the high end of every hole in which a request fits, by address."""
    ends = [(hole.start, hole.end - size) for hole in holes(memory) if hole.size >= size]
    return sorted({start for pair in ends for start in pair})


def fits(memory: Sequence[Stretch], start: int, size: int) -> bool:
    """Tells whether a request may start at a cell."""
    return any(
        stretch.owner == FREE and stretch.start <= start and start + size <= stretch.end
        for stretch in memory
    )


def free_words(memory: Sequence[Stretch]) -> str:
    """Says what is free: "20 cells free in 4 holes, largest 7"."""
    free = [hole.size for hole in holes(memory)]
    if not free:
        return "full"
    cells = f"{sum(free):,} {'cell' if sum(free) == 1 else 'cells'} free in {len(free):,} "
    return cells + ("hole" if len(free) == 1 else f"holes, largest {max(free):,}")
