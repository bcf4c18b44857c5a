"""`compute_once` returns its value, however it is mapped, and changes only the program."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem.arena import bitmap
from jaxmem.arena.compute_once import compute_once, itself
from jaxmem.arena.making import new_arena

VALUE = {
    "words": jnp.arange(24, dtype=jnp.uint32).reshape(2, 3, 4),
    "start": (jnp.arange(-3, 3, dtype=jnp.int32).reshape(2, 3), jnp.array([[True], [False]])),
}
CLOCK = jnp.arange(6, dtype=jnp.int32).reshape(2, 3)


def kept(clock, value):
    return compute_once(clock, itself, value)


@pytest.mark.parametrize("clock", [0, 1, 2**30])
@pytest.mark.parametrize("compiled", [False, True])
def test_the_value_comes_back(clock, compiled):
    function = jax.jit(kept) if compiled else kept
    chex.assert_trees_all_equal(function(jnp.int32(clock), VALUE), VALUE, strict=True)


@pytest.mark.parametrize(
    ("clock_axis", "value_axis"),
    [(0, 0), (None, 0), (0, None), (0, {"words": 0, "start": (None, 0)})],
    ids=["both", "value", "clock", "part of the value"],
)
def test_every_row_comes_back_under_vmap(clock_axis, value_axis):
    clock = CLOCK[:, 0] if clock_axis == 0 else jnp.int32(5)
    mapped = jax.jit(jax.vmap(kept, in_axes=(clock_axis, value_axis)))(clock, VALUE)
    plain = jax.vmap(lambda _, value: value, in_axes=(clock_axis, value_axis))(clock, VALUE)
    chex.assert_trees_all_equal(mapped, plain, strict=True)


@pytest.mark.parametrize("axes", [(0, 0), (None, 0), (0, None)])
def test_every_row_comes_back_under_nested_vmap(axes):
    words = VALUE["words"]
    clock = {(0, 0): CLOCK, (None, 0): CLOCK[0], (0, None): CLOCK[:, 0]}[axes]
    inner = jax.vmap(kept, in_axes=(None if axes == (0, None) else 0, 0))
    mapped = jax.jit(jax.vmap(inner, in_axes=(axes[0], 0)))(clock, words)
    chex.assert_trees_all_equal(mapped, words, strict=True)


@pytest.mark.parametrize("axes", [(0, 0), (None, 0), (0, None), (None, None)])
def test_a_computation_of_several_operands_is_mapped_over_those_that_differ(axes):
    words, sizes = VALUE["words"], VALUE["start"][0]

    def compute(words, sizes):
        return {"sum": words.sum() + sizes.sum(), "one": jnp.int32(1)}

    def both(words, sizes):
        return compute_once(sizes.ravel()[0] * 0, compute, words, sizes)

    if axes == (None, None):
        mapped, plain = jax.jit(both)(words, sizes), compute(words, sizes)
    else:
        mapped = jax.jit(jax.vmap(both, in_axes=axes))(words, sizes)
        plain = jax.vmap(compute, in_axes=axes)(words, sizes)
    chex.assert_trees_all_equal(mapped, plain, strict=True)


def test_settling_changes_no_result(monkeypatch):
    """The same history with `compute_once` and without it."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 9, (3, 20)).astype(np.int32)

    def histories():
        def serve(arena, size):
            arena = arena.place(arena.first(size), size, arena.now + size % 4 + 1)
            arena = arena.tick(arena.now + 1)
            return arena, (arena, arena.legal_starts(size, 32))

        arena = new_arena(30, 32, 20)
        return jax.jit(jax.vmap(lambda sizes: jax.lax.scan(serve, arena, sizes)[1]))(sizes)

    settled = histories()
    monkeypatch.setattr(
        bitmap, "compute_once", lambda clock, compute, *operands: compute(*operands)
    )
    chex.assert_trees_all_equal(settled, histories(), strict=True)
    assert settled[0].high_water.min() > 0
