"""PyTorch's caching allocator for CUDA, played by its published rules.

Source: c10/cuda/CUDACachingAllocator.cpp, with the settings that nobody has changed, and one
stream. A size is rounded up to 512 bytes. Blocks of up to 1 MiB are cut from segments of 2 MiB,
larger ones from segments of their own pool: of 20 MiB for less than 10 MiB, else as long as the
block in whole 2 MiB. A request takes the shortest free block of its pool that is long enough, of
those the one with the lowest address, and only where there is none a new segment. What is left
over is cut off if it is at least 512 bytes among the small blocks, more than 1 MiB among the large
ones. A block that is freed joins its free neighbours in the segment.

Left out: other streams, private pools of CUDA graphs, expandable segments, and that segments
without a block are given back when the device has no memory left: here segments stay.
"""

from bisect import bisect_left, insort
from typing import NamedTuple

from jaxmem.arena.arena import NEVER
from jaxmem.recordings import Recording

ROUNDED = 512  # bytes, to which sizes are rounded up
SMALL_POOL_BYTES = 2**20  # bytes; larger ones are in the large pool
SMALL_SEGMENT = 2 * 2**20  # bytes
LARGE_SEGMENT = 20 * 2**20  # bytes
OWN_SEGMENT = 10 * 2**20  # bytes, from which on a request has a segment of its own
OWN_ROUNDED = 2 * 2**20  # bytes, to which such a segment is rounded up


class Segment(NamedTuple):
    """Memory taken from the device."""

    start: int  # bytes
    end: int  # bytes
    small: bool


class CachingAllocator:
    """Segments and the blocks in them; addresses are counted in bytes."""

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self.reserved = 0  # bytes in all segments
        # Of each pool the free blocks, (length, start), sorted.
        self._free: dict[bool, list[tuple[int, int]]] = {True: [], False: []}
        self._free_from: dict[int, int] = {}  # start -> end of each free block
        self._free_to: dict[int, int] = {}  # end -> start
        self._taken: dict[int, tuple[int, Segment]] = {}  # start -> end and segment
        self._segment_of: dict[int, Segment] = {}  # start of each free block -> its segment

    def allocate(self, size: int) -> int:
        """Allocates a block of at least `size` bytes, 1 or more, and returns its address."""
        size = max(ROUNDED, -(-size // ROUNDED) * ROUNDED)
        small = size <= SMALL_POOL_BYTES
        pool = self._free[small]
        at = bisect_left(pool, (size, 0))
        start = pool[at][1] if at < len(pool) else self._new_segment(size, small)
        segment = self._segment_of[start]
        end = self._free_from[start]
        self._remove(start)
        left = end - start - size
        if left >= ROUNDED if small else left > SMALL_POOL_BYTES:
            self._add(start + size, end, segment)
            end = start + size
        self._taken[start] = end, segment
        return start

    def free(self, start: int) -> None:
        """Frees the block at an address that `allocate` has given."""
        end, segment = self._taken.pop(start)
        # Blocks of another segment may begin where this one ends.
        after = self._free_from.get(end) if end < segment.end else None
        before = self._free_to.get(start) if start > segment.start else None
        if after is not None:
            self._remove(end)
            end = after
        if before is not None:
            self._remove(before)
            start = before
        self._add(start, end, segment)

    def _new_segment(self, size: int, small: bool) -> int:
        if small:
            length = SMALL_SEGMENT
        elif size < OWN_SEGMENT:
            length = LARGE_SEGMENT
        else:
            length = -(-size // OWN_ROUNDED) * OWN_ROUNDED
        segment = Segment(self.reserved, self.reserved + length, small)
        self.segments.append(segment)
        self.reserved += length
        self._add(segment.start, segment.end, segment)
        return segment.start

    def _add(self, start: int, end: int, segment: Segment) -> None:
        insort(self._free[segment.small], (end - start, start))
        self._free_from[start], self._free_to[end] = end, start
        self._segment_of[start] = segment

    def _remove(self, start: int) -> None:
        end, segment = self._free_from.pop(start), self._segment_of.pop(start)
        del self._free_to[end]
        pool = self._free[segment.small]
        del pool[bisect_left(pool, (end - start, start))]


def reserved_by_rules(recording: Recording) -> int:
    """Counts the bytes that the allocator has reserved at a recording's end, which is the most."""
    allocator = CachingAllocator()
    requests = recording.requests
    ending: dict[int, list[int]] = {}  # request before which blocks end -> their addresses
    for number, (size, lifetime) in enumerate(
        zip(recording.size.tolist(), recording.lifetime.tolist(), strict=True)
    ):
        for start in ending.pop(number, ()):
            allocator.free(start)
        start = allocator.allocate(size)
        if lifetime != NEVER and number + lifetime < requests:
            ending.setdefault(number + lifetime, []).append(start)
    return allocator.reserved
