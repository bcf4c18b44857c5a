"""The reward of a step."""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def failures(placed: jax.Array, size: jax.Array, cells: jax.Array, full: jax.Array) -> jax.Array:
    """Gives -1 for every request that is not placed."""
    del size, cells, full
    return jnp.where(placed, 0.0, -1.0)


def bytes_lost(placed: jax.Array, size: jax.Array, cells: jax.Array, full: jax.Array) -> jax.Array:
    """Gives minus the share of the arena that a request not placed asked for."""
    del full
    return jnp.where(placed, 0.0, -size / cells)


def classic(placed: jax.Array, size: jax.Array, cells: jax.Array, full: jax.Array) -> jax.Array:
    """Gives +0.1 for a placement, -1 for a failure, -0.5 more if the arena is too full to go on."""
    del size, cells
    return jnp.where(placed, 0.1, -1.0) - jnp.where(full, 0.5, 0.0)


# Each: (placed bool[], size int32[], cells int32[], full bool[]) -> float32[].
REWARDS: dict[str, Callable[..., jax.Array]] = {
    "failures": failures,
    "bytes": bytes_lost,
    "classic": classic,
}
