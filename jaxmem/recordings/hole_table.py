"""The hole table: an arena of any size that is told where the blocks were which are freed.

A step in a block table costs what the live blocks are; here it costs what the holes are, which real
programs leave few of. The blocks are not in the table: who frees one says where it is. The holes
lie in slots in no order, so that one comes or goes without moving others.

The arena is bounded, and then one hole at first; or it grows. What grows has free space without end
above its highest block, which is used only when no hole between blocks fits. That space is always
in slot 0, and ends, as far as the table says, at the high-water mark.
"""

from typing import Self

import chex
import jax
import jax.numpy as jnp
from flax import struct

from jaxmem.arena.arena import NOWHERE
from jaxmem.arena.table import smallest

BEYOND = 2**31 - 1  # an address after all others


class Order(struct.PyTreeNode):
    """A rule's choice of hole, in numbers: one compiled program plays all rules.

    Of the holes that fit it is the one with the least

        by_length * length + by_end * end

    and of several the lowest. At most one of the two is not zero. Each has an entry for small
    requests, and then one for larger ones.
    """

    threshold: jax.Array  # int32[]  units, of the largest request that is small
    by_length: jax.Array  # int32[2]  1: the shortest hole, -1: the longest
    by_end: jax.Array  # int32[2]  -1: the highest hole
    at_high: jax.Array  # bool[2]  the block takes the high end of its hole, else the low one
    onward: jax.Array  # bool[]  the lowest start at or after the cursor comes before all others


