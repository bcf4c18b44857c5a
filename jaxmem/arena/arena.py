"""The questions that every arena answers, however it stores memory: fits, and what is there.

Written for one arena and made for `vmap`. Every rule chooses a hole and takes its low end, ties go
to the lowest address, and `NOWHERE` is the start of a request that no hole is long enough for.
(Knuth, The Art of Computer Programming, volume 1, section 2.5; Wilson et al. 1995, Dynamic Storage
Allocation.)
"""

import abc
from typing import Self

import jax
from flax import struct

NOWHERE = -1  # the start of a request that is not placed
NEVER = 2**30  # the lifetime of a block that is never freed, in requests


@struct.dataclass
class Neighbour:
    """The blocks beside each of K holes, on one side; all zero beside a wall."""

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


@struct.dataclass
class Parts:
    """The live blocks in each of S stretches of the arena."""

    cells: jax.Array  # int32[S]  live cells
    blocks: jax.Array  # int32[S]  live blocks that begin in the stretch
    births: jax.Array  # int32[S]  the times at which its live cells were taken, summed


class Arena(struct.PyTreeNode, abc.ABC):
    """One arena of `cells` cells."""

    cells: jax.Array  # int32[]  size of the arena
    now: jax.Array  # int32[]  the clock, in requests
    cursor: jax.Array  # int32[]  end of the block placed last, where next fit goes on
    high_water: jax.Array  # int32[]  end of the highest cell ever used

    @property
    @abc.abstractmethod
    def capacity(self) -> int:
        """Cells of the largest arena of this shape."""

    # What changes memory

    @abc.abstractmethod
    def place(
        self,
        start: jax.Array,
        size: jax.Array,
        expiry: jax.Array,
        forecast: jax.Array | int = 0,
    ) -> Self:
        """Places a block of `size` cells at `start`, live until the clock shows `expiry`.

        The placement must be legal (`allows`); with `start` = NOWHERE nothing is placed.

        Args:
            start: int32[]  cell address, or NOWHERE.
            size: int32[]  cells, at least 1.
            expiry: int32[]  time of death, later than now; beyond the horizon: never.
            forecast: int32[]  predicted time of death, 0: none; exact up to twice the horizon.
        """

    @abc.abstractmethod
    def tick(self, now: jax.Array | int) -> Self:
        """Frees the dead when the clock shows `now` (int32[]), one more than before."""

    def advance(
        self,
        start: jax.Array,
        size: jax.Array,
        expiry: jax.Array,
        forecast: jax.Array | int = 0,
    ) -> Self:
        """Moves on to the next request: `place`, and the clock ticks once."""
        return self.place(start, size, expiry, forecast).tick(self.now + 1)

    @abc.abstractmethod
    def release(self, cell: jax.Array) -> Self:
        """Frees the block that covers `cell` (int32[]); changes nothing if the cell is free."""

    # Where a request of `size` cells (int32[], at least 1) may start: int32[], or NOWHERE

    @abc.abstractmethod
    def first(self, size: jax.Array) -> jax.Array:
        """Finds the lowest hole that fits."""

    @abc.abstractmethod
    def last(self, size: jax.Array) -> jax.Array:
        """Finds the highest start that fits: first fit seen from the other end of the arena."""

    @abc.abstractmethod
    def second(self, size: jax.Array) -> jax.Array:
        """Finds the second-lowest hole that fits, or the only one."""

    @abc.abstractmethod
    def best(self, size: jax.Array) -> jax.Array:
        """Finds the shortest hole that fits."""

    @abc.abstractmethod
    def worst(self, size: jax.Array) -> jax.Array:
        """Finds the longest hole."""

    @abc.abstractmethod
    def next(self, size: jax.Array) -> jax.Array:
        """Finds the lowest start at or after the cursor, else the lowest of all."""

    @abc.abstractmethod
    def high_end(self, start: jax.Array, size: jax.Array) -> jax.Array:
        """Finds the highest start (int32[]) in the hole of `start`; NOWHERE stays NOWHERE."""

    @abc.abstractmethod
    def numbered_start(self, size: jax.Array, number: jax.Array) -> jax.Array:
        """Finds the legal start of a number (int32[], from 0, by address); NOWHERE beyond them."""

    @abc.abstractmethod
    def start_count(self, size: jax.Array) -> jax.Array:
        """Counts the legal starts: int32[]."""

    @abc.abstractmethod
    def allows(self, start: jax.Array, size: jax.Array) -> jax.Array:
        """Tells whether a request may start at `start` (int32[], any number): bool[]."""

    @abc.abstractmethod
    def legal_starts(self, size: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
        """Tells whether a request may start at each of the first `count` cells, and whether at any.

        Returns:
            bool[count] and bool[]; beyond the arena no cell is legal.
        """

    @abc.abstractmethod
    def holes_that_fit(self, size: jax.Array, count: int) -> Holes:
        """Finds the first `count` holes in which the request fits, with what lies beside them."""

    # What is there

    @abc.abstractmethod
    def taken(self, count: int) -> jax.Array:
        """Tells which of the first `count` cells are covered or outside the arena: bool[count]."""

    @abc.abstractmethod
    def begins(self, count: int) -> jax.Array:
        """Tells whether a block begins at each of the first `count` cells: bool[count]."""

    @abc.abstractmethod
    def free_cells(self) -> jax.Array:
        """Counts the cells that no block covers: int32[]."""

    @abc.abstractmethod
    def live_blocks(self) -> jax.Array:
        """Counts the live blocks: int32[]."""

    @abc.abstractmethod
    def largest_hole(self) -> jax.Array:
        """Measures the longest hole: int32[] cells, 0 when nothing is free."""

    @abc.abstractmethod
    def hole_count(self, at_least: jax.Array | int = 1) -> jax.Array:
        """Counts the holes of `at_least` (int32[]) cells or more: int32[]."""

    @abc.abstractmethod
    def hole_histogram(self) -> jax.Array:
        """Counts holes by length, in bins [1, 2) [2, 4) [4, 8) ... to the capacity: int32[bins]."""

    @abc.abstractmethod
    def parts(self, borders: jax.Array) -> Parts:
        """Measures what lives between neighbouring `borders` (int32[S + 1], rising): S parts."""
