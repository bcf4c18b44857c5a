"""The bit-packed arena: up to 4096 cells, written for one arena and made for `vmap`.

Blocks are freed by the clock, without a table and without a search: each cell carries the time at
which its block dies, one bit to a plane, and the cells whose planes all agree with the clock are
free again. Neighbouring holes merge by themselves, because a hole is a run of free bits.

A cell p is a legal start for a request of s cells when cells p .. p+s-1 are free. The runs of legal
starts correspond to the holes that fit, in order, which is what all the fits are read from.
"""

import chex
import jax
import jax.numpy as jnp
from flax import struct

from jaxmem.arena import bits
from jaxmem.arena.bits import Bits
from jaxmem.arena.settle import settle

MAX_CELLS = 4096
NOWHERE = -1  # the start of a request that is not placed

Planes = tuple[Bits, ...]  # plane b holds bit b of a number that every cell carries


class Arena(struct.PyTreeNode):
    """One arena of `cells` cells inside a fixed capacity of whole words."""

    free: Bits  # cells that no block covers
    heads: Bits  # first cell of every live block
    expiry: Planes  # time at which the block on this cell dies; all ones: never
    birth: Planes  # time at which the block on this cell was placed
    forecast: Planes  # predicted time of death of the block on this cell, 0: none
    cells: jax.Array  # int32[]  size of the arena
    now: jax.Array  # int32[]  the clock, in requests
    cursor: jax.Array  # int32[]  end of the block placed last, where next fit goes on
    high_water: jax.Array  # int32[]  end of the highest cell ever used

    @property
    def capacity(self) -> int:
        """Cells that fit into the words of this arena's shape."""
        return self.free.capacity


@struct.dataclass
class Neighbour:
    """What lies beside each of K holes, on one side; all zero beside a wall."""

    wall: jax.Array  # bool[K]   the arena ends here
    size: jax.Array  # int32[K]  cells of the block that ends the hole
    age: jax.Array  # int32[K]  requests since it was placed
    remaining: jax.Array  # int32[K]  predicted requests until it dies, 0: no prediction or overdue


@struct.dataclass
class Holes:
    """The first K holes in which a request fits, in address order."""

    exists: jax.Array  # bool[K]
    low: jax.Array  # int32[K]  start at the low end, NOWHERE where there is no such hole
    high: jax.Array  # int32[K]  start at the high end
    length: jax.Array  # int32[K]  cells
    below: Neighbour  # the block before the hole
    above: Neighbour  # the block after the hole


def new_arena(cells: int | jax.Array, capacity: int, horizon: int) -> Arena:
    """An empty arena of `cells` cells with room for `capacity`, for times 0 .. `horizon`.

    Args:
        cells: int or int32[], 1 .. capacity; may be traced.
        capacity: 1 .. 4096; fixes the shape.
        horizon: the last time that the clock will show; fixes the number of planes.

    Raises:
        ValueError: capacity, horizon or a known number of cells is out of range.
    """
    if not 1 <= capacity <= MAX_CELLS:
        raise ValueError(f"an arena holds 1 to {MAX_CELLS} cells, not {capacity}")
    if isinstance(cells, int) and not 1 <= cells <= capacity:
        raise ValueError(f"an arena of this shape holds 1 to {capacity} cells, not {cells}")
    if not 0 <= horizon < 2**30:
        raise ValueError(f"the horizon is 0 to 2**30 - 1 requests, not {horizon}")
    nothing = bits.empty(capacity)
    # One value more than the clock can show: all ones means never.
    depth = (horizon + 1).bit_length()
    # A prediction may lie a whole horizon ahead; what lies further is remembered as all ones.
    far = (2 * horizon + 1).bit_length()
    zero = jnp.zeros((), jnp.int32)
    return Arena(
        free=nothing.below(jnp.asarray(cells, jnp.int32)),
        heads=nothing,
        expiry=(~nothing,) * depth,
        birth=(nothing,) * depth,
        forecast=(nothing,) * far,
        cells=jnp.asarray(cells, jnp.int32),
        now=zero,
        cursor=zero,
        high_water=zero,
    )


def place(
    arena: Arena,
    start: jax.Array,
    size: jax.Array,
    expiry: jax.Array,
    forecast: jax.Array | int = 0,
) -> Arena:
    """The arena with a block of `size` cells at `start`, live until the clock shows `expiry`.

    The placement must be legal (`legal_starts`); with `start` = NOWHERE nothing is placed.

    Args:
        start: int32[]  cell address, or NOWHERE.
        size: int32[]  cells, at least 1.
        expiry: int32[]  time of death, later than now; beyond the horizon: never.
        forecast: int32[]  predicted time of death, 0: none; exact up to twice the horizon.
    """
    request = [jnp.asarray(number, jnp.int32) for number in (start, size, expiry, forecast)]
    chex.assert_rank(request, 0)
    start, size, expiry, forecast = settle(arena.now, request)
    placed = start >= 0
    end = jnp.where(placed, start + size, 0)
    start = jnp.where(placed, start, 0)
    lower = arena.free.below(start)
    block = arena.free.below(end) & ~lower
    never, furthest = 2 ** len(arena.expiry) - 1, 2 ** len(arena.forecast) - 1
    return arena.replace(
        free=arena.free & ~block,
        heads=arena.heads | low_ends(block),
        expiry=_write(arena.expiry, block, jnp.minimum(expiry, never)),
        birth=_write(arena.birth, block, arena.now),
        forecast=_write(arena.forecast, block, jnp.minimum(forecast, furthest)),
        cursor=jnp.where(placed, end, arena.cursor),
        high_water=jnp.maximum(arena.high_water, end),
    )