class HoleTable(struct.PyTreeNode):
    """An arena of up to 2**31 - 2 units with at most H holes."""

    low: jax.Array  # int32[H]  where the hole in the slot begins
    high: jax.Array  # int32[H]  where it ends; a slot in which they are equal is spare
    grows: jax.Array  # bool[]  the arena has no bound; high[0] is its high-water mark
    cursor: jax.Array  # int32[]  end of the block placed last
    full: jax.Array  # bool[]  a hole found no slot: the arena is wrong from then on

    @property
    def slots(self) -> int:
        """H, the number of slots."""
        return self.low.shape[0]

    def place(self, size: jax.Array, order: Order) -> tuple[Self, jax.Array]:
        """Places a block of `size` units (int32[], at least 1), and tells where it starts.

        Returns:
            The table, and int32[], NOWHERE if no hole fits; in an arena that grows only if the
            block would need an address beyond 2**31 - 2.
        """
        chex.assert_rank(size, 0)
        kind = (size > order.threshold).astype(jnp.int32)
        by_length, by_end, at_high = order.by_length[kind], order.by_end[kind], order.at_high[kind]
        endless = self._endless()
        length = self.high - self.low
        fits = (length >= size) & ~endless
        behind = self.high - jnp.maximum(self.low, self.cursor) < size
        rank = by_length * length + by_end * self.high
        rank = jnp.where(order.onward, behind.astype(jnp.int32), rank)
        least = smallest(jnp.where(fits, rank, BEYOND))
        low = smallest(jnp.where(fits & (rank == least), self.low, BEYOND))
        found = low < BEYOND
        # The rank is the length or the end of the hole, but for its sign.
        end_of_hole = jnp.where(by_end < 0, -least, low + by_length * least)
        onward = order.onward & (least == 0)
        start = jnp.where(onward, jnp.maximum(low, self.cursor), low)
        start = jnp.where(at_high, end_of_hole - size, start)
        highest = self.low[0]
        grows = ~found & self.grows & (highest <= BEYOND - 1 - size)
        start = jnp.where(found, start, jnp.where(grows, highest, NOWHERE))
        end = start + size
        chosen, above = fits & (self.low == low), endless & grows
        table = self.replace(
            low=jnp.where((chosen & ~at_high) | above, end, self.low),
            high=jnp.where(
                chosen & at_high,
                start,
                jnp.where(above, jnp.maximum(self.high, end), self.high),
            ),
            cursor=jnp.where(start >= 0, end, self.cursor),
        )
        # Only next fit leaves a hole on both sides of a block.
        split = found & onward & (start > low)
        table = jax.lax.cond(split, lambda: table._with_hole(split, low, start), lambda: table)
        return table, start

    def place_where(self, size: jax.Array, score: jax.Array) -> tuple[Self, jax.Array]:
        """Places a block at the end of a hole that is worth most, in an arena that is bounded.

        Args:
            size: int32[]  units, at least 1.
            score: float32[2, H]  of the low and the high end of the hole in each slot; of holes
                that do not fit it does not matter.
        Returns:
            The table, and where the block starts: int32[], NOWHERE if no hole fits. Of starts that
            are worth the same it is the lowest.
        """
        chex.assert_rank(size, 0)
        chex.assert_shape(score, (2, self.slots))
        fits = self.high - self.low >= size
        score = jnp.where(fits, score, -jnp.inf)
        best = -smallest(-jnp.maximum(score[0], score[1]))
        at_low = jnp.where(fits & (score[0] >= best), self.low, BEYOND)
        at_high = jnp.where(fits & (score[1] >= best), self.high - size, BEYOND)
        edge = smallest(jnp.minimum(at_low, at_high))
        start = jnp.where(edge < BEYOND, edge, NOWHERE)
        low_end = self.low == start
        high_end = fits & (self.low < start) & (start < self.high)
        table = self.replace(
            low=jnp.where(fits & low_end, start + size, self.low),
            high=jnp.where(high_end, start, self.high),
            cursor=jnp.where(start >= 0, start + size, self.cursor),
        )
        return table, start

    def place_at(self, size: jax.Array, start: jax.Array) -> tuple[Self, jax.Array]:
        """Places a block at an address, in an arena that is bounded, if it is free there.

        Args:
            size: int32[]  units, at least 1.
            start: int32[]  units; NOWHERE is free nowhere.
        Returns:
            The table, and `start`; NOWHERE if not all of the block lies in one hole.
        """
        chex.assert_rank([size, start], 0)
        # A spare slot is no longer than nothing, and what is NOWHERE begins below every hole.
        chosen = (self.low <= start) & (self.high - start >= size)
        low = smallest(jnp.where(chosen, self.low, BEYOND))
        high = -smallest(jnp.where(chosen, -self.high, 0))
        found, end = low < BEYOND, start + size
        below = found & (start > low)
        table = self.replace(
            low=jnp.where(chosen & ~below, end, self.low),
            high=jnp.where(chosen & below, start, self.high),
            cursor=jnp.where(found, end, self.cursor),
        )
        return table._with_hole(below & (end < high), end, high), jnp.where(found, start, NOWHERE)

    def free(self, start: jax.Array, size: jax.Array) -> Self:
        """Frees the block of `size` units at `start` (int32[] each).

        Nothing is freed if `start` is NOWHERE.
        """
        chex.assert_rank([start, size], 0)
        placed = start >= 0
        begin = jnp.where(placed, start, -2)  # where no hole begins or ends
        end = jnp.where(placed, start + size, -2)
        spare = self.low == self.high
        below = (self.high == begin) & ~spare
        above = (self.low == end) & (~spare | self._endless())
        lowest = smallest(jnp.where(below, self.low, begin))
        beside_above = smallest(jnp.where(above, -1, 0)) < 0
        beside_below = lowest < begin
        # Where there is a hole on both sides, that above takes all, and that below is spare.
        table = self.replace(
            low=jnp.where(above, lowest, jnp.where(below & beside_above, self.high, self.low)),
            high=jnp.where(below & ~beside_above, end, self.high),
        )
        return table._with_hole(placed & ~beside_above & ~beside_below, begin, end)

    def holes(self) -> jax.Array:
        """Counts the holes: int32[]; the space without end above all blocks is none."""
        return jnp.sum((self.low < self.high) & ~self._endless(), dtype=jnp.int32)

    def _endless(self) -> jax.Array:
        """Finds the slot of the space above all blocks, in an arena that grows: bool[H]."""
        return self.grows & (jnp.arange(self.slots) == 0)

    def _with_hole(self, wanted: jax.Array, low: jax.Array, high: jax.Array) -> Self:
        """Adds a hole, from `low` to `high` (int32[]), if it is `wanted`."""
        slot = jnp.arange(self.slots, dtype=jnp.int32)
        spare = (self.low == self.high) & (slot > 0)
        first = smallest(jnp.where(spare, slot, self.slots))
        here = wanted & (slot == first)
        return self.replace(
            low=jnp.where(here, low, self.low),
            high=jnp.where(here, high, self.high),
            full=self.full | (wanted & (first == self.slots)),
        )


def new_hole_table(cells: int | jax.Array, slots: int) -> HoleTable:
    """Makes an empty arena of `cells` units (int32[], 0: it grows) with H = `slots` slots.

    Raises:
        ValueError: fewer than two slots.
    """
    if slots < 2:
        raise ValueError(f"slots must be at least 2, not {slots}")
    cells = jnp.asarray(cells, jnp.int32)
    nothing = jnp.zeros(slots, jnp.int32)
    return HoleTable(
        low=nothing,
        high=nothing.at[0].set(cells),
        grows=cells == 0,
        cursor=jnp.zeros_like(cells),
        full=jnp.zeros((), bool),
    )
