"""A set of cells as bits, 32 to a word: the arithmetic under the bit-packed arena.

Bit p of the set is bit p % 32 of word p // 32. Up to `UNROLLED_WORDS` words are kept as separate
scalars, which `vmap` turns into vectors over arenas that XLA fuses into straight-line code; longer
sets are one array, because the unrolled program grows with the number of words.
"""

import functools
import operator

import jax
import jax.numpy as jnp
from flax import struct

WORD = 32
UNROLLED_WORDS = 8
_ONES = 0xFFFFFFFF


@struct.dataclass
class Bits:
    """A set of cells; `&`, `|`, `~` act on whole sets, `<<` and `>>` move them by a fixed number."""

    words: tuple[jax.Array, ...] | jax.Array  # W scalars uint32[], or uint32[W]

    @property
    def unrolled(self) -> bool:
        """Whether the words are separate scalars."""
        return isinstance(self.words, tuple)

    @property
    def count_words(self) -> int:
        """W, the number of words."""
        return len(self.words) if self.unrolled else self.words.shape[-1]

    def __and__(self, other: "Bits") -> "Bits":
        return jax.tree.map(operator.and_, self, other)

    def __or__(self, other: "Bits") -> "Bits":
        return jax.tree.map(operator.or_, self, other)

    def __xor__(self, other: "Bits") -> "Bits":
        return jax.tree.map(operator.xor, self, other)

    def __invert__(self) -> "Bits":
        return jax.tree.map(operator.invert, self)

    def __rshift__(self, distance: int) -> "Bits":
        """The set moved `distance` cells down: cell p of the result is cell p + distance."""
        return self._moved(distance, down=True)

    def __lshift__(self, distance: int) -> "Bits":
        """The set moved `distance` cells up: cell p + distance of the result is cell p."""
        return self._moved(distance, down=False)

    def _moved(self, distance: int, down: bool) -> "Bits":
        far, near = divmod(distance, WORD)
        source, spill = self._by_words(far, down), self._by_words(far + 1, down)
        if near == 0:
            return source
        near_by, back_by = jnp.uint32(near), jnp.uint32(WORD - near)
        if down:
            return jax.tree.map(lambda a, b: (a >> near_by) | (b << back_by), source, spill)
        return jax.tree.map(lambda a, b: (a << near_by) | (b >> back_by), source, spill)

    def _by_words(self, distance: int, down: bool) -> "Bits":
        count = self.count_words
        distance = min(distance, count)
        if self.unrolled:
            zeros = (jnp.zeros_like(self.words[0]),) * distance
            kept = self.words[distance:] if down else self.words[: count - distance]
            return Bits(kept + zeros if down else zeros + kept)
        zeros = jnp.zeros_like(self.words[:distance])
        kept = self.words[distance:] if down else self.words[: count - distance]
        return Bits(jnp.concatenate([kept, zeros] if down else [zeros, kept]))

    def any(self) -> jax.Array:
        """Whether the set has a cell: bool[]."""
        if self.unrolled:
            return functools.reduce(operator.or_, self.words) != 0
        return jnp.any(self.words != 0)

    def count(self) -> jax.Array:
        """The number of cells in the set: int32[]."""
        counts = jax.tree.map(lambda w: jax.lax.population_count(w).astype(jnp.int32), self.words)
        return sum(counts[1:], counts[0]) if self.unrolled else jnp.sum(counts)

    def lowest(self) -> jax.Array:
        """The lowest cell, or the set's capacity when it is empty: int32[]."""
        capacity = WORD * self.count_words
        if self.unrolled:
            found = jnp.full_like(self.words[0], capacity, jnp.int32)
            for index in reversed(range(self.count_words)):
                word = self.words[index]
                found = jnp.where(word != 0, WORD * index + _trailing_zeros(word), found)
            return found
        cells = WORD * jnp.arange(self.count_words) + _trailing_zeros(self.words)
        return jnp.min(jnp.where(self.words != 0, cells, capacity)).astype(jnp.int32)

    def highest(self) -> jax.Array:
        """The highest cell, or -1 when the set is empty: int32[]."""
        if self.unrolled:
            found = jnp.full_like(self.words[0], -1, jnp.int32)
            for index, word in enumerate(self.words):
                found = jnp.where(word != 0, WORD * index + WORD - 1 - _leading_zeros(word), found)
            return found
        cells = WORD * jnp.arange(self.count_words) + WORD - 1 - _leading_zeros(self.words)
        return jnp.max(jnp.where(self.words != 0, cells, -1)).astype(jnp.int32)

    def has(self, cell: jax.Array) -> jax.Array:
        """Whether `cell` (int32[...], inside the capacity) is in the set: bool[...]."""
        index, place = cell // WORD, (cell % WORD).astype(jnp.uint32)
        if self.unrolled:
            word = jnp.zeros_like(place)
            for number, candidate in enumerate(self.words):
                word = jnp.where(index == number, candidate, word)
        else:
            word = self.words[jnp.clip(index, 0, self.count_words - 1)]
        return ((word >> place) & 1) != 0

    def select(self, condition: jax.Array, other: "Bits") -> "Bits":
        """This set where `condition` (bool[]) holds, `other` elsewhere."""
        return jax.tree.map(lambda a, b: jnp.where(condition, a, b), self, other)

    def below(self, cell: jax.Array | int) -> "Bits":
        """The set of all cells lower than `cell` (int32[]), in this set's shape."""
        if self.unrolled:
            return Bits(tuple(_low_bits(cell - WORD * i) for i in range(self.count_words)))
        return Bits(_low_bits(cell - WORD * jnp.arange(self.count_words)))

    def cells(self, count: int) -> jax.Array:
        """The first `count` cells one by one: bool[count]."""
        words = jnp.stack(self.words) if self.unrolled else self.words
        places = jnp.arange(WORD, dtype=jnp.uint32)
        return (((words[:, None] >> places) & 1) != 0).reshape(-1)[:count]


def empty(capacity: int) -> Bits:
    """The empty set over `capacity` cells (rounded up to whole words)."""
    count = -(-capacity // WORD)
    if count <= UNROLLED_WORDS:
        return Bits(tuple(jnp.zeros((), jnp.uint32) for _ in range(count)))
    return Bits(jnp.zeros((count,), jnp.uint32))


def where_bit(value: jax.Array, position: int, like: Bits) -> Bits:
    """Every cell when bit `position` of `value` (int32[]) is set, else none, in `like`'s shape."""
    word = -((value >> position) & 1).astype(jnp.uint32)
    return jax.tree.map(lambda w: jnp.broadcast_to(word, w.shape), like)


def _trailing_zeros(word: jax.Array) -> jax.Array:
    return jax.lax.population_count((word & -word) - 1).astype(jnp.int32)


def _leading_zeros(word: jax.Array) -> jax.Array:
    return jax.lax.clz(word).astype(jnp.int32)


def _low_bits(count: jax.Array) -> jax.Array:
    """A word with its `count` lowest bits set; count may lie outside 0..32."""
    count = jnp.asarray(count)
    inside = (jnp.uint32(1) << jnp.clip(count, 0, WORD - 1).astype(jnp.uint32)) - jnp.uint32(1)
    return jnp.where(count >= WORD, jnp.uint32(_ONES), jnp.where(count <= 0, jnp.uint32(0), inside))
