"""A number on every cell, in both representations, against plain lists of numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem.arena.bits import WORD, Bits, StackedBits, UnrolledBits, empty, packed
from jaxmem.arena.planes import Planes, planes

CAPACITY = 3 * WORD
DEPTH = 5
MOST = 2**DEPTH - 1
# (number, first cell, one past the last): what is written, one after the other
WRITTEN = [(3, 0, 50), (MOST, 40, 70), (0, 60, 65), (MOST + 9, 90, 96), (17, 31, 33), (5, 80, 80)]


@pytest.fixture(params=["unrolled", "stacked"], name="nothing")
def fixture_nothing(request) -> Bits:
    return empty(CAPACITY, unrolled=request.param == "unrolled")


def expected() -> list[int]:
    numbers = [0] * CAPACITY
    for number, low, high in WRITTEN:
        numbers[low:high] = [min(number, MOST)] * (high - low)
    return numbers


def written(nothing: Bits) -> Planes:
    carried = planes(nothing, DEPTH)
    for number, low, high in WRITTEN:
        carried = carried.written(nothing.below(high) & ~nothing.below(low), jnp.int32(number))
    return carried


def test_every_cell_carries_what_was_written_last_and_at_most_all_ones(nothing):
    numbers = jax.jit(lambda: written(nothing).at(jnp.arange(CAPACITY, dtype=jnp.int32)))()
    assert numbers.dtype == jnp.int32
    assert numbers.tolist() == expected()


def test_the_cells_with_a_number_are_found(nothing):
    asked = range(MOST + 1)
    found = jax.jit(
        lambda: jax.vmap(lambda number: written(nothing).equal(number).cells(CAPACITY))(
            jnp.array(asked, jnp.int32)
        )
    )()
    assert (np.asarray(found) == (np.array(expected()) == np.array(asked)[:, None])).all()


def test_numbers_are_summed_over_cells(nothing):
    chosen = np.random.default_rng(0).random((20, CAPACITY)) < 0.3

    def total(cells):
        words = packed(cells).words
        if isinstance(nothing, UnrolledBits):
            return written(nothing).total(UnrolledBits(words=words))
        return written(nothing).total(StackedBits(words=jnp.stack(words)))

    assert jax.jit(jax.vmap(total))(chosen).tolist() == (chosen @ np.array(expected())).tolist()


def test_planes_begin_as_zeros_or_as_ones(nothing):
    cells = jnp.array([0, 31, 32, CAPACITY - 1], jnp.int32)
    assert planes(nothing, DEPTH).at(cells).tolist() == [0] * 4
    assert planes(~nothing, DEPTH).at(cells).tolist() == [MOST] * 4
