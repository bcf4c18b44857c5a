"""What observations and actions can be: their shapes, dtypes and bounds.

The bounds hold for requests of up to the cells of the largest arena, and twice those of their own,
and for predictions of up to twice the requests of an episode.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from jaxmem.arena.arena import NOWHERE
from jaxmem.environment.observations import BINS, OVERVIEW, ranges


@dataclass(frozen=True, eq=False)
class Box:
    """Arrays of one shape, every number of which has bounds that it may reach."""

    shape: tuple[int, ...]
    dtype: DTypeLike
    low: ArrayLike  # as many numbers as can be broadcast to the shape
    high: ArrayLike  # likewise

    def contains(self, value: ArrayLike) -> bool:
        """Tells whether an array is in this space; one of many arenas has axes before the shape."""
        value = np.asarray(value)
        if value.dtype != self.dtype or value.shape[value.ndim - len(self.shape) :] != self.shape:
            return False
        return bool(np.all((np.asarray(self.low) <= value) & (value <= np.asarray(self.high))))


@dataclass(frozen=True)
class Discrete:
    """The whole numbers 0 .. n - 1, of dtype int32 and shape []."""

    n: int


def candidates_space(cells: int, horizon: int, holes: int) -> Box:
    """Bounds the rows of the candidates: a row each of both ends of the holes, and of *refuse*."""
    low, high = _bounds(list(ranges(cells, horizon, holes).values()))
    return Box((2 * holes + 1, len(low)), np.float32, low, high)


def packed_space(cells: int, horizon: int, holes: int) -> dict[str, Box]:
    """Bounds the fields of a `Packed`, by name."""
    of = ranges(cells, horizon, holes)
    low, high = _bounds([of[name] for name in OVERVIEW])
    ahead = 2 * horizon
    beside = (cells, horizon, ahead)
    number = ((), np.int32)
    return {
        "holes": Box(
            (holes, 8), np.int32, (NOWHERE, *[0] * 7), (cells - 1, cells, *beside, *beside)
        ),
        "size": Box(*number, 1, cells),
        "cells": Box(*number, 1, cells),
        "hint": Box((), np.float32, 0, ahead),
        "count": Box(*number, 0, holes),
        "shortest": Box(*number, 0, cells),
        "longest": Box(*number, 0, cells),
        "histogram": Box((BINS,), np.int32, 0, cells),
        "overview": Box((len(OVERVIEW),), np.float32, low, high),
    }


def bitmap_space(cells: int, history: int) -> Box:
    """Bounds the bitmap: cells, the size of the request that waits, and of those before it."""
    return Box((cells + 1 + history,), np.float32, 0, 1)


def _bounds(pairs: list[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.array(pairs, np.float32).T
    return low, high
