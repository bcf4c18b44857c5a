"""The block table: arenas of any size, for as many blocks as live at once.

A table has B + 1 slots, in address order. The first is the wall below the arena; each other one is
a block or spare. With every slot goes the hole above it: `low` is where the slot's block ends and
the hole begins, `high` where the hole ends and the block of the next slot begins. A spare slot is
an empty block that touches the block before it, with an empty hole between them: so the length of
every hole is `high - low` in its own slot, and no search is needed past the spare ones.

Nothing is ever compacted. A new block takes any spare slot, and the slots between that one and its
place move by one. When blocks die, all that is spare moves down to the ends of the blocks that live
on, which is a running maximum, because ends rise with the address.
"""

from typing import Self

import chex
import jax
import jax.numpy as jnp
from flax import struct

from jaxmem.arena.arena import NOWHERE, Arena, Holes, Neighbour, Parts
from jaxmem.arena.compute_once import compute_once, itself

AFTER_ALL = 2**31 - 1  # an address after all others


class BlockTable(Arena):
    """An arena of up to 2**31 - 1 cells in which at most B blocks live at once.

    A block that finds no spare slot is not placed, and the arena stays as it is. B is for the
    caller to choose: how many blocks live at once is known from the requests before any is placed.
    """

    low: jax.Array  # int32[B + 1]  end of the slot's block, where the hole above it begins
    high: jax.Array  # int32[B + 1]  end of that hole, where the next slot's block begins
    expiry: jax.Array  # int32[B + 1]  time at which the slot's block dies, 0: the slot is spare
    birth: jax.Array  # int32[B + 1]  time at which it was placed
    forecast: jax.Array  # int32[B + 1]  its predicted time of death, 0: none
    most_cells: int = struct.field(pytree_node=False)  # cells of the largest arena of this shape
    furthest: int = struct.field(pytree_node=False)  # the latest forecast that is remembered

    @property
    def capacity(self) -> int:
        return self.most_cells

    def place(self, start, size, expiry, forecast=0) -> Self:
        request = [jnp.asarray(number, jnp.int32) for number in (start, size, expiry, forecast)]
        chex.assert_rank(request, 0)
        start, size, expiry, forecast = request
        slots = self._slots()
        spare = _largest(jnp.where(self.expiry == 0, slots, 0))
        below = _largest(jnp.where(self.low <= start, slots, 0))
        placed = (start >= 0) & (spare > 0)
        end = jnp.where(placed, start + size, 0)
        # The new block comes after `below`, which moves down if the spare slot is not above it.
        at = below + (spare > below)

        def inserted(column: jax.Array, value: jax.Array, at: jax.Array, spare: jax.Array):
            up, down = _moved(column, 1), _moved(column, -1)
            column = jnp.where((at < slots) & (slots <= spare), up, column)
            column = jnp.where((spare <= slots) & (slots < at), down, column)
            return jnp.where(slots == at, value, column)

        at, spare = jnp.where(placed, at, -1), jnp.where(placed, spare, -1)
        low, high, expiry = compute_once(
            self.now,
            itself,
            (
                inserted(self.low, end, at, spare),
                # Where a block starts is written in the slot before its own.
                inserted(self.high, start, at - 1, spare - 1),
                inserted(self.expiry, expiry, at, spare),
            ),
        )
        return self.replace(
            low=low,
            high=high,
            expiry=expiry,
            # Not settled: a program that never looks at them does not move them either.
            birth=inserted(self.birth, self.now, at, spare),
            forecast=inserted(self.forecast, jnp.minimum(forecast, self.furthest), at, spare),
            cursor=jnp.where(placed, end, self.cursor),
            high_water=jnp.maximum(self.high_water, end),
        )

    def tick(self, now) -> Self:
        now = jnp.asarray(now, jnp.int32)
        return self._without(self.expiry <= now).replace(now=now)

    def release(self, cell) -> Self:
        cell = jnp.asarray(cell, jnp.int32)
        covers = (self._block_starts() <= cell) & (cell < self.low)
        return self._without(covers | (self.expiry == 0))

    def first(self, size) -> jax.Array:
        return _or_nowhere(smallest(jnp.where(self._fits(size), self.low, AFTER_ALL)))

    def last(self, size) -> jax.Array:
        return _largest(jnp.where(self._fits(size), self.high - size, NOWHERE))

    def second(self, size) -> jax.Array:
        lows = jnp.where(self._fits(size), self.low, AFTER_ALL)
        lowest = smallest(lows)
        other = smallest(jnp.where(lows > lowest, lows, AFTER_ALL))
        return _or_nowhere(jnp.where(other < AFTER_ALL, other, lowest))

    def best(self, size) -> jax.Array:
        fits, length = self._fits(size), self._lengths()
        shortest = smallest(jnp.where(fits, length, AFTER_ALL))
        return _or_nowhere(smallest(jnp.where(fits & (length == shortest), self.low, AFTER_ALL)))

    def worst(self, size) -> jax.Array:
        length = self._lengths()
        longest = _largest(length)
        start = smallest(jnp.where(length == longest, self.low, AFTER_ALL))
        return jnp.where((size >= 1) & (size <= longest), start, NOWHERE)

    def next(self, size) -> jax.Array:
        low = jnp.maximum(self.low, self.cursor)
        ahead = smallest(jnp.where((size >= 1) & (self.high - low >= size), low, AFTER_ALL))
        return jnp.where(ahead < AFTER_ALL, ahead, self.first(size))

    def high_end(self, start, size) -> jax.Array:
        end = smallest(jnp.where(self.high > start, self.high, AFTER_ALL))
        return jnp.where(start >= 0, end - size, NOWHERE)

    def numbered_start(self, size, number) -> jax.Array:
        counts = self._start_counts(size)
        before = self._running(jnp.add, counts) - counts
        chosen = (before <= number) & (number - before < counts)
        return _largest(jnp.where(chosen, self.low + (number - before), NOWHERE))

    def start_count(self, size) -> jax.Array:
        return jnp.sum(self._start_counts(size), dtype=jnp.int32)

    def allows(self, start, size) -> jax.Array:
        return (size >= 1) & jnp.any((self.low <= start) & (self.high - start >= size))

    def legal_starts(self, size, count) -> tuple[jax.Array, jax.Array]:
        return (size >= 1) & (self._room(count) >= size), jnp.any(self._fits(size))

    def holes_that_fit(self, size, count) -> Holes:
        numbers = self._running(jnp.add, self._fits(size).astype(jnp.int32))
        hole = jnp.searchsorted(numbers, jnp.arange(1, count + 1, dtype=jnp.int32))
        exists = hole < len(self.low)
        # A hole's own slot may be spare: the block below it is in the last slot that is not.
        live = jnp.where(self.expiry > 0, self._slots(), 0)
        block = self._running(jnp.maximum, live)[hole]
        low, high = self.low[hole], self.high[hole]
        return Holes(
            exists=exists,
            low=jnp.where(exists, low, NOWHERE),
            high=jnp.where(exists, high - size, NOWHERE),
            length=jnp.where(exists, high - low, 0),
            below=self._neighbour(block, exists, low == 0),
            above=self._neighbour(hole + 1, exists, high == self.cells),
        )

    def taken(self, count) -> jax.Array:
        return self._room(count) <= 0

    def begins(self, count) -> jax.Array:
        starts = self._block_starts()
        block = (self.expiry > 0) & (starts < self.low)  # but for spare slots and the wall
        return jnp.zeros(count, bool).at[jnp.where(block, starts, count)].set(True, mode="drop")

    def free_cells(self) -> jax.Array:
        return jnp.sum(self._lengths(), dtype=jnp.int32)

    def live_blocks(self) -> jax.Array:
        return jnp.sum(self.expiry > 0, dtype=jnp.int32) - 1

    def largest_hole(self) -> jax.Array:
        return _largest(self._lengths())

    def hole_count(self, at_least=1) -> jax.Array:
        return jnp.sum(self._fits(at_least), dtype=jnp.int32)

    def hole_histogram(self) -> jax.Array:
        bins = jnp.arange(self.capacity.bit_length(), dtype=jnp.int32)
        return jnp.sum(self._lengths() >> bins[:, None] == 1, axis=1, dtype=jnp.int32)

    def parts(self, borders) -> Parts:
        """Measures what lives between each two `borders`; `births` is a sum modulo 2**32."""
        starts, low, high = self._block_starts(), borders[:-1, None], borders[1:, None]
        cells = jnp.maximum(jnp.minimum(self.low, high) - jnp.maximum(starts, low), 0)
        begins = (low <= starts) & (starts < high) & (starts < self.low)
        return Parts(
            cells=jnp.sum(cells, axis=1, dtype=jnp.int32),
            blocks=jnp.sum(begins, axis=1, dtype=jnp.int32),
            births=jnp.sum(cells * self.birth, axis=1, dtype=jnp.int32),
        )

    def _slots(self) -> jax.Array:
        return jnp.arange(len(self.low), dtype=jnp.int32)

    def _lengths(self) -> jax.Array:
        """Returns the length of the hole in each slot: int32[B + 1], 0 where there is none."""
        return self.high - self.low

    def _fits(self, size: jax.Array | int) -> jax.Array:
        """Tells whether the hole in each slot holds `size` (int32[]) cells: bool[B + 1]."""
        return (size >= 1) & (self._lengths() >= size)

    def _start_counts(self, size: jax.Array) -> jax.Array:
        """Counts the legal starts in the hole in each slot: int32[B + 1]."""
        return jnp.where(self._fits(size), self._lengths() - size + 1, 0)

    def _block_starts(self) -> jax.Array:
        """Returns where the block in each slot starts: int32[B + 1]."""
        return _moved(self.high, 1)

    def _room(self, count: int) -> jax.Array:
        """Counts the free cells from each of the first `count` on, not above 0 if it is covered."""
        cell = jnp.arange(count, dtype=jnp.int32)
        return self.high[jnp.searchsorted(self.low, cell, side="right") - 1] - cell

    def _without(self, dead: jax.Array) -> Self:
        """Makes exactly the slots of `dead` (bool[B + 1]) spare."""
        low = self._running(jnp.maximum, jnp.where(dead, 0, self.low))
        return self.replace(
            low=low,
            high=jnp.where(_moved(dead, -1), low, self.high),
            expiry=jnp.where(dead, 0, self.expiry),
        )

    def _running(self, join, column: jax.Array) -> jax.Array:
        """Joins each number of `column` (int32[B + 1]) to all before it, by doubling."""
        reach = 1
        while reach < len(column):
            column = compute_once(self.now, itself, join(column, _moved(column, reach)))
            reach *= 2
        return column

    def _neighbour(self, slot: jax.Array, exists: jax.Array, wall: jax.Array) -> Neighbour:
        """Describes the block in `slot` (int32[K]) beside each hole; none by a `wall` (bool[K])."""
        seen = exists & ~wall
        size = (self.low - self._block_starts())[slot]
        remaining = jnp.maximum(self.forecast[slot] - self.now, 0)
        return Neighbour(
            wall=exists & wall,
            size=jnp.where(seen, size, 0),
            age=jnp.where(seen, self.now - self.birth[slot], 0),
            remaining=jnp.where(seen, remaining, 0),
        )


def _moved(column: jax.Array, by: int) -> jax.Array:
    """Moves every number of `column` `by` slots up; zeros come in."""
    return jax.lax.pad(column, jnp.zeros((), column.dtype), [(by, -by, 0)])


def smallest(column: jax.Array) -> jax.Array:
    """Returns the least number of int32[H] or float32[H], alone."""
    return jnp.min(_folded(column, jnp.minimum))


def _largest(column: jax.Array) -> jax.Array:
    return jnp.max(_folded(column, jnp.maximum))


def _folded(column: jax.Array, join) -> jax.Array:
    """Returns at most sixteen numbers with the same minimum or maximum as `column`.

    A CPU does this on many numbers at once, and XLA's own reduction one by one.
    """
    while len(column) > 16:
        half = (len(column) + 1) // 2
        column = join(column[:half], column[-half:])
    return column


def _or_nowhere(start: jax.Array) -> jax.Array:
    return jnp.where(start < AFTER_ALL, start, NOWHERE)
