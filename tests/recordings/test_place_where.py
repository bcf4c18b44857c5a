"""A block at the end of the hole that is worth most, against the same in plain Python."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem.arena.arena import NOWHERE
from jaxmem.recordings.hole_table import HoleTable, new_hole_table

TABLES = 400
LARGE = 2**31 - 2


def random_tables(slots: int, unit: int, seed: int):
    """Holes of any number apart from each other, in slots in no order; sizes, and worths with ties.

    low, high: int32[TABLES, slots]; size: int32[TABLES]; worth: float32[TABLES, 2, slots].
    """
    random = np.random.default_rng(seed)
    low, high = np.zeros((2, TABLES, slots), np.int64)
    for number in range(TABLES):
        holes = random.integers(slots + 1)
        gaps = random.integers(1, 7, 2 * slots)
        ends = (np.cumsum(gaps) - random.integers(gaps[0] + 1)).reshape(slots, 2)[:holes]
        chosen = random.permutation(slots)[:holes]
        low[number, chosen], high[number, chosen] = ends.T
    spare = low == high
    low[spare] = high[spare] = random.integers(0, 40, spare.sum())
    score = random.integers(-2, 3, (TABLES, 2, slots)) / random.choice([1, 1000], (TABLES, 1, 1))
    size = random.integers(1, 8, TABLES)
    return (
        (low * unit).astype(np.int32),
        (high * unit).astype(np.int32),
        (size * unit).astype(np.int32),
        score.astype(np.float32),
    )


def slow_choice(low, high, size, score):
    """(start, whether at the high end, slot), or None: the dearest end, then the lowest start."""
    ends = [
        (-score[end][slot], high[slot] - size if end else low[slot], end, slot)
        for end in (0, 1)
        for slot in range(len(low))
        if high[slot] - low[slot] >= size
    ]
    return min(ends)[1:] if ends else None


@pytest.mark.parametrize(("slots", "unit"), [(5, 1), (40, LARGE // 300)])
def test_the_end_that_is_worth_most_is_taken_as_in_plain_python(slots, unit):
    low, high, size, score = random_tables(slots, unit, seed=slots)
    empty = new_hole_table(LARGE, slots)
    tables = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (TABLES, *leaf.shape)), empty)
    tables = tables.replace(low=jnp.asarray(low), high=jnp.asarray(high))
    after, starts = jax.jit(jax.vmap(HoleTable.place_where))(
        tables, jnp.asarray(size), jnp.asarray(score)
    )
    taken = set()
    for number in range(TABLES):
        lows, highs = low[number].tolist(), high[number].tolist()
        choice = slow_choice(lows, highs, int(size[number]), score[number].tolist())
        start, cursor = NOWHERE, 0
        if choice is not None:
            start, end, slot = choice
            taken.add(end)
            cursor = start + int(size[number])
            # A hole that is filled has lost its low end.
            if start == lows[slot]:
                lows[slot] = cursor
            else:
                highs[slot] = start
        else:
            taken.add("none")
        assert starts[number] == start, number
        assert after.low[number].tolist() == lows, number
        assert after.high[number].tolist() == highs, number
        assert after.cursor[number] == cursor, number
    assert taken == {0, 1, "none"}
    assert not after.full.any()


def table_of(*holes):
    low, high = (jnp.array(row, jnp.int32) for row in zip(*holes, strict=True))
    return new_hole_table(100, len(holes)).replace(low=low, high=high)


def placed(table, size, low, high):
    after, start = table.place_where(jnp.int32(size), jnp.array([low, high], jnp.float32))
    return int(start), list(zip(after.low.tolist(), after.high.tolist(), strict=True))


def test_of_ends_worth_the_same_that_with_the_lowest_start_is_taken():
    table = table_of((50, 60), (20, 30), (0, 10))
    start, holes = placed(table, 4, [2, 2, 2], [2, 2, 2])
    assert start == 0
    assert holes == [(50, 60), (20, 30), (4, 10)]
    start, holes = placed(table, 4, [2, 2, 1], [1, 2, 2])
    assert start == 6
    assert holes == [(50, 60), (20, 30), (0, 6)]
    start, holes = placed(table, 4, [2, 1, 1], [2, 2, 1])
    assert start == 26
    assert holes == [(50, 60), (20, 26), (0, 10)]


def test_a_hole_that_does_not_fit_is_not_taken_whatever_it_is_worth():
    table = table_of((0, 3), (10, 20))
    assert placed(table, 4, [9.0, -9.0], [9.0, -5.0])[0] == 16
    assert placed(table, 4, [np.nan, -9.0], [np.inf, -5.0])[0] == 16


def test_where_nothing_fits_the_table_stays_as_it_is():
    table = table_of((0, 3), (10, 20))
    assert placed(table, 11, [1.0, 1.0], [1.0, 1.0]) == (NOWHERE, [(0, 3), (10, 20)])


def test_a_hole_that_is_filled_leaves_its_slot():
    after, start = table_of((0, 3), (10, 20)).place_where(jnp.int32(3), jnp.array([[1.0, 0.0]] * 2))
    assert start == 0
    assert after.holes() == 1
