"""Where runs of free cells are: the searches behind the fits, on sets of cells.

A run is a maximal stretch of neighbouring cells of a set, which among the free cells is a hole. The
runs of the cells at which s free cells start correspond to the holes that hold s, in order.
"""

import jax
import jax.numpy as jnp

from jaxmem.arena.bits import Bits


def run_starts(free: Bits, size: jax.Array) -> Bits:
    """The cells at which `size` (int32[], 1 .. capacity) free cells start.

    With runs[k] the starts of 2^k free cells and s - 1 = sum of some 2^k, the starts of s free
    cells are the free cells moved and cut by those runs: log2(cells) steps for any size.
    """
    longer = size - 1
    starts, run = free, free
    for step in range(_doublings(free)):
        grown = run & (starts >> 2**step)
        starts = grown.select((longer >> step) & 1 != 0, starts)
        run = run & (run >> 2**step)
    return starts


def low_ends(starts: Bits) -> Bits:
    """The lowest cell of each run: of legal starts, the one at the low end of each hole."""
    return starts & ~(starts << 1)


def high_ends(starts: Bits) -> Bits:
    """The highest cell of each run: of legal starts, the one at the high end of each hole."""
    return starts & ~(starts >> 1)


def shortest(free: Bits, starts: Bits) -> jax.Array:
    """The low end of the shortest hole among those with legal `starts`: int32[], or the capacity.

    The request is made longer for as long as every hole that fits still holds it; the holes that
    one cell more would leave out are the shortest.
    """
    holes = low_ends(starts)
    for run, step in reversed(_runs(free)):
        longer = run & (starts >> 2**step)
        starts = longer.select(~(holes & ~longer).any(), starts)
    too_long = free & (starts >> 1)
    return (holes & ~too_long).lowest()


def longest(free: Bits) -> tuple[jax.Array, jax.Array]:
    """The first cell of the longest hole (int32[], the lowest of several) and its length int32[].

    Where nothing is free: the capacity, and 0.
    """
    starts = free
    length = starts.any().astype(jnp.int32)
    for run, step in reversed(_runs(free)):
        longer = run & (starts >> 2**step)
        survives = longer.any()
        starts = longer.select(survives, starts)
        length = length + jnp.where(survives, 2**step, 0)
    return starts.lowest(), length


def _doublings(free: Bits) -> int:
    """How often a run can double before it is longer than the capacity."""
    return max(1, (free.capacity - 1).bit_length())


def _runs(free: Bits) -> list[tuple[Bits, int]]:
    """For each k, the cells at which 2^k free cells start."""
    runs = [(free, 0)]
    for step in range(_doublings(free) - 1):
        run = runs[-1][0]
        runs.append((run & (run >> 2**step), step + 1))
    return runs
