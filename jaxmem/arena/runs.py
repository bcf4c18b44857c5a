"""Runs of free cells: the searches behind the fits, on sets of cells.

A run is a maximal stretch of neighbouring cells of a set, which among the free cells is a hole. The
runs of the cells at which s free cells start correspond to the holes that hold s, in order.

A short set is searched as a whole, by doubling. A long set is searched in every word by itself,
where the same doubling takes no words to move, and then from word to word: all that a word needs to
know of the others is where the run at its top ends.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxmem.arena.bits import (
    WORD,
    Bits,
    StackedBits,
    UnrolledBits,
    bit_of,
    leading_zeros,
    packed,
    trailing_zeros,
)
from jaxmem.arena.compute_once import compute_once, itself

Search = Callable[[Bits], tuple[jax.Array, jax.Array]]  # the start and the length of a hole


def run_starts(free: Bits, size: jax.Array) -> Bits:
    """Finds the cells at which `size` (int32[], 1 .. capacity) free cells start.

    With runs[k] the starts of 2^k free cells and s - 1 = sum of some 2^k, the starts of s free
    cells are the free cells moved and cut by those runs: log2(cells) steps for any size.
    """
    if isinstance(free, StackedBits):
        return _long_run_starts(free, size)
    longer = size - 1
    starts, run = free, free
    for step in range(_doublings(free)):
        grown = run & (starts >> 2**step)
        starts = grown.select(bit_of(longer, step), starts)
        run = run & (run >> 2**step)
    return starts


def low_ends(starts: Bits) -> Bits:
    """Finds the lowest cell of each run: of legal starts, the one at the low end of each hole."""
    return starts & ~(starts << 1)


def high_ends(starts: Bits) -> Bits:
    """Finds the highest cell of each run: of legal starts, the one at the high end of each hole."""
    return starts & ~(starts >> 1)


def shortest(free: Bits, size: jax.Array) -> jax.Array:
    """Finds the low end of the shortest hole of `size` (int32[], 1 .. capacity) or more: int32[].

    The lowest of several; the capacity if there is none. The request is made longer for as long as
    every hole that fits still holds it; the holes that one cell more would leave out are the
    shortest.
    """
    if isinstance(free, StackedBits):
        return _long_shortest(free, size)
    starts = run_starts(free, size)
    holes = low_ends(starts)
    for run, step in reversed(_runs(free)):
        longer = run & (starts >> 2**step)
        starts = longer.select(~(holes & ~longer).any(), starts)
    too_long = free & (starts >> 1)
    return (holes & ~too_long).lowest()


def longest(free: Bits) -> tuple[jax.Array, jax.Array]:
    """Finds the longest hole: its first cell (int32[], the lowest of several), its length int32[].

    Where nothing is free: the capacity, and 0.
    """
    if isinstance(free, StackedBits):
        return _long_longest(free)
    starts = free
    length = starts.any().astype(jnp.int32)
    for run, step in reversed(_runs(free)):
        longer = run & (starts >> 2**step)
        survives = longer.any()
        starts = longer.select(survives, starts)
        length = length + jnp.where(survives, 2**step, 0)
    return starts.lowest(), length


def _doublings(free: Bits) -> int:
    """Counts how often a run can double before it is longer than the capacity."""
    return max(1, (free.capacity - 1).bit_length())


def _runs(free: Bits) -> list[tuple[Bits, int]]:
    """Finds, for each k, the cells at which 2^k free cells start."""
    runs = [(free, 0)]
    for step in range(_doublings(free) - 1):
        run = runs[-1][0]
        runs.append((run & (run >> 2**step), step + 1))
    return runs


def _long_run_starts(free: StackedBits, size: jax.Array) -> StackedBits:
    def within(word: jax.Array) -> jax.Array:
        return run_starts(UnrolledBits(words=(word,)), size).words[0]

    inside = free.replace(words=jax.vmap(within)(free.words))
    low, end = _top_runs(free)
    over_borders = free.below(end - size + 1) & ~free.below(low)
    return over_borders | (inside & free.all_or_none(size <= WORD))


def _long_shortest(free: StackedBits, size: jax.Array) -> jax.Array:
    def within(word: Bits) -> tuple[jax.Array, jax.Array]:
        low = shortest(word, size)
        taken_above = ~word & ~word.below(low)
        return low, taken_above.lowest() - low

    # A hole as a number of two digits, its length and its start: the least is the answer.
    base = free.capacity + 1
    no_hole = base * base - 1  # starts at the capacity
    holes = [
        jnp.min(jnp.where((length >= size) & (length > 0), length * base + low, no_hole))
        for low, length in _holes(free, within)
    ]
    return functools.reduce(jnp.minimum, holes) % base


def _long_longest(free: StackedBits) -> tuple[jax.Array, jax.Array]:
    # As above, with the start counted from the top, so that the greatest is the answer.
    base = free.capacity + 1
    holes = [
        jnp.max(jnp.where(length > 0, length * base + free.capacity - low, 0))
        for low, length in _holes(free, longest)
    ]
    length, from_top = jnp.divmod(functools.reduce(jnp.maximum, holes), base)
    return free.capacity - from_top, length


def _holes(free: StackedBits, within: Search) -> list[tuple[jax.Array, jax.Array]]:
    """Lists the holes among which the answer is: their starts and lengths, 0 for no hole.

    Three parts, the first two int32[W] twice and the last int32[] twice: the hole that `within`
    chooses of those in a word that reach none of its borders; the run at the top of each word; the
    run at the bottom of the set.
    """
    low, end = _top_runs(free)
    # The run at the top of a wholly free word starts further down and is counted there.
    wholly_free = ~free.words == 0
    # Adding 1 carries through the run at the bottom of a word and clears it.
    inner = (free.words & (free.words + 1)) & free.below(low).words
    start, length = jax.vmap(lambda word: within(UnrolledBits(words=(word,))))(inner)
    bottom = (~free).lowest()
    return [
        (free.firsts() + start, length),
        (low, jnp.where(wholly_free, 0, end - low)),
        (jnp.zeros_like(bottom), bottom),
    ]


def _top_runs(free: StackedBits) -> tuple[jax.Array, jax.Array]:
    """Finds the run at the top of each word: its start in the word, and its end: int32[W].

    It may be empty, and it may end words later. Of a wholly free word it starts at the first cell.
    """
    taken = ~free.words
    blocked = packed(taken != 0)
    numbers = jnp.arange(len(taken), dtype=jnp.int32)
    ahead = jax.vmap(lambda word: (blocked & ~blocked.below(word + 1)).lowest())(numbers)
    first_taken = free.firsts() + trailing_zeros(taken)
    end = jnp.take(first_taken, ahead, mode="clip")
    end = jnp.where(ahead < len(taken), end, free.capacity)
    # A gather keeps all that is fused with it from being vectorised.
    end = compute_once(end[0], itself, end)
    return free.firsts() + WORD - leading_zeros(taken), end
