"""The live cap: lifetimes shortened so that live cells never exceed a capacity.

With the cap, a compacting allocator of that capacity never fails: every failure is fragmentation.
"""

from functools import partial

import chex
import jax
import jax.numpy as jnp

from jaxmem.workloads.parts import PARTS_AT_ONCE

_LAST = jnp.iinfo(jnp.int32).max


def cap_live_cells(size: jax.Array, lifetime: jax.Array, capacity: int) -> jax.Array:
    """Shortens the lifetimes int32[T] of ONE sequence until it fits `capacity` cells.

    `size` int32[T] in cells, `lifetime` int32[T] in requests. Before a request that would lift the
    live cells above `capacity`, the live blocks that would die soonest are freed (ties: the oldest
    first), one by one until it fits. A request larger than `capacity` frees everything and stays.
    `capacity` is a Python int; below 1 raises ValueError.
    """
    if capacity < 1:
        raise ValueError(f"capacity is {capacity}; it must be at least 1 cell")
    chex.assert_rank([size, lifetime], 1)
    chex.assert_equal_shape([size, lifetime])
    chex.assert_type([size, lifetime], jnp.int32)
    length = size.shape[0]
    # Live blocks have at least one cell each, so when a request is about to be placed at most
    # `capacity - 1` are live. The table has room for one more, hence its first row is dead.
    rows = min(capacity, length)

    def place(table, request):
        # The table is sorted by (expiry, birth): the dead, then the live that would die soonest.
        # `cells` adds the sizes from a row to the last, so those to free are found by comparing.
        expiry, cells, birth = table
        size, dies, now = request
        expiry = jnp.where(cells + size > capacity, jnp.minimum(expiry, now), expiry)
        settled = (birth[0], expiry[0])
        # The new block is inserted by moving every row that dies before it one row down.
        earlier = expiry <= dies
        next_expiry = jnp.append(expiry[1:], _LAST)
        next_earlier = next_expiry <= dies
        next_cells = jnp.append(cells[1:], 0)
        next_birth = jnp.append(birth[1:], 0)
        table = (
            jnp.where(next_earlier, next_expiry, jnp.where(earlier, dies, expiry)),
            jnp.where(earlier, next_cells + size, cells),
            jnp.where(next_earlier, next_birth, jnp.where(earlier, now, birth)),
        )
        return table, settled

    now = jnp.arange(length, dtype=jnp.int32)
    empty = (
        jnp.zeros_like(now[:rows]),
        jnp.zeros_like(now[:rows]),
        jnp.full_like(now[:rows], length),
    )
    (expiry, _, birth), settled = jax.lax.scan(place, empty, (size, now + lifetime, now))
    birth, expiry = jnp.append(settled[0], birth), jnp.append(settled[1], expiry)
    return jnp.zeros_like(now).at[birth].set(expiry, mode="drop") - now


def cap_sequences(size: jax.Array, lifetime: jax.Array, capacity: int) -> jax.Array:
    """Runs `cap_live_cells` on many sequences: int32[P, T], int32[P, T] -> int32[P, T]."""
    chex.assert_rank([size, lifetime], 2)
    cap = partial(cap_live_cells, capacity=capacity)
    return jax.lax.map(lambda pair: cap(*pair), (size, lifetime), batch_size=PARTS_AT_ONCE)
