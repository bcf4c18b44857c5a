"""How full and how fragmented an arena is: scalars read from the free map."""

import jax
import jax.numpy as jnp

from jaxmem.arena.bitmap import Arena, legal_starts, low_ends
from jaxmem.arena.fits import longest_runs


def free_cells(arena: Arena) -> jax.Array:
    """Cells that no block covers: int32[]."""
    return arena.free.count()


def live_cells(arena: Arena) -> jax.Array:
    """Cells that live blocks cover: int32[]."""
    return arena.cells - free_cells(arena)


def live_blocks(arena: Arena) -> jax.Array:
    """The number of live blocks: int32[]."""
    return arena.heads.count()


def hole_count(arena: Arena) -> jax.Array:
    """The number of holes, of any length: int32[]."""
    return low_ends(arena.free).count()


def largest_hole(arena: Arena) -> jax.Array:
    """Cells in the longest hole: int32[], 0 when nothing is free."""
    return longest_runs(arena)[1]


def external_fragmentation(arena: Arena) -> jax.Array:
    """1 - largest hole / free cells: float32[] in 0..1, 0 when nothing is free."""
    free = free_cells(arena)
    share = 1.0 - largest_hole(arena) / jnp.maximum(free, 1)
    return jnp.where(free > 0, share, 0.0).astype(jnp.float32)


def unusable_free(arena: Arena, size: jax.Array) -> jax.Array:
    """Share of the free cells in holes too short for `size` (int32[]) cells: float32[] in 0..1."""
    free = free_cells(arena)
    starts = legal_starts(arena, size)
    # A hole of L >= size cells has L - size + 1 legal starts.
    usable = starts.count() + low_ends(starts).count() * (size - 1)
    share = 1.0 - usable / jnp.maximum(free, 1)
    return jnp.where(free > 0, share, 0.0).astype(jnp.float32)


def hole_histogram(arena: Arena) -> jax.Array:
    """Holes by length, in bins [1, 2) [2, 4) [4, 8) ... up to the capacity: int32[bins]."""
    at_least, run, width = [], arena.free, 1
    while width <= arena.capacity:
        # Holes of at least `width` cells are the separate runs of their starts.
        at_least.append(low_ends(run).count())
        run = run & (run >> width)
        width *= 2
    counts = jnp.stack([*at_least, jnp.zeros((), jnp.int32)])
    return counts[:-1] - counts[1:]
