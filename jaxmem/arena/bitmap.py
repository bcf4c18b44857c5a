"""The bit-packed arena: up to 4096 cells.

Blocks are freed by the clock, without a table and without a search: each cell carries the time at
which its block dies, one bit to a plane, and the cells whose planes all agree with the clock are
free again. Neighbouring holes merge by themselves, because a hole is a run of free bits.
"""

from typing import Self

import chex
import jax
import jax.numpy as jnp

from jaxmem.arena import runs
from jaxmem.arena.arena import NOWHERE, Arena, Holes, Neighbour, Parts
from jaxmem.arena.bits import Bits
from jaxmem.arena.compute_once import compute_once, itself
from jaxmem.arena.planes import Planes


class BitmapArena(Arena):
    """An arena inside a fixed capacity of whole words."""

    free: Bits  # cells that no block covers
    heads: Bits  # first cell of every live block
    expiry: Planes  # time at which the block on this cell dies; all ones: never
    birth: Planes  # time at which the block on this cell was placed; none without ages
    forecast: Planes  # predicted time of death of the block on this cell, 0: none

    @property
    def capacity(self) -> int:
        return self.free.capacity

    def place(self, start, size, expiry, forecast=0) -> Self:
        start, end, expiry, forecast = self._request(start, size, expiry, forecast)
        block = compute_once(self.now, _between, self.free, start, end)
        arena = self._with_block(block, end, expiry, forecast)
        return arena.replace(free=self.free & ~block, heads=self.heads | runs.low_ends(block))

    def tick(self, now) -> Self:
        now = jnp.asarray(now, jnp.int32)
        nothing = self.free ^ self.free
        dying = self.expiry.equal(now)
        free, heads = compute_once(now, _changed, self.free, self.heads, nothing, dying, nothing)
        return self.replace(free=free, heads=heads, now=now)

    def advance(self, start, size, expiry, forecast=0) -> Self:
        now = self.now + 1
        start, end, expiry, forecast = self._request(start, size, expiry, forecast)
        # Who dies is read before the block is written: after it, every plane would be written
        # twice, once to be kept and once to be read.
        block, dying = compute_once(
            now,
            lambda free, start, end, planes, now: (_between(free, start, end), planes.equal(now)),
            self.free,
            start,
            end,
            self.expiry,
            now,
        )
        at_once = block.all_or_none(expiry == now)
        free, heads = compute_once(now, _changed, self.free, self.heads, block, dying, at_once)
        arena = self._with_block(block, end, expiry, forecast)
        return arena.replace(free=free, heads=heads, now=now)

    def _request(self, start, size, expiry, forecast) -> list[jax.Array]:
        """Returns the block's start and end, both 0 if it is placed nowhere, and its two times."""
        request = [jnp.asarray(number, jnp.int32) for number in (start, size, expiry, forecast)]
        chex.assert_rank(request, 0)
        start, size, expiry, forecast = compute_once(self.now, itself, request)
        placed = start >= 0
        return [jnp.where(placed, start, 0), jnp.where(placed, start + size, 0), expiry, forecast]

    def _with_block(self, block: Bits, end: jax.Array, expiry, forecast) -> Self:
        """Notes the block up to `end`, 0 for none, in the planes; its cells stay free for now."""
        return self.replace(
            expiry=self.expiry.written(block, expiry),
            birth=self.birth.written(block, self.now),
            forecast=self.forecast.written(block, forecast),
            cursor=jnp.where(end > 0, end, self.cursor),
            high_water=jnp.maximum(self.high_water, end),
        )

    def release(self, cell) -> Self:
        cell = jnp.asarray(cell, jnp.int32)
        lower = self.free.below(self._block_start(cell))
        covered = ~self.free.has(cell) & (cell >= 0) & (cell < self.cells)
        block = self.free.below(self._block_end(cell)) & ~lower
        block = block.select(covered, self.free ^ self.free)
        return self.replace(free=self.free | block, heads=self.heads & ~block)

    def first(self, size) -> jax.Array:
        return self._or_nowhere(self.starts(size).lowest())

    def last(self, size) -> jax.Array:
        return self.starts(size).highest()

    def second(self, size) -> jax.Array:
        holes = runs.low_ends(self.starts(size))
        lowest = holes.lowest()
        others = holes & ~holes.below(lowest + 1)
        return self._or_nowhere(jnp.where(others.any(), others.lowest(), lowest))

    def best(self, size) -> jax.Array:
        start = runs.shortest(self.free, size)
        return jnp.where(self._possible(size), self._or_nowhere(start), NOWHERE)

    def worst(self, size) -> jax.Array:
        start, length = runs.longest(self.free)
        return jnp.where((size >= 1) & (size <= length), start, NOWHERE)

    def next(self, size) -> jax.Array:
        starts = self.starts(size)
        ahead = starts & ~starts.below(self.cursor)
        return self._or_nowhere(jnp.where(ahead.any(), ahead.lowest(), starts.lowest()))

    def high_end(self, start, size) -> jax.Array:
        taken = ~self.free & ~self.free.below(start)
        return jnp.where(start >= 0, taken.lowest() - size, NOWHERE)

    def numbered_start(self, size, number) -> jax.Array:
        return self._or_nowhere(self.starts(size).numbered(number))

    def start_count(self, size) -> jax.Array:
        return self.starts(size).count()

    def allows(self, start, size) -> jax.Array:
        inside = (start >= 0) & (size >= 1) & (size <= self.cells - start)
        block = _between(self.free, start, start + size)
        return inside & ~(block & ~self.free).any()

    def legal_starts(self, size, count) -> tuple[jax.Array, jax.Array]:
        def found(arena: Self, size: jax.Array) -> tuple[Bits, jax.Array]:
            starts = arena.starts(size)
            return starts, starts.any()

        starts, some = compute_once(self.now, found, self, size)
        return starts.cells(count), some

    def holes_that_fit(self, size, count) -> Holes:
        starts = self.starts(size)
        lows, highs = runs.low_ends(starts), runs.high_ends(starts)

        def next_hole(rest: tuple[Bits, Bits], _: None):
            lows, highs = rest
            low, high = lows.lowest(), highs.lowest()
            # Both sets lose the same hole: the low ends up to this one, the high ends likewise.
            rest = (lows & ~lows.below(low + 1), highs & ~highs.below(high + 1))
            return rest, (low, high)

        _, (low, high) = jax.lax.scan(next_hole, (lows, highs), length=count)
        exists = low < self.capacity
        low, high = jnp.where(exists, low, NOWHERE), jnp.where(exists, high, NOWHERE)
        end = jnp.where(exists, high + size, NOWHERE)
        # Both sides at once: half the program to compile.
        cell = jnp.concatenate([low - 1, end])
        wall = jnp.concatenate([low == 0, end == self.cells])
        beside = self._neighbour(cell, jnp.tile(exists, 2), wall)
        return Holes(
            exists=exists,
            low=low,
            high=high,
            length=jnp.where(exists, end - low, 0),
            below=jax.tree.map(lambda column: column[:count], beside),
            above=jax.tree.map(lambda column: column[count:], beside),
        )

    def taken(self, count) -> jax.Array:
        return ~self.free.cells(count)

    def begins(self, count) -> jax.Array:
        return self.heads.cells(count)

    def free_cells(self) -> jax.Array:
        return self.free.count()

    def live_blocks(self) -> jax.Array:
        return self.heads.count()

    def largest_hole(self) -> jax.Array:
        return runs.longest(self.free)[1]

    def hole_count(self, at_least=1) -> jax.Array:
        known = isinstance(at_least, int) and at_least == 1
        starts = self.free if known else self.starts(jnp.asarray(at_least, jnp.int32))
        return runs.low_ends(starts).count()

    def hole_histogram(self) -> jax.Array:
        at_least, run, width = [], self.free, 1
        while width <= self.capacity:
            # Holes of at least `width` cells are the separate runs of their starts.
            at_least.append(runs.low_ends(run).count())
            run = run & (run >> width)
            width *= 2
        counts = jnp.stack([*at_least, jnp.zeros((), jnp.int32)])
        return counts[:-1] - counts[1:]

    def parts(self, borders) -> Parts:
        self._check_ages()
        live = ~self.free & self.free.below(self.cells)

        def part(low: jax.Array, high: jax.Array) -> Parts:
            inside = self.free.below(high) & ~self.free.below(low)
            here = live & inside
            return Parts(
                cells=here.count(),
                blocks=(self.heads & inside).count(),
                births=self.birth.total(here),
            )

        return jax.vmap(part)(borders[:-1], borders[1:])

    def starts(self, size: jax.Array) -> Bits:
        """Finds the cells at which a request of `size` cells (int32[]) may start, if any."""
        chex.assert_rank(size, 0)
        starts = runs.run_starts(self.free, size)
        return starts & starts.all_or_none(self._possible(size))

    def _possible(self, size: jax.Array) -> jax.Array:
        """Tells whether a request of `size` cells (int32[]) fits into the empty arena: bool[]."""
        return (size >= 1) & (size <= self.cells)

    def _neighbour(self, cell: jax.Array, exists: jax.Array, wall: jax.Array) -> Neighbour:
        """Describes the block on `cell` (int32[K]) beside each hole; none by a `wall` (bool[K])."""
        self._check_ages()
        seen, wall = exists & ~wall, exists & wall
        at = jnp.where(seen, cell, 0)
        size = jnp.vectorize(lambda at: self._block_end(at) - self._block_start(at))(at)
        remaining = self.forecast.at(at) - self.now
        return Neighbour(
            wall=wall,
            size=jnp.where(seen, size, 0),
            age=jnp.where(seen, self.now - self.birth.at(at), 0),
            remaining=jnp.where(seen, jnp.maximum(remaining, 0), 0),
        )

    def _check_ages(self) -> None:
        if self.birth.depth == 0:
            raise ValueError("this arena was made with ages=False: it cannot tell those of blocks")

    def _block_start(self, cell: jax.Array) -> jax.Array:
        """Finds the first cell (int32[]) of the live block that covers `cell` (int32[])."""
        return (self.heads & self.free.below(cell + 1)).highest()

    def _block_end(self, cell: jax.Array) -> jax.Array:
        """Finds one past the last cell (int32[]) of the live block that covers `cell` (int32[])."""
        borders = self.heads | self.free
        return jnp.minimum((borders & ~borders.below(cell + 1)).lowest(), self.cells)

    def _or_nowhere(self, cell: jax.Array) -> jax.Array:
        return jnp.where(cell < self.capacity, cell, NOWHERE)


def _between(like: Bits, low: jax.Array, high: jax.Array) -> Bits:
    """Returns the cells from `low` to below `high` (int32[]), in the shape of the set `like`."""
    return like.below(high) & ~like.below(low)


def _changed(free: Bits, heads: Bits, block: Bits, dying: Bits, at_once: Bits) -> tuple[Bits, Bits]:
    """Returns free cells and heads with `block`, without `dying` and what dies of the block."""
    dead = (dying & ~block) | (block & at_once)
    return (free & ~block) | dead, (heads | runs.low_ends(block)) & ~dead
