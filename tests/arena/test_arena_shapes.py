"""Making an arena: what is refused, what is shared by all sizes, and what compiles once."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from repetition import slow

from jaxmem.arena import making
from jaxmem.arena.bitmap import BitmapArena
from jaxmem.arena.bits import StackedBits, UnrolledBits
from jaxmem.arena.making import new_arena
from jaxmem.arena.table import BlockTable

LARGEST = 2**31 - 1

# Each one program for each shape of arena, whatever the numbers.
place = jax.jit(lambda arena, *block: arena.place(*block))
tick = jax.jit(lambda arena, now: arena.tick(now))
release = jax.jit(lambda arena, cell: arena.release(cell))
counts = jax.jit(lambda arena: (arena.live_blocks(), arena.free_cells()))
taken = jax.jit(lambda arena, cells: arena.taken(cells), static_argnums=1)


def block(*numbers):
    """Start, size and expiry of a block, and its forecast where one is given."""
    return [jnp.int32(number) for number in numbers]


@pytest.fixture(params=["unrolled", "stacked", "table"])
def representation(request):
    return request.param


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((1, 0, 9), "holds 1 to 4096 cells, not 0"),
        ((1, -1, 9), "holds 1 to 4096 cells, not -1"),
        ((1, 4097, 9), "holds 1 to 4096 cells, not 4097; a larger one needs `blocks`"),
        ((1, 4097, 9, "stacked", 5), "holds 1 to 4096 cells, not 4097"),
        ((1, 0, 9, "table", 5), "holds 1 to 2147483647 cells, not 0"),
        ((1, LARGEST + 1, 9, "auto", 5), "holds 1 to 2147483647 cells, not 2147483648"),
        ((0, 100, 9), "holds 1 to 100 cells, not 0"),
        ((-5, 100, 9), "holds 1 to 100 cells, not -5"),
        ((101, 100, 9), "holds 1 to 100 cells, not 101"),
        ((10**6 + 1, 10**6, 9, "auto", 5), "holds 1 to 1000000 cells, not 1000001"),
        ((1, 100, -1), "horizon is 0 to 2\\*\\*30 - 1 requests, not -1"),
        ((1, 100, 2**30), "horizon is 0 to 2\\*\\*30 - 1 requests, not 1073741824"),
        ((1, 100, 9, "tree"), "one of auto, unrolled, stacked, table, not 'tree'"),
        ((1, 100, 9, "table"), "a table needs `blocks`"),
        ((1, 100, 9, "table", 0), "blocks must be a whole number of at least 1, not 0"),
        ((1, 100, 9, "auto", -3), "blocks must be a whole number of at least 1, not -3"),
        ((1, 100, 9, "table", 2.5), "blocks must be a whole number of at least 1, not 2.5"),
    ],
)
def test_impossible_arenas_are_refused(arguments, problem):
    with pytest.raises(ValueError, match=problem):
        new_arena(*arguments)


@pytest.mark.parametrize(
    ("capacity", "kind", "words"),
    [
        (256, BitmapArena, UnrolledBits),
        (257, BitmapArena, StackedBits),
        (4096, BitmapArena, StackedBits),
        (4097, BlockTable, None),
        (LARGEST, BlockTable, None),
    ],
)
def test_the_representation_is_chosen_by_the_capacity(
    capacity, kind, words, users_unrolled_cells, monkeypatch
):
    monkeypatch.setattr(making, "UNROLLED_CELLS", users_unrolled_cells)
    arena = new_arena(5, capacity, horizon=9, blocks=np.int64(7))
    assert isinstance(arena, kind)
    assert words is None or isinstance(arena.free, words)
    assert arena.capacity >= capacity


@pytest.mark.parametrize(("cells", "capacity"), [(1, 1), (100, 100), (200, 224)])
def test_a_new_arena_is_one_hole(cells, capacity, representation):
    arena = new_arena(cells, capacity, 0, representation, blocks=3)
    ask = jax.jit(lambda arena: (arena.taken(capacity), arena.live_blocks(), arena.largest_hole()))
    inside, blocks, largest = ask(arena)
    assert np.flatnonzero(~inside).tolist() == list(range(cells))
    assert (blocks, largest) == (0, cells)
    assert (arena.now, arena.cursor, arena.high_water) == (0, 0, 0)


@pytest.mark.parametrize("horizon", [0, 1, 3, 7, *slow(2, 6, 8)])
def test_a_block_dies_at_its_time_and_never_when_that_is_beyond_the_horizon(
    horizon, representation
):
    for expiry in range(1, horizon + 4):
        arena = new_arena(8, 32, horizon, representation, blocks=3)
        arena = place(arena, *block(2, 3, expiry))
        for now in range(1, horizon + 1):
            arena = tick(arena, jnp.int32(now))
            live = now < expiry
            assert counts(arena) == (live, 5 if live else 8)


def test_two_blocks_that_die_together_leave_one_hole(representation):
    arena = new_arena(12, 32, 8, representation, blocks=3)
    for start, size, expiry in ((0, 3, 2), (3, 4, 2), (7, 1, 5)):
        arena = place(arena, *block(start, size, expiry))
    arena = tick(tick(arena, jnp.int32(1)), jnp.int32(2))
    legal = jax.jit(lambda arena: arena.legal_starts(jnp.int32(7), 12)[0])(arena)
    assert np.flatnonzero(legal).tolist() == [0]


def test_a_new_block_on_released_cells_lives_its_own_time(representation):
    arena = new_arena(8, 32, 8, representation, blocks=3)
    arena = place(arena, *block(0, 8, 2))
    arena = release(tick(arena, jnp.int32(1)), jnp.int32(5))
    arena = tick(place(arena, *block(4, 2, 3)), jnp.int32(2))
    assert np.flatnonzero(taken(arena, 8)).tolist() == [4, 5]
    assert not taken(tick(arena, jnp.int32(3)), 8).any()


def test_placing_nowhere_changes_nothing(representation):
    arena = new_arena(20, 32, 8, representation, blocks=3)
    arena = place(arena, *block(3, 5, 6))
    after = place(arena, *block(-1, 4, 7, 5))
    chex.assert_trees_all_equal(after, arena, strict=True)


@pytest.mark.parametrize("cell", [-1, -40, 2, 8, 19, 20, 31, 32, 1000])
def test_releasing_a_cell_that_no_block_covers_changes_nothing(cell, representation):
    arena = new_arena(20, 32, 8, representation, blocks=3)
    arena = place(arena, *block(3, 5, 6))
    chex.assert_trees_all_equal(release(arena, jnp.int32(cell)), arena, strict=True)


@pytest.mark.parametrize(("forecast", "remembered"), [(7, 7), (14, 14), (100, 15)])
def test_a_forecast_is_remembered_up_to_twice_the_horizon(forecast, remembered, representation):
    arena = new_arena(20, 32, 7, representation, blocks=3)
    arena = place(arena, *block(0, 5, 6, forecast))
    hole = jax.jit(lambda arena: arena.holes_that_fit(jnp.int32(1), 1))(arena)
    assert hole.below.remaining.tolist() == [remembered]


def test_arenas_of_all_sizes_are_stepped_by_one_program(representation):
    chex.clear_trace_counter()

    @jax.jit
    @jax.vmap
    @chex.assert_max_traces(n=1)
    def step(arena, size):
        arena = arena.place(arena.best(size), size, arena.now + 3)
        return arena.tick(arena.now + 1)

    make = jax.vmap(lambda cells: new_arena(cells, 64, 16, representation, blocks=3))
    arenas = make(jnp.array([1, 33, 64]))
    for size in (1, 5, 64):
        arenas = step(arenas, jnp.full(3, size, jnp.int32))
    chex.assert_trees_all_equal_shapes_and_dtypes(arenas, make(jnp.array([5, 6, 7])))
    step(make(jnp.array([5, 6, 7])), jnp.ones(3, jnp.int32))


@pytest.mark.parametrize("representation", ["unrolled", "stacked"])
def test_without_ages_an_arena_places_the_same_and_refuses_to_tell_them(representation):
    def starts(ages):
        def serve(arena, size):
            start = arena.best(size)
            arena = arena.place(start, size, arena.now + 4 + size % 3, arena.now + 2)
            return arena.tick(arena.now + 1), start

        arena = new_arena(50, 50, 40, representation, ages=ages)
        return jax.jit(lambda sizes: jax.lax.scan(serve, arena, sizes))(sizes)

    sizes = jnp.arange(40, dtype=jnp.int32) % 17 + 1
    (with_ages, one), (without, other) = starts(True), starts(False)
    np.testing.assert_array_equal(one, other)
    assert (one < 0).any()
    bytes_kept = [sum(leaf.nbytes for leaf in jax.tree.leaves(a)) for a in (with_ages, without)]
    assert bytes_kept[1] < 0.6 * bytes_kept[0]
    with pytest.raises(ValueError, match="made with ages=False"):
        jax.eval_shape(lambda arena: arena.holes_that_fit(jnp.int32(3), 2), without)
    with pytest.raises(ValueError, match="made with ages=False"):
        jax.eval_shape(lambda arena: arena.parts(jnp.array([0, 25, 50])), without)
