"""A set of cells as bits, 32 to a word: the arithmetic under the bit-packed arena.

Bit p of the set is bit p % 32 of word p // 32. The words of a short set are separate scalars, which
`vmap` turns into vectors over arenas that XLA fuses into straight-line code; the words of a long
set are one array, because the unrolled program grows with their number.

What is done to every word is written in `jax.lax`, which is traced in a quarter of the time.
"""

import abc
import functools
import operator
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import lax

WORD = 32
_ONES = 0xFFFFFFFF


class BitPlace(NamedTuple):
    """Where in a set a cell is."""

    word: jax.Array  # int32[...]
    bit: jax.Array  # uint32[...]  in the word


class Bits(struct.PyTreeNode, abc.ABC):
    """A set of cells: `&`, `|`, `^` and `~` act on whole sets, `<<` and `>>` move all cells."""

    words: Any  # W words of uint32, the lowest cells first

    def __and__(self, other: Self) -> Self:
        return jax.tree.map(lax.bitwise_and, self, other)

    def __or__(self, other: Self) -> Self:
        return jax.tree.map(lax.bitwise_or, self, other)

    def __xor__(self, other: Self) -> Self:
        return jax.tree.map(lax.bitwise_xor, self, other)

    def __invert__(self) -> Self:
        return jax.tree.map(lax.bitwise_not, self)

    def __rshift__(self, distance: int) -> Self:
        """Moves the set `distance` cells down: cell p of the result is cell p + distance."""
        words, near = divmod(distance, WORD)
        moved = self.words_down(words)
        if near == 0:
            return moved
        return moved._moved(lax.shift_right_logical, near) | self.words_down(words + 1)._moved(
            lax.shift_left, WORD - near
        )

    def __lshift__(self, distance: int) -> Self:
        """Moves the set `distance` cells up: cell p + distance of the result is cell p."""
        words, near = divmod(distance, WORD)
        moved = self.words_up(words)
        if near == 0:
            return moved
        return moved._moved(lax.shift_left, near) | self.words_up(words + 1)._moved(
            lax.shift_right_logical, WORD - near
        )

    def _moved(self, shift: Callable[..., jax.Array], distance: int) -> Self:
        """Moves the cells of every word by a shift of `jax.lax`."""
        return jax.tree.map(lambda word: shift(word, lax.full_like(word, distance)), self)

    def select(self, condition: jax.Array, other: Self) -> Self:
        """Returns this set where `condition` (bool[]) holds, `other` elsewhere."""
        return jax.tree.map(functools.partial(lax.select, condition), self, other)

    def all_or_none(self, everything: jax.Array) -> Self:
        """Returns every cell when `everything` (bool[]) holds, else none, in this set's shape."""
        word = lax.select(everything, np.uint32(_ONES), np.uint32(0))
        return jax.tree.map(lambda mine: lax.broadcast(word, mine.shape), self)

    @property
    def capacity(self) -> int:
        """Cells that fit into the words."""
        return WORD * len(self.words)

    def numbered(self, number: jax.Array) -> jax.Array:
        """Finds the cell of this number (int32[], from 0) in the set, or the capacity: int32[]."""
        words = self.stacked().words
        counts = _bit_count(words)
        # In every word as if the cell were there: the highest place with `rank` cells below it.
        rank = number - (jnp.cumsum(counts) - counts)
        place = jnp.zeros_like(rank)
        for step in (16, 8, 4, 2, 1):
            below = _bit_count(words & _low_bits(place + step))
            place = jnp.where(below <= rank, place + step, place)
        cell = WORD * jnp.arange(len(words), dtype=jnp.int32) + place
        return jnp.min(jnp.where((rank >= 0) & (rank < counts), cell, self.capacity))

    @abc.abstractmethod
    def stacked(self) -> "StackedBits":
        """Returns the same set, all words in one array."""

    @abc.abstractmethod
    def cells(self, count: int) -> jax.Array:
        """Unpacks the first `count` cells: bool[count]; beyond the capacity there are none."""

    @abc.abstractmethod
    def words_down(self, distance: int) -> Self:
        """Moves the set down by whole words."""

    @abc.abstractmethod
    def words_up(self, distance: int) -> Self:
        """Moves the set up by whole words."""

    @abc.abstractmethod
    def any(self) -> jax.Array:
        """Tells whether the set has a cell: bool[]."""

    @abc.abstractmethod
    def count(self) -> jax.Array:
        """Counts the cells in the set: int32[]."""

    @abc.abstractmethod
    def lowest(self) -> jax.Array:
        """Finds the lowest cell, or the capacity when the set is empty: int32[]."""

    @abc.abstractmethod
    def highest(self) -> jax.Array:
        """Finds the highest cell, or -1 when the set is empty: int32[]."""

    def has(self, cell: jax.Array) -> jax.Array:
        """Tells whether `cell` (int32[...], inside the capacity) is in the set: bool[...]."""
        return self.has_at(place_of(cell))

    @abc.abstractmethod
    def has_at(self, place: BitPlace) -> jax.Array:
        """Does as `has`, told the place of the cell, which is the same in many sets."""

    @abc.abstractmethod
    def below(self, cell: jax.Array | int) -> Self:
        """Returns the set of all cells lower than `cell` (int32[]), in this set's shape."""


