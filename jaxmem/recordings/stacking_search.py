"""The lowest stack of blocks whose lifetimes are all known, by simulated annealing.

Blocks are rectangles, time by address. Dropped in some order, each comes to lie on the highest of
those before it that it shares a moment with. Dropped in the order of their addresses, the blocks
of any packing come to lie no higher than they were: the lowest packing is among the stacks, and to
look for an order is enough. An order is changed a little at a time, and the change is kept if the
stack is not higher, or only so much higher as chance allows, ever less (Kirkpatrick, Gelatt &
Vecchi 1983). `ORDERS_TRIED` orders with a change or more are tried at once, in arenas side by side,
and of those that may be kept the lowest is.
"""

from collections.abc import Callable
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

ORDERS_TRIED = 8  # orders at once: with more there is less time for one change after another
CHANGES = (8, 4, 2, 1)  # in an order; most of them leave the height as it is
HOT, COLD = 0.003, 0.0003  # how much higher a stack may easily become, in the peak that is live
PART = 2000  # rounds in one call
LEAST_PARTS = 16  # fewer find nothing
WORK_PER_SEARCH = 2.5e10  # blocks x sections x orders x rounds: within a minute on two CPU cores
EACH = 3000  # rounds for each block, at most
SWAPPED = 0.25  # of the changes swap two blocks; the others take one out and put it in elsewhere
ABOVE_ALL = 2**31 - 1  # a height above all others


class Blocks(struct.PyTreeNode):
    """N blocks, in sections of time between which nothing is freed."""

    first: jax.Array  # int32[N]  the section in which it is placed
    end: jax.Array  # int32[N]  the section at whose beginning it is freed
    size: jax.Array  # int32[N]  units
    sections: int = struct.field(pytree_node=False)  # S


class _Search(struct.PyTreeNode):
    order: jax.Array  # int32[N]
    height: jax.Array  # int32[]  units
    best_order: jax.Array  # int32[N]
    best: jax.Array  # int32[]  units


def blocks_of(size: np.ndarray, birth: np.ndarray, death: np.ndarray) -> Blocks:
    """Makes blocks of int64[N] units, from request `birth` to before `death`, int64[N] each.

    Requests between which nothing is freed are one section: most lives at the end of it. Of blocks
    too large for int32 there is no search (`rounds_for`).
    """
    first, end, sections = sections_of(birth, death)
    columns = (first, end, np.minimum(size, ABOVE_ALL))
    rows = jax.device_put([column.astype(np.int32) for column in columns])
    return Blocks(*rows, sections=sections)


