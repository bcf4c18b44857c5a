"""The block table: what happens when its slots are all taken, and addresses up to 2**31 - 1."""

import chex
import jax
import numpy as np
import pytest
from oracle import FITS, NOWHERE

from jaxmem.arena import measures
from jaxmem.arena.making import new_arena

LARGEST = 2**31 - 1
HALF = 2**30
PLACE = jax.jit(lambda arena, *block: arena.place(*block))
RELEASE = jax.jit(lambda arena, cell: arena.release(cell))


def table(cells: int, blocks: int, *placed: tuple[int, int]):
    """A table with blocks (start, size) that are placed in this order, and live for ever."""
    arena = new_arena(cells, LARGEST, 9, "table", blocks)
    for start, size in placed:
        arena = PLACE(arena, np.int32(start), np.int32(size), np.int32(HALF))
    return arena


def live(arena) -> list[tuple[int, int]]:
    """(start, end) of the live blocks, by address."""
    starts = np.asarray(arena.high)[:-1]
    return [
        (int(start), int(end))
        for start, end, expiry in zip(starts, arena.low[1:], arena.expiry[1:], strict=True)
        if expiry > 0
    ]


@jax.jit
def answers(arena, size):
    """All that is asked about a request of `size` cells (int32[])."""
    best, count = arena.best(size), arena.start_count(size)
    found = {rule: getattr(arena, rule)(size) for rule in (*FITS, "last")}
    return found | {
        "high end": arena.high_end(best, size),
        "start count": count,
        "first start": arena.numbered_start(size, np.int32(0)),
        "last start": arena.numbered_start(size, count - 1),
        "no start": arena.numbered_start(size, count),
        "fitting": arena.hole_count(size),
        "unusable": measures.unusable_free(arena, size),
        "legal": arena.legal_starts(size, 3)[0],
        "holes": arena.holes_that_fit(size, 1),
    }


@jax.jit
def contents(arena):
    """All that is there."""
    return {
        "free": arena.free_cells(),
        "live": measures.live_cells(arena),
        "blocks": arena.live_blocks(),
        "longest": arena.largest_hole(),
        "holes": arena.hole_count(),
        "taken": arena.taken(3),
        "histogram": arena.hole_histogram(),
        "parts": arena.parts(np.array([0, HALF, LARGEST], np.int32)),
    }


def test_a_block_that_finds_no_slot_is_not_placed():
    arena = table(100, 2, (10, 5), (20, 5))
    assert live(arena) == [(10, 15), (20, 25)]
    for start in (0, 15, 25):
        after = PLACE(arena, np.int32(start), np.int32(3), np.int32(4), np.int32(6))
        chex.assert_trees_all_equal(after, arena, strict=True)


def test_the_slot_of_a_dead_block_is_used_again():
    arena = table(100, 2, (10, 5), (20, 5))
    arena = PLACE(RELEASE(arena, np.int32(12)), np.int32(40), np.int32(5), np.int32(HALF))
    assert live(arena) == [(20, 25), (40, 45)]
    arena = PLACE(RELEASE(arena, np.int32(44)), np.int32(0), np.int32(5), np.int32(HALF))
    assert live(arena) == [(0, 5), (20, 25)]


def test_blocks_are_found_where_they_are_whatever_the_order_of_placing():
    starts = np.random.default_rng(0).permutation(16)
    arena = table(64, 16, *((4 * start, 3) for start in starts.tolist()))
    assert live(arena) == [(start, start + 3) for start in range(0, 64, 4)]
    assert int(arena.best(np.int32(1))) == 3
    assert int(arena.best(np.int32(2))) == NOWHERE


def test_an_empty_arena_of_the_most_cells():
    arena = table(LARGEST, 3)
    whole, one = answers(arena, np.int32(LARGEST)), answers(arena, np.int32(1))
    assert [int(whole[rule]) for rule in (*FITS, "last")] == [0] * 6
    assert (int(whole["start count"]), int(one["start count"])) == (1, LARGEST)
    assert (int(one["last"]), int(one["last start"])) == (LARGEST - 1, LARGEST - 1)
    assert (int(one["first start"]), int(one["no start"])) == (0, NOWHERE)
    assert float(whole["unusable"]) == 0.0
    assert whole["legal"].tolist() == [True, False, False]
    assert whole["holes"].length.tolist() == [LARGEST]
    assert (whole["holes"].below.wall.all(), whole["holes"].above.wall.all()) == (True, True)
    found = contents(arena)
    assert (int(found["free"]), int(found["longest"])) == (LARGEST, LARGEST)
    assert found["histogram"].tolist() == [0] * 30 + [1]


def test_a_full_arena_of_the_most_cells():
    arena = table(LARGEST, 3, (0, LARGEST))
    assert (int(arena.cursor), int(arena.high_water)) == (LARGEST, LARGEST)
    for size in (1, LARGEST):
        found = answers(arena, np.int32(size))
        assert {int(found[rule]) for rule in (*FITS, "last")} == {NOWHERE}
        assert int(found["start count"]) == 0
    found = contents(arena)
    assert (int(found["free"]), int(found["live"]), int(found["longest"])) == (0, LARGEST, 0)
    assert found["taken"].all()
    assert live(RELEASE(arena, np.int32(LARGEST))) == [(0, LARGEST)]
    assert live(RELEASE(arena, np.int32(LARGEST - 1))) == []


def test_a_hole_between_blocks_at_both_ends_of_the_most_cells():
    arena = table(LARGEST, 3, (LARGEST - 5, 5), (0, HALF))
    length = HALF - 6  # from HALF to LARGEST - 5
    for size in (1, length):
        found = answers(arena, np.int32(size))
        assert {int(found[rule]) for rule in FITS} == {HALF}
        assert int(found["last"]) == int(found["high end"]) == LARGEST - 5 - size
        assert int(found["start count"]) == length - size + 1
        assert int(found["last start"]) == LARGEST - 5 - size
        assert int(found["fitting"]) == 1
        holes = found["holes"]
        assert (int(holes.low[0]), int(holes.high[0])) == (HALF, LARGEST - 5 - size)
        assert (int(holes.below.size[0]), int(holes.above.size[0])) == (HALF, 5)
    for size in (length + 1, LARGEST):
        found = answers(arena, np.int32(size))
        assert {int(found[rule]) for rule in (*FITS, "last")} == {NOWHERE}
        assert float(found["unusable"]) == 1.0
    found = contents(arena)
    assert (int(found["free"]), int(found["live"])) == (length, HALF + 5)
    assert (int(found["blocks"]), int(found["holes"])) == (2, 1)
    assert found["histogram"].tolist() == [0] * 29 + [1, 0]
    assert found["parts"].cells.tolist() == [HALF, 5]
    assert found["parts"].blocks.tolist() == [1, 1]


@pytest.mark.parametrize("size", [0, -1, -(2**31)])
def test_a_request_of_no_cells_fits_nowhere(size):
    for arena in (table(LARGEST, 3), table(LARGEST, 3, (HALF, 5))):
        found = answers(arena, np.int32(size))
        assert {int(found[rule]) for rule in (*FITS, "last")} == {NOWHERE}
        assert int(found["start count"]) == int(found["fitting"]) == 0
        assert not found["legal"].any()
        assert not found["holes"].exists.any()