class UnrolledBits(Bits):
    """A short set, every word a scalar of its own."""

    words: tuple[jax.Array, ...]  # W scalars uint32[]

    def stacked(self) -> "StackedBits":
        return StackedBits(words=jnp.stack(self.words))

    def cells(self, count: int) -> jax.Array:
        # Every cell asks every word, its own at its bit and the others at none: more work than to
        # go from word to word, and a quarter of the time, because all cells do the same.
        holders, places = np.divmod(np.arange(count), WORD)
        bits = np.uint32(1) << places.astype(np.uint32)
        asked = (
            word & jnp.asarray(np.where(holders == index, bits, np.uint32(0)))
            for index, word in enumerate(self.words)
        )
        return functools.reduce(operator.or_, asked) != 0

    def words_down(self, distance: int) -> Self:
        zeros = (jnp.zeros_like(self.words[0]),) * len(self.words)
        distance = min(distance, len(self.words))
        return self.replace(words=(self.words + zeros)[distance:][: len(self.words)])

    def words_up(self, distance: int) -> Self:
        zeros = (jnp.zeros_like(self.words[0]),) * distance
        return self.replace(words=(zeros + self.words)[: len(self.words)])

    def any(self) -> jax.Array:
        return functools.reduce(operator.or_, self.words) != 0

    def count(self) -> jax.Array:
        return functools.reduce(operator.add, map(_bit_count, self.words))

    def lowest(self) -> jax.Array:
        found = jnp.full_like(self.words[0], self.capacity, jnp.int32)
        for index, word in reversed(list(enumerate(self.words))):
            found = jnp.where(word != 0, WORD * index + trailing_zeros(word), found)
        return found

    def highest(self) -> jax.Array:
        found = jnp.full_like(self.words[0], -1, jnp.int32)
        for index, word in enumerate(self.words):
            found = jnp.where(word != 0, WORD * index + WORD - 1 - leading_zeros(word), found)
        return found

    def has_at(self, place: BitPlace) -> jax.Array:
        holder = jnp.zeros(jnp.shape(place.word), jnp.uint32)
        for index, word in enumerate(self.words):
            holder = jnp.where(place.word == index, word, holder)
        return _bit(holder, place)

    def below(self, cell: jax.Array | int) -> Self:
        firsts = range(0, self.capacity, WORD)
        return self.replace(words=tuple(_low_bits(jnp.asarray(cell - at)) for at in firsts))


