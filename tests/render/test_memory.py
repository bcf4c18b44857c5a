"""What lies where at a moment."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxmem.render.memory import (
    FIRST_LAYOUT_OWNER,
    FREE,
    Stretch,
    fits,
    free_words,
    holes,
    legal_ends,
    memory_at,
    stretches_of,
    with_holes,
)
from jaxmem.render.palette import NEVER

LAYOUT = [[5, 10], [25, 5], [40, 15], [65, 5], [80, 15]]
SIZES = np.array([8, 12, 5, 9, 11, 4, 6])
FIRST = np.array([15, -1, 0, 30, -1, 55, 59])
FOREVER = np.full(7, NEVER)


def test_the_memory_after_the_last_request_has_every_block():
    memory = memory_at(7, FIRST, SIZES, FOREVER, 100, LAYOUT)
    assert memory[:4] == [(0, 5, 2), (5, 10, FIRST_LAYOUT_OWNER), (15, 8, 0), (23, 2, FREE)]
    assert free_words(memory) == "18 cells free in 4 holes, largest 10"


def test_a_request_that_waits_is_not_there_yet():
    owners = {stretch.owner for stretch in memory_at(2, FIRST, SIZES, FOREVER, 100)}
    assert owners == {0, FREE}


def test_a_block_is_gone_when_its_time_has_come():
    start, size, lifetime = np.array([0, 5]), np.array([5, 5]), np.array([2, 1])
    owners = [[s.owner for s in memory_at(t, start, size, lifetime, 10)] for t in range(4)]
    assert owners == [[FREE], [0, FREE], [FREE], [FREE]]


def test_a_full_memory_is_called_full():
    assert free_words([Stretch(0, 9, 0)]) == "full"
    assert free_words([Stretch(0, 8, 0), Stretch(8, 1, FREE)]) == "1 cell free in 1 hole"


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), max_size=12), st.integers(0, 5))
def test_blocks_and_holes_cover_every_cell_once(blocks, rest):
    placed, at = [], 0
    for number, (size, gap) in enumerate(blocks):
        placed.append(Stretch(at + gap, size, number))
        at += gap + size
    cells = at + rest
    memory = with_holes(placed[::-1], cells)
    assert sum(stretch.size for stretch in memory) == cells
    assert all(a.end == b.start for a, b in pairwise(memory))
    assert [stretch for stretch in memory if stretch.owner != FREE] == placed
    assert all(hole.size > 0 for hole in holes(memory))


def test_blocks_that_touch_are_told_apart_by_where_they_begin():
    taken = np.array([1, 1, 1, 0, 0, 1, 1, 0], bool)
    begins = np.array([1, 0, 1, 0, 0, 1, 0, 0], bool)
    found = stretches_of(taken, begins)
    assert found == [(0, 2, 0), (2, 1, 1), (3, 2, FREE), (5, 2, 2), (7, 1, FREE)]


@pytest.mark.parametrize("cells", [0, 1, 5])
def test_an_empty_memory_is_one_hole(cells):
    nothing = np.zeros(cells, bool)
    assert stretches_of(nothing, nothing) == ([(0, cells, FREE)] if cells else [])


MEMORY = [Stretch(0, 4, FREE), Stretch(4, 2, 0), Stretch(6, 2, FREE)]


@pytest.mark.parametrize(("size", "ends"), [(1, [0, 3, 6, 7]), (2, [0, 2, 6]), (4, [0]), (5, [])])
def test_a_person_is_offered_both_ends_of_every_hole_that_fits(size, ends):
    assert legal_ends(MEMORY, size) == ends
    assert all(fits(MEMORY, start, size) for start in ends)


def test_a_request_that_would_leave_its_hole_does_not_fit():
    assert not fits(MEMORY, 3, 2)
    assert not fits(MEMORY, 7, 2)
    assert not fits(MEMORY, 4, 1)