def tick(arena: Arena, now: jax.Array | int) -> Arena:
    """The arena when the clock shows `now` (int32[], one more than before): the dead are gone."""
    now = jnp.asarray(now, jnp.int32)
    dead = ~bits.empty(arena.capacity)
    for position, plane in enumerate(arena.expiry):
        dead = dead & ~(plane ^ plane.all_or_none((now >> position) & 1 != 0))
    free, heads = settle(now, (arena.free | dead, arena.heads & ~dead))
    return arena.replace(free=free, heads=heads, now=now)


def release(arena: Arena, cell: jax.Array) -> Arena:
    """The arena without the block that covers `cell` (int32[]); unchanged if the cell is free."""
    cell = jnp.asarray(cell, jnp.int32)
    start = (arena.heads & arena.free.below(cell + 1)).highest()
    end = block_ends(arena, cell)
    lower = arena.free.below(start)
    covered = ~arena.free.has(cell) & (cell >= 0) & (cell < arena.cells)
    block = (arena.free.below(end) & ~lower).select(covered, arena.free ^ arena.free)
    return arena.replace(free=arena.free | block, heads=arena.heads & ~block)


def legal_starts(arena: Arena, size: jax.Array) -> Bits:
    """The cells at which a request of `size` cells (int32[], at least 1) may start.

    With runs[k] the starts of 2^k free cells and s - 1 = sum of some 2^k, the starts of s free
    cells are the free cells moved and cut by those runs: log2(cells) steps for any size.
    """
    chex.assert_rank(size, 0)
    longer = size - 1
    starts, run = arena.free, arena.free
    for step in range(doublings(arena)):
        grown = run & (starts >> 2**step)
        starts = grown.select((longer >> step) & 1 != 0, starts)
        run = run & (run >> 2**step)
    possible = (size >= 1) & (size <= arena.cells)
    return starts & starts.all_or_none(possible)


def low_ends(starts: Bits) -> Bits:
    """The lowest cell of each run: of legal starts, the one at the low end of each hole."""
    return starts & ~(starts << 1)


def high_ends(starts: Bits) -> Bits:
    """The highest cell of each run: of legal starts, the one at the high end of each hole."""
    return starts & ~(starts >> 1)


def holes_that_fit(arena: Arena, size: jax.Array, count: int) -> Holes:
    """The first `count` holes in which `size` cells (int32[]) fit, with what lies beside them."""
    starts = legal_starts(arena, size)
    lows, highs = low_ends(starts), high_ends(starts)

    def next_hole(rest: tuple[Bits, Bits], _: None):
        lows, highs = rest
        low, high = lows.lowest(), highs.lowest()
        # Both sets lose the same hole: the low ends up to this one, the high ends likewise.
        rest = (lows & ~lows.below(low + 1), highs & ~highs.below(high + 1))
        return rest, (low, high)

    _, (low, high) = jax.lax.scan(next_hole, (lows, highs), length=count)
    exists = low < arena.capacity
    low, high = jnp.where(exists, low, NOWHERE), jnp.where(exists, high, NOWHERE)
    end = jnp.where(exists, high + size, NOWHERE)
    # Both sides at once: half the program to compile.
    cell = jnp.concatenate([low - 1, end])
    wall = jnp.concatenate([low == 0, end == arena.cells])
    beside = _neighbour(arena, cell, jnp.tile(exists, 2), wall)
    return Holes(
        exists=exists,
        low=low,
        high=high,
        length=jnp.where(exists, end - low, 0),
        below=jax.tree.map(lambda column: column[:count], beside),
        above=jax.tree.map(lambda column: column[count:], beside),
    )


def block_starts(arena: Arena, cell: jax.Array) -> jax.Array:
    """The first cell of the live block that covers `cell` (int32[...]): int32[...]."""
    return jnp.vectorize(lambda at: (arena.heads & arena.free.below(at + 1)).highest())(cell)


def block_ends(arena: Arena, cell: jax.Array) -> jax.Array:
    """One past the last cell of the live block that covers `cell` (int32[...]): int32[...]."""
    borders = arena.heads | arena.free

    def end(at):
        return jnp.minimum((borders & ~borders.below(at + 1)).lowest(), arena.cells)

    return jnp.vectorize(end)(cell)


def _neighbour(arena: Arena, cell: jax.Array, exists: jax.Array, wall: jax.Array) -> Neighbour:
    """The block that covers `cell` (int32[K]) beside each hole; `wall` (bool[K]): there is none."""
    seen, wall = exists & ~wall, exists & wall
    at = jnp.where(seen, cell, 0)
    remaining = _read(arena.forecast, at) - arena.now
    return Neighbour(
        wall=wall,
        size=jnp.where(seen, block_ends(arena, at) - block_starts(arena, at), 0),
        age=jnp.where(seen, arena.now - _read(arena.birth, at), 0),
        remaining=jnp.where(seen, jnp.maximum(remaining, 0), 0),
    )


def doublings(arena: Arena) -> int:
    """How often a run can double before it is longer than the arena's capacity."""
    return max(1, (arena.capacity - 1).bit_length())


def _write(planes: Planes, where: Bits, value: jax.Array) -> Planes:
    return tuple(
        (plane & ~where) | (where & plane.all_or_none((value >> position) & 1 != 0))
        for position, plane in enumerate(planes)
    )


def _read(planes: Planes, cell: jax.Array) -> jax.Array:
    """The number that `cell` (int32[...]) carries: int32[...]."""
    return sum(
        (plane.has(cell).astype(jnp.int32) << position for position, plane in enumerate(planes)),
        jnp.zeros_like(cell),
    )
