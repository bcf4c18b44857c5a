"""Measures of how full and how fragmented an arena is."""

import jax
import jax.numpy as jnp

from jaxmem.arena.arena import Arena


def live_cells(arena: Arena) -> jax.Array:
    """Counts the cells that live blocks cover: int32[]."""
    return arena.cells - arena.free_cells()


def external_fragmentation(arena: Arena) -> jax.Array:
    """Computes 1 - largest hole / free cells: float32[] in 0..1, 0 when nothing is free."""
    free = arena.free_cells()
    share = 1.0 - arena.largest_hole() / jnp.maximum(free, 1)
    return jnp.where(free > 0, share, 0.0).astype(jnp.float32)


def unusable_free(arena: Arena, size: jax.Array) -> jax.Array:
    """Computes the share of free cells in holes below `size` (int32[]) cells: float32[] in 0..1."""
    free = arena.free_cells()
    # A hole of L >= size cells has L - size + 1 legal starts.
    usable = arena.start_count(size) + arena.hole_count(size) * (size - 1)
    share = 1.0 - usable / jnp.maximum(free, 1)
    return jnp.where(free > 0, share, 0.0).astype(jnp.float32)
