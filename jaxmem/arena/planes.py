"""A number on every cell, one bit to a plane: what is known of the block that covers the cell."""

import functools
import operator
from collections.abc import Callable
from typing import Self

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from jaxmem.arena.bits import Bits, StackedBits, bit_of, place_of


class Planes(struct.PyTreeNode):
    """A number of D bits on every cell that a set may have.

    The planes of short sets are separate, like their words; those of long sets are one array: one
    pass over memory, and one program to compile, for all of them.
    """

    bits: tuple[Bits, ...] | Bits  # bit b of every number in set b of D, or uint32[D, W] words

    @property
    def depth(self) -> int:
        """D, the bits of a number."""
        return len(self.bits if isinstance(self.bits, tuple) else self.bits.words)

    def written(self, where: Bits, number: jax.Array) -> Self:
        """Writes `number` (int32[], the largest that fits if it is larger) on the cells `where`."""
        number = jnp.minimum(number, 2**self.depth - 1)
        return self.replace(
            bits=self._each(
                lambda plane, bit: (plane & ~where) | (where & plane.all_or_none(bit)), number
            )
        )

    def equal(self, number: jax.Array) -> Bits:
        """Finds the cells that carry `number` (int32[])."""
        agree = self._each(lambda plane, bit: ~(plane ^ plane.all_or_none(bit)), number)
        if isinstance(agree, tuple):
            return functools.reduce(operator.and_, agree)
        return agree.replace(words=jnp.bitwise_and.reduce(agree.words, axis=0))

    def at(self, cell: jax.Array) -> jax.Array:
        """Reads the number on `cell` (int32[...]): int32[...]."""
        place = place_of(cell)
        return self._sum(lambda plane: plane.has_at(place).astype(jnp.int32))

    def total(self, where: Bits) -> jax.Array:
        """Sums the numbers on the cells `where`: int32[]."""
        return self._sum(lambda plane: (plane & where).count())

    def _each(
        self, change: Callable[[Bits, jax.Array], Bits], number: jax.Array
    ) -> tuple[Bits, ...] | Bits:
        """Maps every plane by `change(plane, bit)`, told its bit (bool[]) of `number` (int32[])."""
        if not isinstance(self.bits, tuple):
            places = jnp.arange(self.depth, dtype=jnp.int32)
            return jax.vmap(change)(self.bits, (number >> places) & 1 != 0)
        return tuple(change(plane, bit_of(number, place)) for place, plane in enumerate(self.bits))

    def _sum(self, measure: Callable[[Bits], jax.Array]) -> jax.Array:
        """Sums 2^b `measure(plane b)`."""
        if not isinstance(self.bits, tuple):
            places = jnp.arange(self.depth, dtype=jnp.int32)
            measured = jax.vmap(lambda plane, place: measure(plane) << place)(self.bits, places)
            return jnp.sum(measured, axis=0, dtype=jnp.int32)
        measured = (measure(plane) for plane in self.bits)
        return functools.reduce(
            lax.add,
            (lax.shift_left(one, lax.full_like(one, place)) for place, one in enumerate(measured)),
        )


def planes(cells: Bits, depth: int) -> Planes:
    """Makes numbers of `depth` bits, all ones on `cells` and 0 elsewhere."""
    if isinstance(cells, StackedBits):
        words = jnp.broadcast_to(cells.words, (depth, len(cells.words)))
        return Planes(bits=cells.replace(words=words))
    return Planes(bits=(cells,) * depth)