class StackedBits(Bits):
    """A long set, all words in one array."""

    words: jax.Array  # uint32[W]

    def stacked(self) -> Self:
        return self

    def cells(self, count: int) -> jax.Array:
        words = jnp.pad(self.words, (0, max(0, -(-count // WORD) - len(self.words))))
        places = jnp.arange(WORD, dtype=jnp.uint32)
        return (((words[:, None] >> places) & 1) != 0).reshape(-1)[:count]

    def words_down(self, distance: int) -> Self:
        kept, zeros = self.words[distance:], jnp.zeros_like(self.words[:distance])
        return self.replace(words=jnp.concatenate([kept, zeros]))

    def words_up(self, distance: int) -> Self:
        zeros = jnp.zeros_like(self.words[:distance])
        return self.replace(words=jnp.concatenate([zeros, self.words])[: len(self.words)])

    def any(self) -> jax.Array:
        return jnp.any(self.words != 0)

    def count(self) -> jax.Array:
        return jnp.sum(_bit_count(self.words), dtype=jnp.int32)

    def lowest(self) -> jax.Array:
        cells = self.firsts() + trailing_zeros(self.words)
        return jnp.min(jnp.where(self.words != 0, cells, self.capacity))

    def highest(self) -> jax.Array:
        cells = self.firsts() + WORD - 1 - leading_zeros(self.words)
        return jnp.max(jnp.where(self.words != 0, cells, -1))

    def has_at(self, place: BitPlace) -> jax.Array:
        return _bit(self.words[jnp.clip(place.word, 0, len(self.words) - 1)], place)

    def below(self, cell: jax.Array | int) -> Self:
        """Does as for every set; `cell` may be int32[W], a border for each word."""
        return self.replace(words=_low_bits(cell - self.firsts()))

    def firsts(self) -> jax.Array:
        """Returns the lowest cell of every word: int32[W]."""
        return WORD * jnp.arange(len(self.words), dtype=jnp.int32)


def empty(capacity: int, *, unrolled: bool) -> Bits:
    """Makes the empty set over `capacity` cells (rounded up to whole words)."""
    count = -(-capacity // WORD)
    if unrolled:
        return UnrolledBits(words=tuple(jnp.zeros((), jnp.uint32) for _ in range(count)))
    return StackedBits(words=jnp.zeros((count,), jnp.uint32))


def packed(cells: jax.Array) -> UnrolledBits:
    """Packs the cells that are true in bool[N] into a set."""
    places = jnp.arange(len(cells), dtype=jnp.uint32) % WORD
    bits = jnp.where(cells, jnp.uint32(1) << places, jnp.uint32(0))
    firsts = range(0, len(cells), WORD)
    return UnrolledBits(
        words=tuple(jnp.sum(bits[at : at + WORD], dtype=jnp.uint32) for at in firsts)
    )


def place_of(cell: jax.Array) -> BitPlace:
    """Finds the place of `cell` (int32[...]), the same in every set."""
    return BitPlace(cell // WORD, (cell % WORD).astype(jnp.uint32))


def bit_of(number: jax.Array, place: int) -> jax.Array:
    """Tells whether a bit of `number` (int32[]) is set: bool[]."""
    moved = lax.shift_right_arithmetic(number, lax.full_like(number, place))
    return lax.ne(lax.bitwise_and(moved, lax.full_like(moved, 1)), lax.full_like(moved, 0))


def trailing_zeros(word: jax.Array) -> jax.Array:
    """Counts the cells below the lowest in each word: int32[...], 32 where there is none."""
    return _bit_count((word & -word) - 1)


def leading_zeros(word: jax.Array) -> jax.Array:
    """Counts the cells above the highest in each word: int32[...], 32 where there is none."""
    return jax.lax.clz(word).astype(jnp.int32)


def _bit_count(word: jax.Array) -> jax.Array:
    return jax.lax.population_count(word).astype(jnp.int32)


def _bit(word: jax.Array, place: BitPlace) -> jax.Array:
    moved = lax.shift_right_logical(word, place.bit)
    return lax.ne(moved & 1, lax.full_like(moved, 0))


def _low_bits(count: jax.Array) -> jax.Array:
    """Returns a word with its `count` lowest bits set; count may lie outside 0..32."""
    # Nothing is said of a word moved by 32 bits or more, so that case is chosen away.
    few = lax.convert_element_type(lax.max(count, lax.full_like(count, 0)), jnp.uint32)
    one = lax.full_like(few, 1)
    inside = lax.sub(lax.shift_left(one, few), one)
    return lax.select(lax.ge(count, lax.full_like(count, WORD)), lax.full_like(few, _ONES), inside)
