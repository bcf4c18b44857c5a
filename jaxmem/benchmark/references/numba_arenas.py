"""Scalar code compiled by Numba, the arenas shared out among all cores.

All arenas take a step before any takes the next one, as a learner's actions come for all of them at
once, and every step writes the whole observation and mask of an arena anew.
"""

import functools
import importlib
import os
from collections.abc import Callable

import numpy as np

from jaxmem.benchmark.references.reference import Unavailable
from jaxmem.extras import how_to_get


class NumbaArenas:
    """Each arena is the table of its live blocks in address order: start, end, expiry."""

    def __init__(
        self, size: np.ndarray, lifetime: np.ndarray, cells: int, arenas: int, observe: bool
    ) -> None:
        self._play: Callable[..., int] = _compiled(_numba())
        sequences, self.horizon = size.shape
        self._states = np.zeros((arenas, 3), np.int32)
        self._first = np.where(size[np.arange(arenas) % sequences, 0] <= cells, 0, -1)
        self.observation: np.ndarray | None = None
        self.mask: np.ndarray | None = None
        self._taken = np.zeros((arenas, cells if observe else 0), np.uint8)
        shape = (arenas, cells + 1 if observe else 0)
        observation, mask = np.zeros(shape, np.float32), np.zeros(shape, np.uint8)
        if observe:
            self.observation, self.mask = observation, mask
        # A step reads the same request number of every sequence.
        by_time = (np.ascontiguousarray(column.T) for column in (size, lifetime))
        blocks = np.zeros((arenas, min(cells, self.horizon), 3), np.int32)
        seen = (self._taken, observation, mask, observe)
        self._arguments = (*by_time, cells, self._states, blocks, *seen)
        self.reset()
        self.play(1)
        self.reset()

    def reset(self) -> None:
        """Empties all arenas; the first request of each waits."""
        self.now = 0
        self._states[:] = 0
        self._states[:, 1] = self._first
        self._taken[:] = 0

    def play(self, steps: int) -> int:
        """Plays the next `steps` steps, and counts the failed requests of all arenas."""
        failed = int(self._play(self.now, steps, *self._arguments))
        self.now = (self.now + steps) % self.horizon
        return failed


def _numba():
    # A thread that waits for the others of a step must not keep them from the core.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        return importlib.import_module("numba")
    except ImportError as error:
        raise Unavailable(f"numba cannot be imported ({how_to_get('bench')}): {error}") from error


@functools.cache
def _compiled(numba):
    """Steps of all arenas, each in parallel; a first call with other types compiles again."""
    one, prange = numba.njit(step_arena), numba.prange

    @numba.njit(parallel=True)
    def play(now, steps, size, lifetime, cells, states, blocks, taken, observation, mask, observe):
        horizon, sequences = size.shape
        failed = 0
        for _ in range(steps):
            then = 0 if now + 1 == horizon else now + 1
            for arena in prange(states.shape[0]):
                row = arena % sequences
                failed += one(
                    arena, size[now, row], now + lifetime[now, row], size[then, row], then, cells,
                    states, blocks, taken, observation, mask, observe,
                )  # fmt: skip
            now = then
        return failed

    return play


def step_arena(
    arena, size, expiry, wanted, then, cells, states, blocks, taken, observation, mask, observe
):
    """Tells whether the waiting request, of `size` cells, fails.

    Then a request of `wanted` cells waits, at time `then`.

    Plain Python that Numba compiles; it takes no views, whose counts of references the threads
    would share.

    Args:
        states: int32[E, 3]  live blocks; start of the best hole, -1: none fits; the block above it.
        blocks: int32[E, min(N, T), 3]
        taken: uint8[E, N]  a byte for each cell: to widen them all is quicker than to draw blocks.
        observation, mask: [E, N + 1]
    """
    live, best_start, best_above = states[arena, 0], states[arena, 1], states[arena, 2]
    failed = best_start < 0
    if not failed:
        for i in range(live, best_above, -1):
            blocks[arena, i, 0] = blocks[arena, i - 1, 0]
            blocks[arena, i, 1] = blocks[arena, i - 1, 1]
            blocks[arena, i, 2] = blocks[arena, i - 1, 2]
        blocks[arena, best_above, 0] = best_start
        blocks[arena, best_above, 1] = best_start + size
        blocks[arena, best_above, 2] = expiry
        live += 1
        if observe:
            for cell in range(best_start, best_start + size):
                taken[arena, cell] = 1
    if then == 0:
        live = 0
    if observe:
        if then == 0:
            for cell in range(cells):
                taken[arena, cell] = 0
        for cell in range(cells):
            mask[arena, cell] = 0

    # One pass: the dead are freed, and the hole below each of the others is tried; the last hole
    # is the one below the end of the arena.
    kept, edge = 0, 0
    best_start, best_above, best_length = -1, 0, cells + 1
    for i in range(live + 1):
        if i < live:
            start, end, dies = blocks[arena, i, 0], blocks[arena, i, 1], blocks[arena, i, 2]
        else:
            start, end, dies = cells, cells, then + 1
        if dies <= then:
            if observe:
                for cell in range(start, end):
                    taken[arena, cell] = 0
            continue
        length = start - edge
        if length >= wanted:
            if length < best_length:
                best_start, best_above, best_length = edge, kept, length
            if observe:
                for cell in range(edge, start - wanted + 1):
                    mask[arena, cell] = 1
        if i < live:
            blocks[arena, kept, 0] = start
            blocks[arena, kept, 1] = end
            blocks[arena, kept, 2] = dies
            edge = end
            kept += 1
    states[arena, 0], states[arena, 1], states[arena, 2] = kept, best_start, best_above
    if observe:
        for cell in range(cells):
            observation[arena, cell] = taken[arena, cell]
        observation[arena, cells] = np.float32(wanted) / np.float32(cells)
        mask[arena, cells] = best_start < 0
    return failed
