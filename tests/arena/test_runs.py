"""Searches for runs of free cells against a plain walk over the cells, in both representations."""

from functools import cache

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem.arena import runs
from jaxmem.arena.bits import WORD, Bits, StackedBits, UnrolledBits

# Unrolled programs of many words take long to compile, and no arena uses them.
SHAPES = [
    pytest.param(UnrolledBits, 1, id="1 word"),
    pytest.param(UnrolledBits, 2, id="2 words"),
    pytest.param(StackedBits, 1, id="1 word, stacked"),
    pytest.param(StackedBits, 3, id="3 words, stacked"),
    pytest.param(StackedBits, 128, id="128 words, stacked"),
    pytest.param(UnrolledBits, 3, id="3 words", marks=pytest.mark.slow),
    pytest.param(StackedBits, 10, id="10 words, stacked", marks=pytest.mark.slow),
    pytest.param(StackedBits, 33, id="33 words, stacked", marks=pytest.mark.slow),
]


def free_cells(words: int) -> np.ndarray:
    """Sets of free cells, random ones and those at the edges of what there is: bool[S, N]."""
    capacity = WORD * words
    rng = np.random.default_rng(words)
    cell = np.arange(capacity)
    extremes = [
        cell < 0,
        cell >= 0,
        cell % 2 == 0,
        cell % WORD == WORD - 1,
        cell % WORD == 0,
        cell % WORD != 0,
        cell % WORD != WORD - 1,
        (cell // WORD) % 2 == 1,
        cell % (2 * WORD) != 0,
        cell > 0,
        cell < capacity - 1,
        (cell > 0) & (cell < capacity - 1),
        (cell >= WORD - 1) & (cell <= capacity - WORD),
        np.abs(cell - capacity // 2) <= WORD // 2,
        cell % 7 != 3,
        # The shortest hole is the last, and each is found in another way.
        (cell % 50 != 0) & (cell != capacity - 2),
    ]
    flips = [rng.random(capacity) < chance for chance in (0.02, 0.05, 0.1, 0.3, 0.5) * 6]
    patches = [np.cumsum(flip) % 2 == 1 for flip in flips]
    sparse = [rng.random(capacity) > chance for chance in (0.5, 0.1, 0.03, 0.01)]
    return np.stack([*extremes, *patches, *sparse])


def sizes(words: int) -> list[int]:
    capacity = WORD * words
    asked = {1, 2, 3, 16, 30, 31, 32, 33, 63, 64, 65, capacity // 2, capacity - 1, capacity}
    return sorted(size for size in asked if 1 <= size <= capacity)


def as_sets(kind: type[Bits], cells: np.ndarray) -> Bits:
    """A set for each row of bool[S, N]."""
    places = cells.reshape(len(cells), -1, WORD).astype(np.uint64) << np.arange(
        WORD, dtype=np.uint64
    )
    words = places.sum(axis=-1).astype(np.uint32)
    return kind(words=jnp.array(words) if kind is StackedBits else tuple(jnp.array(words.T)))


def free_ahead(cells: np.ndarray) -> np.ndarray:
    """How many cells are free in a row from each cell on: int[S, N]."""
    ahead = np.zeros((len(cells), cells.shape[1] + 1), int)
    for cell in reversed(range(cells.shape[1])):
        ahead[:, cell] = np.where(cells[:, cell], ahead[:, cell + 1] + 1, 0)
    return ahead[:, :-1]


@cache
def holes(words: int) -> list[list[tuple[int, int]]]:
    """(first cell, length) of every hole of each set, in address order."""
    ahead = free_ahead(free_cells(words))
    before = np.pad(ahead, ((0, 0), (1, 0)))[:, :-1]
    lows = [np.flatnonzero(row) for row in (ahead > 0) & (before == 0)]
    return [
        list(zip(low.tolist(), row[low].tolist(), strict=True))
        for low, row in zip(lows, ahead, strict=True)
    ]


def on_every_set(kind: type[Bits], words: int, function, *columns):
    """What `function` says of every set, compiled and mapped."""
    return jax.jit(jax.vmap(function))(as_sets(kind, free_cells(words)), *columns)


@pytest.mark.parametrize(("kind", "words"), SHAPES)
def test_a_request_may_start_where_it_stays_inside_a_hole(kind, words):
    asked = jnp.array(sizes(words), jnp.int32)

    def listed(free: Bits) -> jax.Array:
        starts = jax.vmap(lambda size: runs.run_starts(free, size))(asked)
        return jax.vmap(lambda starts: starts.cells(free.capacity))(starts)

    found = on_every_set(kind, words, listed)  # bool[S, sizes, N]
    expected = free_ahead(free_cells(words))[:, None] >= np.array(sizes(words))[:, None]
    assert (np.asarray(found) == expected).all()


@pytest.mark.parametrize(("kind", "words"), SHAPES)
def test_the_shortest_hole_that_fits_is_found_and_of_several_the_lowest(kind, words):
    asked = jnp.array(sizes(words), jnp.int32)
    found = on_every_set(
        kind, words, lambda free: jax.vmap(lambda size: runs.shortest(free, size))(asked)
    )
    chex.assert_type(found, jnp.int32)
    for there, by_size in zip(holes(words), found.tolist(), strict=True):
        for size, low in zip(sizes(words), by_size, strict=True):
            fitting = [(length, low) for low, length in there if length >= size]
            _, expected = min(fitting, default=(0, WORD * words))
            assert low == expected, f"{size} cells in {there}"


@pytest.mark.parametrize(("kind", "words"), SHAPES)
def test_the_longest_hole_is_found_and_of_several_the_lowest(kind, words):
    found = on_every_set(kind, words, runs.longest)
    chex.assert_type(found, [jnp.int32, jnp.int32])
    for there, low, length in zip(holes(words), *map(np.asarray, found), strict=True):
        longest, expected = min(
            [(-length, low) for low, length in there], default=(0, WORD * words)
        )
        assert (low, length) == (expected, -longest), f"in {there}"


@pytest.mark.parametrize(("kind", "words"), SHAPES)
def test_every_hole_has_a_low_and_a_high_end(kind, words):
    lows, highs = on_every_set(
        kind,
        words,
        lambda free: [ends(free).cells(free.capacity) for ends in (runs.low_ends, runs.high_ends)],
    )
    for there, low, high in zip(holes(words), np.asarray(lows), np.asarray(highs), strict=True):
        assert np.flatnonzero(low).tolist() == [low for low, _ in there]
        assert np.flatnonzero(high).tolist() == [low + length - 1 for low, length in there]


def test_one_set_alone_is_searched_as_among_many():
    def searched(free: Bits):
        size = jnp.int32(5)
        return runs.run_starts(free, size), runs.shortest(free, size), runs.longest(free)

    together = on_every_set(StackedBits, 10, searched)
    alone = jax.jit(lambda sets: jax.lax.map(searched, sets))(as_sets(StackedBits, free_cells(10)))
    chex.assert_trees_all_equal(alone, together, strict=True)
