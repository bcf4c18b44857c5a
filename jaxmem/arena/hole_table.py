"""The hole table: arenas of any size side by side, that see one stream of allocations and frees.

A step in a block table costs what the live blocks are; here it costs what the holes are, which real
programs leave few of. The blocks are not in the table: who frees one says where it was. The holes
lie in slots in no order, so that one comes or goes without moving others.

An arena is bounded, and then one hole at first; or it grows. What grows has free space without end
above its highest block, which is used only when no hole between blocks fits. That space is always
in slot 0, and ends, as far as the table says, at the high-water mark.
"""

from typing import Self

import chex
import jax
import jax.numpy as jnp
from flax import struct

from jaxmem.arena.arena import NOWHERE

BEYOND = 2**31 - 1  # an address after all others


class Rules(struct.PyTreeNode):
    """How each of K arenas chooses a hole: row 0 for its small requests, row 1 for larger ones.

    Of the holes that fit it is the one with the least

        by_length * length + by_end * end

    and of several the lowest. At most one of the two is not zero.
    """

    threshold: jax.Array  # int32[K]  units, of the largest request that is small
    by_length: jax.Array  # int32[2, K]  1: the shortest hole, -1: the longest
    by_end: jax.Array  # int32[2, K]  -1: the highest hole
    at_high: jax.Array  # bool[2, K]  the block takes the high end of its hole, else the low one
    onward: jax.Array  # bool[K]  the lowest start at or after the cursor comes before all others


class HoleTable(struct.PyTreeNode):
    """K arenas of up to 2**31 - 2 units with at most H holes each."""

    low: jax.Array  # int32[K, H]  where the hole in the slot begins
    high: jax.Array  # int32[K, H]  where it ends; a slot in which they are equal is spare
    grows: jax.Array  # bool[K]  the arena has no bound; high[:, 0] is its high-water mark
    cursor: jax.Array  # int32[K]  end of the block placed last
    full: jax.Array  # bool[K]  a hole found no slot: the arena is wrong from then on

    @property
    def slots(self) -> int:
        """H, the number of slots."""
        return self.low.shape[1]

    def place(self, size: jax.Array, rules: Rules) -> tuple[Self, jax.Array]:
        """The arenas with a block of `size` units (int32[], at least 1), and where it starts.

        Returns:
            The table, and int32[K], NOWHERE where no hole fits; an arena that grows has no place
            only where it would need an address beyond 2**31 - 1.
        """
        chex.assert_rank(size, 0)
        large = size > rules.threshold
        by_length, by_end, at_high = (
            jnp.where(large, row[1], row[0])[:, None]
            for row in (rules.by_length, rules.by_end, rules.at_high)
        )
        onward, cursor = rules.onward[:, None], self.cursor[:, None]
        length = self.high - self.low
        endless = self._endless()
        fits = (length >= size) & ~endless
        behind = self.high - jnp.maximum(self.low, cursor) < size
        rank = jnp.where(onward, behind.astype(jnp.int32), by_length * length + by_end * self.high)
        least = _least(jnp.where(fits, rank, BEYOND))
        low = _least(jnp.where(fits & (rank == least), self.low, BEYOND))
        found = low < BEYOND
        # The rank is the length or the end of the hole, but for its sign.
        end_of_hole = jnp.where(by_end < 0, -least, low + by_length * least)
        from_low = jnp.where(onward & (least == 0), jnp.maximum(low, cursor), low)
        start = jnp.where(at_high, end_of_hole - size, from_low)
        highest = self.low[:, :1]
        grows = ~found & self.grows[:, None] & (highest <= BEYOND - 1 - size)
        start = jnp.where(found, start, jnp.where(grows, highest, NOWHERE))
        chosen = fits & (self.low == low)
        top = endless & grows
        end = start + size
        table = self.replace(
            low=jnp.where((chosen & ~at_high) | top, end, self.low),
            high=jnp.where(
                chosen & at_high, start, jnp.where(top, jnp.maximum(self.high, end), self.high)
            ),
            cursor=jnp.where(start >= 0, end, cursor)[:, 0],
        )
        # Only next fit leaves a hole on both sides of a block.
        split = found & onward & (start > low)
        table = jax.lax.cond(
            jnp.any(split), lambda: table._with_hole(split, low, start), lambda: table
        )
        return table, start[:, 0]

    def free(self, start: jax.Array, size: jax.Array) -> Self:
        """The arenas without the block of `size` units (int32[]) at `start` (int32[K]).

        Where `start` is NOWHERE nothing is freed.
        """
        chex.assert_rank([start, size], [1, 0])
        placed = start[:, None] >= 0
        begin = jnp.where(placed, start[:, None], -2)  # where no hole begins or ends
        end = jnp.where(placed, begin + size, -2)
        spare = self.low == self.high
        below = (self.high == begin) & ~spare
        above = (self.low == end) & (~spare | self._endless())
        lowest = _least(jnp.where(below, self.low, begin))
        beside_above = _least(jnp.where(above, -1, 0)) < 0
        beside_below = lowest < begin
        # Where there is a hole on both sides, that above takes all, and that below is spare.
        table = self.replace(
            low=jnp.where(above, lowest, jnp.where(below & beside_above, self.high, self.low)),
            high=jnp.where(below & ~beside_above, end, self.high),
        )
        return table._with_hole(placed & ~beside_above & ~beside_below, begin, end)

    def holes(self) -> jax.Array:
        """The holes in each arena: int32[K]."""
        return jnp.sum(self.low < self.high, axis=1, dtype=jnp.int32)

    def _endless(self) -> jax.Array:
        """The slots with the space above all blocks of an arena that grows: bool[K, H]."""
        return self.grows[:, None] & (jnp.arange(self.slots) == 0)

    def _with_hole(self, wanted: jax.Array, low: jax.Array, high: jax.Array) -> Self:
        """The arenas with one more hole from `low` to `high` (int32[K, 1]) where it is `wanted`."""
        slot = jnp.arange(self.slots, dtype=jnp.int32)
        spare = (self.low == self.high) & (slot > 0)
        first = _least(jnp.where(spare, slot, self.slots))
        here = wanted & (slot == first)
        return self.replace(
            low=jnp.where(here, low, self.low),
            high=jnp.where(here, high, self.high),
            full=self.full | (wanted & (first == self.slots))[:, 0],
        )


def new_hole_table(cells: jax.Array, slots: int) -> HoleTable:
    """Empty arenas of `cells` units (int32[K], 0: it grows) with H = `slots` slots each.

    Raises:
        ValueError: fewer than two slots.
    """
    if slots < 2:
        raise ValueError(f"slots must be at least 2, not {slots}")
    cells = jnp.asarray(cells, jnp.int32)
    chex.assert_rank(cells, 1)
    nothing = jnp.zeros((len(cells), slots), jnp.int32)
    return HoleTable(
        low=nothing,
        high=nothing.at[:, 0].set(cells),
        grows=cells == 0,
        cursor=jnp.zeros_like(cells),
        full=jnp.zeros(len(cells), bool),
    )


def _least(column: jax.Array) -> jax.Array:
    """The least number of each row of int32[K, H]: int32[K, 1]."""
    return jnp.min(column, axis=1, keepdims=True)