def sections_of(birth: np.ndarray, death: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Returns in which sections blocks are live, first <= s < end, int64[N] each, and how many
    sections there are."""
    freed = np.unique(death)
    section = partial(np.searchsorted, freed, side="right")
    named, first = np.unique(section(birth), return_inverse=True)
    return first, np.searchsorted(named, section(death - 1), side="right"), len(named)


def rounds_for(blocks: Blocks) -> int:
    """Counts the rounds that `WORK_PER_SEARCH` and `EACH` allow; 0: too few to find anything."""
    count = len(blocks.size)
    if int(np.asarray(blocks.size, np.int64).sum()) >= ABOVE_ALL:
        return 0  # heights are int32
    parts = int(WORK_PER_SEARCH / (count * blocks.sections * ORDERS_TRIED * PART))
    if parts < LEAST_PARTS:
        return 0
    return PART * min(parts, 1 + count * EACH // PART)


def lowest_stack(
    blocks: Blocks,
    order: np.ndarray,
    rounds: int,
    seed: int = 0,
    report: Callable[[str], None] = lambda doing: None,
    enough: Callable[[int], bool] = lambda height: False,
) -> tuple[int, np.ndarray]:
    """Finds the lowest stack it can: its height in units, and its order: int64[N].

    Args:
        order: int64[N]  to begin with.
        rounds: of `ORDERS_TRIED` orders each; fewer where the most live is reached, below which
            nothing can be.
        report: told how far it is.
        enough: asked with the height so far whether that will do.
    """
    chex.assert_shape([blocks.first, blocks.end, blocks.size, order], (len(order),))
    live = np.zeros(blocks.sections + 1, np.int64)
    np.add.at(live, np.asarray(blocks.first), np.asarray(blocks.size))
    np.subtract.at(live, np.asarray(blocks.end), np.asarray(blocks.size))
    peak = int(np.cumsum(live).max())
    order = np.asarray(order, np.int32)
    height = _heights(blocks, order[None])[0]
    start = jax.device_put(order)
    search = _Search(start, height, start, height)
    for done in range(0, rounds, PART):
        if int(search.best) <= peak or enough(int(search.best)):
            break
        report(f"stacking offline: {int(search.best) / peak:.3f}, {done / rounds:.0%}")
        heat = HOT * (COLD / HOT) ** ((done + np.arange(PART)) / rounds)
        key = jax.random.fold_in(jax.random.key(seed), done)
        search = _searched(search, blocks, jnp.asarray(heat * peak, jnp.float32), key)
    return int(search.best), np.asarray(search.best_order, np.int64)


def dropped(blocks: Blocks, order: np.ndarray) -> np.ndarray:
    """Returns where the blocks lie when dropped in an order: int64[N] units, by block.

    Args:
        order: int64[N]  as `lowest_stack` gives it; the stack is as high as it says.
    """
    first, end = np.asarray(blocks.first), np.asarray(blocks.end)
    size = np.asarray(blocks.size, np.int64)
    top, start = np.zeros(blocks.sections, np.int64), np.zeros(len(size), np.int64)
    for block in order.tolist():
        while_live = slice(first[block], end[block])
        start[block] = top[while_live].max()
        top[while_live] = start[block] + size[block]
    return start


@jax.jit
def _heights(blocks: Blocks, orders: jax.Array) -> jax.Array:
    """Computes the heights of stacks, int32[M], from their orders, int32[M, N]."""
    section = jnp.arange(blocks.sections, dtype=jnp.int32)[:, None]
    columns = (blocks.first, (blocks.end - blocks.first).astype(jnp.uint32), blocks.size)

    def drop(top: jax.Array, block: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        first, length, size = block
        # A section before the first is a large unsigned number.
        there = (section - first).astype(jnp.uint32) < length  # bool[S, M]
        below = jnp.max(jnp.where(there, top, 0), axis=0)
        return jnp.where(there, below + size, top), None

    empty = jnp.zeros((blocks.sections, orders.shape[0]), jnp.int32)
    dropped = tuple(column[orders.T] for column in columns)
    top, _ = jax.lax.scan(drop, empty, dropped, unroll=4)
    return jnp.max(top, axis=0)


@jax.jit
def _searched(search: _Search, blocks: Blocks, heat: jax.Array, key: jax.Array) -> _Search:
    """Goes on with the search by a round for each entry of `heat` (float32[PART], units)."""

    def turn(search: _Search, now: tuple[jax.Array, jax.Array]) -> tuple[_Search, None]:
        heat, key = now
        changing, chance = jax.random.split(key)
        orders = _with_changes(search.order, changing)
        heights = _heights(blocks, orders)
        allowed = heat * jax.random.exponential(chance, (ORDERS_TRIED,))
        kept = (heights - search.height).astype(jnp.float32) <= allowed
        which = jnp.argmin(jnp.where(kept, heights, ABOVE_ALL))
        order = jnp.where(kept[which], orders[which], search.order)
        height = jnp.where(kept[which], heights[which], search.height)
        lower = height < search.best
        return _Search(
            order=order,
            height=height,
            best_order=jnp.where(lower, order, search.best_order),
            best=jnp.minimum(height, search.best),
        ), None

    return jax.lax.scan(turn, search, (heat, jax.random.split(key, heat.shape[0])))[0]


def _with_changes(order: jax.Array, key: jax.Array) -> jax.Array:
    """Makes orders with as many changes as `CHANGES` says: int32[ORDERS_TRIED, N] of int32[N]."""
    count = order.shape[0]
    now = jnp.arange(count)
    changes = jnp.repeat(jnp.array(CHANGES), ORDERS_TRIED // len(CHANGES))[:, None]

    def change(number: int, orders: jax.Array) -> jax.Array:
        place, kind = jax.random.split(jax.random.fold_in(key, number))
        start, end = jax.random.randint(place, (2, ORDERS_TRIED, 1), 0, count)
        swaps = jax.random.uniform(kind, (ORDERS_TRIED, 1)) < SWAPPED
        between = (now >= jnp.minimum(start, end)) & (now <= jnp.maximum(start, end))
        shifted = jnp.where(between & ~swaps, now + jnp.sign(end - start), now)
        source = jnp.where(now == end, start, shifted)
        source = jnp.where(swaps & (now == start), end, source)
        source = jnp.where(number < changes, source, now)
        return jnp.take_along_axis(orders, source, axis=1)

    orders = jnp.broadcast_to(order, (ORDERS_TRIED, count))
    return jax.lax.fori_loop(0, max(CHANGES), change, orders)
