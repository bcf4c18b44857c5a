"""PyTorch's caching allocator by its rules: by hand, and by what must hold of any allocator."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxmem.arena.arena import NEVER
from jaxmem.recordings import Recording
from jaxmem.recordings.caching_allocator import CachingAllocator, reserved_by_rules

KIB, MIB = 2**10, 2**20


@pytest.mark.parametrize(
    ("size", "reserved"),
    [
        (1, 2 * MIB),
        (MIB, 2 * MIB),
        (MIB + 1, 20 * MIB),
        (10 * MIB - 512, 20 * MIB),
        (10 * MIB - 511, 10 * MIB),  # rounded up to 10 MiB first
        (10 * MIB + 1, 12 * MIB),
        (21 * MIB, 22 * MIB),
    ],
)
def test_a_first_request_takes_a_segment_by_its_size(size, reserved):
    allocator = CachingAllocator()
    assert allocator.allocate(size) == 0
    assert allocator.reserved == reserved


def test_small_blocks_are_cut_from_one_segment_and_its_holes_join():
    allocator = CachingAllocator()
    # Each is rounded up to 512 bytes, and the next lies behind it.
    assert [allocator.allocate(size) for size in (1, 512, 513, 1024)] == [0, 512, 1024, 2048]
    allocator.free(512)
    # The hole at 512 fits more tightly than what is left of the segment.
    assert allocator.allocate(100) == 512
    allocator.free(512)
    allocator.free(1024)
    # The two are one hole of 1,536 bytes now.
    assert allocator.allocate(1536) == 512
    assert allocator.reserved == 2 * MIB


def test_of_holes_of_one_length_the_lowest_is_taken():
    allocator = CachingAllocator()
    starts = [allocator.allocate(512) for _ in range(6)]
    for hole in (starts[4], starts[0], starts[2]):
        allocator.free(hole)
    assert [allocator.allocate(1) for _ in range(3)] == [starts[0], starts[2], starts[4]]


def test_a_large_block_is_split_only_where_more_than_a_mebibyte_is_left():
    allocator = CachingAllocator()
    allocator.allocate(9 * MIB)  # 11 MiB are left of 20
    assert allocator.allocate(10 * MIB) == 9 * MIB  # 1 MiB left over stays with the block
    assert allocator.allocate(MIB + 512) == 20 * MIB  # so this needs a segment
    assert allocator.reserved == 40 * MIB
    # 20 MiB - 1 MiB - 512 are left of that, and are cut off: more than 1 MiB.
    assert allocator.allocate(2 * MIB) == 21 * MIB + 512
    assert allocator.reserved == 40 * MIB


def test_pools_do_not_lend_to_each_other_and_segments_do_not_join():
    allocator = CachingAllocator()
    large = allocator.allocate(2 * MIB)
    allocator.free(large)
    assert allocator.allocate(KIB) == 20 * MIB  # 20 MiB are free, but not for small blocks
    second = CachingAllocator()
    for start in [second.allocate(MIB) for _ in range(4)]:  # two segments, side by side
        second.free(start)
    assert second.reserved == 4 * MIB
    assert [second.allocate(MIB) for _ in range(4)] == [0, MIB, 2 * MIB, 3 * MIB]
    assert second.reserved == 4 * MIB


def test_a_recording_played_by_hand():
    # 12 MiB, freed, then 11 MiB in its place; 3 MiB beside it take 20 more, and 1 KiB takes 2.
    size = np.array([12 * MIB, 11 * MIB, 3 * MIB, KIB])
    assert reserved_by_rules(Recording("r", size, np.array([1, NEVER, NEVER, NEVER]))) == 34 * MIB
    # If the first stays until the third, that one has its place; if for ever, all need their own.
    assert reserved_by_rules(Recording("r", size, np.array([2, NEVER, NEVER, NEVER]))) == 26 * MIB
    assert reserved_by_rules(Recording("r", size, np.full(4, NEVER))) == 46 * MIB


SIZES = st.one_of(st.integers(1, 4 * KIB), st.integers(1, 2 * MIB), st.integers(MIB, 40 * MIB))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(SIZES, st.integers(-9, -1)), min_size=1, max_size=60))
def test_live_blocks_never_overlap_and_lie_inside_one_segment(moves):
    """A positive number allocates; a negative one frees one of the live blocks."""
    allocator, live = CachingAllocator(), {}
    for move in moves:
        if move > 0:
            start = allocator.allocate(move)
            assert start not in live
            assert start % 512 == 0
            live[start] = move
        elif live:
            start = sorted(live)[-move % len(live)]
            allocator.free(start)
            del live[start]
        blocks = sorted((start, start + size) for start, size in live.items())
        assert all(one[1] <= two[0] for one, two in pairwise(blocks))
        for low, high in blocks:
            (home,) = [s for s in allocator.segments if s.start <= low < s.end]
            assert high <= home.end
            assert home.small == (-(-live[low] // 512) * 512 <= MIB)
        assert allocator.reserved >= sum(live.values())
        assert allocator.reserved == sum(s.end - s.start for s in allocator.segments)
    for start in live:
        allocator.free(start)
    # With nothing live, every segment is one hole again: the largest fits in without a new one.
    reserved = allocator.reserved
    for segment in allocator.segments[:]:
        assert (
            allocator.allocate(min(segment.end - segment.start, MIB if segment.small else 2**60))
            >= 0
        )
    assert allocator.reserved == reserved
