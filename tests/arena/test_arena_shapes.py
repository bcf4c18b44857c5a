"""Making an arena: what is refused, what is shared by all sizes, and what compiles once."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem.arena.making import new_arena


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((1, 0, 9), "holds 1 to 4096 cells, not 0"),
        ((1, -1, 9), "holds 1 to 4096 cells, not -1"),
        ((1, 4097, 9), "holds 1 to 4096 cells, not 4097"),
        ((0, 100, 9), "holds 1 to 100 cells, not 0"),
        ((-5, 100, 9), "holds 1 to 100 cells, not -5"),
        ((101, 100, 9), "holds 1 to 100 cells, not 101"),
        ((1, 100, -1), "horizon is 0 to 2\\*\\*30 - 1 requests, not -1"),
        ((1, 100, 2**30), "horizon is 0 to 2\\*\\*30 - 1 requests, not 1073741824"),
    ],
)
def test_impossible_arenas_are_refused(arguments, problem):
    with pytest.raises(ValueError, match=problem):
        new_arena(*arguments)


@pytest.mark.parametrize(("cells", "capacity"), [(1, 1), (100, 100), (4096, 4096)])
def test_a_new_arena_is_one_hole(cells, capacity):
    arena = new_arena(cells, capacity, horizon=0)
    taken = np.asarray(arena.taken(arena.capacity))
    assert np.flatnonzero(~taken).tolist() == list(range(cells))
    assert (arena.live_blocks(), arena.largest_hole()) == (0, cells)
    assert (arena.now, arena.cursor, arena.high_water) == (0, 0, 0)


@pytest.mark.parametrize("horizon", [0, 1, 2, 3, 6, 7, 8])
def test_a_block_dies_at_its_time_and_never_when_that_is_beyond_the_horizon(horizon):
    advance = jax.jit(lambda arena, now: arena.tick(now))
    for expiry in range(1, horizon + 4):
        arena = new_arena(8, 8, horizon).place(jnp.int32(2), jnp.int32(3), jnp.int32(expiry))
        for now in range(1, horizon + 1):
            arena = advance(arena, jnp.int32(now))
            live = now < expiry
            assert int(arena.live_blocks()) == live
            assert int(arena.free_cells()) == (5 if live else 8)


def test_two_blocks_that_die_together_leave_one_hole():
    arena = new_arena(12, 12, horizon=8)
    for start, size, expiry in ((0, 3, 2), (3, 4, 2), (7, 1, 5)):
        arena = arena.place(jnp.int32(start), jnp.int32(size), jnp.int32(expiry))
    arena = arena.tick(1).tick(2)
    assert np.flatnonzero(arena.legal_starts(jnp.int32(7), 12)).tolist() == [0]


def test_a_new_block_on_released_cells_lives_its_own_time():
    arena = new_arena(8, 8, horizon=8).place(jnp.int32(0), jnp.int32(8), jnp.int32(2))
    arena = arena.tick(1).release(jnp.int32(5))
    arena = arena.place(jnp.int32(4), jnp.int32(2), jnp.int32(3)).tick(2)
    assert np.flatnonzero(arena.taken(8)).tolist() == [4, 5]
    assert not arena.tick(3).taken(8).any()


def test_placing_nowhere_changes_nothing():
    arena = new_arena(20, 32, horizon=8).place(jnp.int32(3), jnp.int32(5), jnp.int32(6))
    after = arena.place(jnp.int32(-1), jnp.int32(4), jnp.int32(7), jnp.int32(5))
    chex.assert_trees_all_equal(after, arena, strict=True)


@pytest.mark.parametrize("cell", [-1, -40, 2, 8, 19, 20, 31, 32, 1000])
def test_releasing_a_cell_that_no_block_covers_changes_nothing(cell):
    arena = new_arena(20, 32, horizon=8).place(jnp.int32(3), jnp.int32(5), jnp.int32(6))
    chex.assert_trees_all_equal(arena.release(jnp.int32(cell)), arena, strict=True)


@pytest.mark.parametrize(("forecast", "remembered"), [(7, 7), (14, 14), (100, 15)])
def test_a_forecast_is_remembered_up_to_twice_the_horizon(forecast, remembered):
    arena = new_arena(20, 32, horizon=7)
    arena = arena.place(jnp.int32(0), jnp.int32(5), jnp.int32(6), jnp.int32(forecast))
    hole = jax.jit(lambda arena: arena.holes_that_fit(jnp.int32(1), 1))(arena)
    assert hole.below.remaining.tolist() == [remembered]


def test_arenas_of_all_sizes_are_stepped_by_one_program():
    chex.clear_trace_counter()

    @jax.jit
    @jax.vmap
    @chex.assert_max_traces(n=1)
    def step(arena, size):
        arena = arena.place(arena.best(size), size, arena.now + 3)
        return arena.tick(arena.now + 1)

    make = jax.vmap(lambda cells: new_arena(cells, 64, 16))
    arenas = make(jnp.array([1, 33, 64]))
    for size in (1, 5, 64):
        arenas = step(arenas, jnp.full(3, size, jnp.int32))
    chex.assert_trees_all_equal_shapes_and_dtypes(arenas, make(jnp.array([5, 6, 7])))
    step(make(jnp.array([5, 6, 7])), jnp.ones(3, jnp.int32))
