"""Sets of cells as words, against Python's integers, in both representations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from repetition import slow

from jaxmem.arena.bits import WORD, Bits, UnrolledBits, empty, packed

WORDS = 3
CAPACITY = WORDS * WORD
EVERY = (1 << CAPACITY) - 1
BORDERS = (0, 1, 30, 31, 32, 33, 62, 63, 64, 65, 94, 95)
DISTANCES = (0, 1, 2, 5, 31, 32, 33, 63, 64, 65, 95, 96)


def sets_of_cells() -> list[int]:
    """Each as the integer whose bit p says that cell p is in the set."""
    rng = np.random.default_rng(0)
    dense = [int.from_bytes(rng.bytes(CAPACITY // 8), "little") for _ in range(20)]
    sparse = [a & b & c & d for a, b, c, d in zip(*[iter(dense)] * 4, strict=True)]
    runs = [((1 << 40) - 1) << start for start in (0, 20, 31, 56)]
    single = [1 << cell for cell in BORDERS]
    return [0, EVERY, *dense, *sparse, *runs, *single]


SETS = sets_of_cells()


def words_of(number: int) -> list[int]:
    return [number >> (WORD * index) & 0xFFFFFFFF for index in range(WORDS)]


def cells_of(number: int) -> list[int]:
    return [cell for cell in range(CAPACITY) if number >> cell & 1]


def integers(sets: Bits) -> list[int]:
    """The sets of a batched result, as integers."""
    unrolled = isinstance(sets, UnrolledBits)
    words = np.stack(sets.words, -1) if unrolled else np.asarray(sets.words)
    return [sum(int(word) << (WORD * i) for i, word in enumerate(row)) for row in words]


@pytest.fixture(params=["unrolled", "stacked"])
def on_every_set(request):
    """A function that applies another to all of SETS at once, compiled."""
    words = jnp.array([words_of(number) for number in SETS], jnp.uint32)
    unrolled = request.param == "unrolled"
    if unrolled:
        words = tuple(words[:, index] for index in range(WORDS))
    sets = empty(CAPACITY, unrolled=unrolled).replace(words=words)

    def apply(function, *columns):
        return jax.jit(jax.vmap(function))(sets, *columns)

    return apply


def test_moving_a_set_carries_cells_over_word_borders(on_every_set):
    moved = on_every_set(lambda s: [(s >> by, s << by) for by in DISTANCES])
    for by, (down, up) in zip(DISTANCES, moved, strict=True):
        assert integers(down) == [number >> by for number in SETS]
        assert integers(up) == [number << by & EVERY for number in SETS]


@pytest.mark.parametrize("distance", [CAPACITY + 1, CAPACITY + WORD, 2 * CAPACITY + 5])
def test_a_set_moved_by_more_than_its_capacity_is_empty(on_every_set, distance):
    down, up = on_every_set(lambda s: (s >> distance, s << distance))
    for moved in (down, up):
        assert np.shape(moved.words)[0 if isinstance(moved.words, tuple) else -1] == WORDS
        assert integers(moved) == [0] * len(SETS)


def test_sets_combine_cell_by_cell(on_every_set):
    both, either, one, others = on_every_set(
        lambda s: (s & (s >> 7), s | (s >> 7), s ^ (s >> 7), ~s)
    )
    assert integers(both) == [number & number >> 7 for number in SETS]
    assert integers(either) == [number | number >> 7 for number in SETS]
    assert integers(one) == [number ^ number >> 7 for number in SETS]
    assert integers(others) == [EVERY - number for number in SETS]


def test_the_lowest_and_highest_cell_and_the_number_of_cells(on_every_set):
    lowest, highest, count, some = on_every_set(
        lambda s: (s.lowest(), s.highest(), s.count(), s.any())
    )
    assert lowest.tolist() == [min(cells_of(number), default=CAPACITY) for number in SETS]
    assert highest.tolist() == [max(cells_of(number), default=-1) for number in SETS]
    assert count.tolist() == [number.bit_count() for number in SETS]
    assert some.tolist() == [number != 0 for number in SETS]
    assert {array.dtype for array in (lowest, highest, count)} == {jnp.dtype(jnp.int32)}


def test_a_set_knows_which_cells_it_has(on_every_set):
    has, listed = on_every_set(
        lambda s: (s.has(jnp.arange(CAPACITY, dtype=jnp.int32)), s.cells(CAPACITY - 5))
    )
    for number, one_by_one, first in zip(SETS, has, listed, strict=True):
        assert np.flatnonzero(one_by_one).tolist() == cells_of(number)
        assert np.flatnonzero(first).tolist() == [c for c in cells_of(number) if c < CAPACITY - 5]
    assert listed.shape[-1] == CAPACITY - 5


def test_the_cells_of_a_set_are_numbered_from_0(on_every_set):
    numbers = range(-2, CAPACITY + 2)
    found = on_every_set(lambda s: jax.vmap(s.numbered)(jnp.array(numbers, jnp.int32)))
    for number, by_number in zip(SETS, found.tolist(), strict=True):
        cells = dict(enumerate(cells_of(number)))
        assert by_number == [cells.get(asked, CAPACITY) for asked in numbers]


def test_all_cells_below_a_border(on_every_set):
    borders = (-40, -1, *BORDERS, CAPACITY, CAPACITY + 1, CAPACITY + 40)
    below = on_every_set(lambda s: [s.below(jnp.int32(border)) for border in borders])
    for border, cells in zip(borders, below, strict=True):
        expected = (1 << min(max(border, 0), CAPACITY)) - 1
        assert integers(cells) == [expected] * len(SETS)


def test_one_of_two_sets_is_selected(on_every_set):
    conditions = np.arange(len(SETS)) % 3 == 0
    chosen = on_every_set(lambda s, condition: s.select(condition, ~s), conditions)
    assert integers(chosen) == [
        number if condition else EVERY - number
        for number, condition in zip(SETS, conditions, strict=True)
    ]


def test_a_set_becomes_every_cell_or_none(on_every_set):
    everything = np.arange(len(SETS)) % 3 == 0
    filled = on_every_set(lambda s, everything: s.all_or_none(everything), everything)
    assert integers(filled) == [EVERY * int(every) for every in everything]


@pytest.mark.parametrize("borders", [(0, 32, 64), (5, 64, 65), (-1, 40, 96), (96, 33, 95)])
def test_every_word_of_a_long_set_may_have_its_own_border(borders):
    below = empty(CAPACITY, unrolled=False).below(jnp.array(borders, jnp.int32))
    assert cells_of(sum(int(word) << (WORD * i) for i, word in enumerate(below.words))) == [
        cell for cell in range(CAPACITY) if cell < borders[cell // WORD]
    ]


@pytest.mark.parametrize("count", [32, 33, 70, *slow(1, 31, 128)])
def test_packing_undoes_listing(count):
    cells = np.random.default_rng(count).random((50, count)) < 0.5
    listed = jax.jit(jax.vmap(lambda cells: packed(cells).cells(count)))(cells)
    assert (np.asarray(listed) == cells).all()


@pytest.mark.parametrize("unrolled", [True, False])
@pytest.mark.parametrize(("capacity", "words"), [(1, 1), (32, 1), (33, 2), (256, 8), (257, 9)])
def test_an_empty_set_has_whole_words_and_no_cells(capacity, words, unrolled):
    nothing = empty(capacity, unrolled=unrolled)
    assert nothing.capacity == words * WORD
    assert isinstance(nothing, UnrolledBits) == unrolled
    assert not nothing.any()
    assert nothing.lowest() == words * WORD
