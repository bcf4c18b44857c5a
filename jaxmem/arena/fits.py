"""Where the classical fits put a request: first, second, best, worst and next fit.

Every rule chooses a hole and takes its low end; ties go to the lowest address. The result is a
start int32[], or NOWHERE when no hole is long enough. (Knuth, The Art of Computer Programming,
volume 1, section 2.5; Wilson et al. 1995, Dynamic Storage Allocation.)
"""

import jax
import jax.numpy as jnp

from jaxmem.arena.bitmap import NOWHERE, Arena, doublings, legal_starts, low_ends
from jaxmem.arena.bits import Bits


def first(arena: Arena, size: jax.Array) -> jax.Array:
    """The lowest hole that fits."""
    return _or_nowhere(legal_starts(arena, size).lowest(), arena)


def last(arena: Arena, size: jax.Array) -> jax.Array:
    """The highest start that fits: first fit seen from the other end of the arena."""
    return legal_starts(arena, size).highest()


def second(arena: Arena, size: jax.Array) -> jax.Array:
    """The second-lowest hole that fits, or the only one."""
    holes = low_ends(legal_starts(arena, size))
    lowest = holes.lowest()
    others = holes & ~holes.below(lowest + 1)
    return _or_nowhere(jnp.where(others.any(), others.lowest(), lowest), arena)


def best(arena: Arena, size: jax.Array) -> jax.Array:
    """The shortest hole that fits.

    The request is made longer for as long as every hole that fits still holds it; the holes that
    one cell more would leave out are the shortest.
    """
    starts = legal_starts(arena, size)
    holes = low_ends(starts)
    for run, step in reversed(_runs(arena)):
        longer = run & (starts >> 2**step)
        starts = longer.select(~(holes & ~longer).any(), starts)
    too_long = arena.free & (starts >> 1)
    return _or_nowhere((holes & ~too_long).lowest(), arena)


def worst(arena: Arena, size: jax.Array) -> jax.Array:
    """The longest hole."""
    starts, length = longest_runs(arena)
    return jnp.where((size >= 1) & (size <= length), starts.lowest(), NOWHERE)


def next(arena: Arena, size: jax.Array) -> jax.Array:  # the field's name, worth the shadow
    """The lowest start at or after the cursor, else the lowest of all."""
    starts = legal_starts(arena, size)
    ahead = starts & ~starts.below(arena.cursor)
    return _or_nowhere(jnp.where(ahead.any(), ahead.lowest(), starts.lowest()), arena)


def to_high_end(arena: Arena, start: jax.Array, size: jax.Array) -> jax.Array:
    """The highest start (int32[]) in the hole that holds `start`; NOWHERE stays NOWHERE."""
    taken = ~arena.free & ~arena.free.below(start)
    return jnp.where(start >= 0, taken.lowest() - size, NOWHERE)


def longest_runs(arena: Arena) -> tuple[Bits, jax.Array]:
    """The first cells of the longest holes, and their length int32[] (0: nothing is free)."""
    starts = arena.free
    length = starts.any().astype(jnp.int32)
    for run, step in reversed(_runs(arena)):
        longer = run & (starts >> 2**step)
        survives = longer.any()
        starts = longer.select(survives, starts)
        length = length + jnp.where(survives, 2**step, 0)
    return starts, length


def _runs(arena: Arena) -> list[tuple[Bits, int]]:
    """For each k, the cells at which 2^k free cells start."""
    runs = [(arena.free, 0)]
    for step in range(doublings(arena) - 1):
        run = runs[-1][0]
        runs.append((run & (run >> 2**step), step + 1))
    return runs


def _or_nowhere(cell: jax.Array, arena: Arena) -> jax.Array:
    return jnp.where(cell < arena.capacity, cell, NOWHERE)
