"""A recording cut into the cells of an arena, so that rounding up does not make the arena short."""

import math
import numbers
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TypeGuard

import numpy as np

from jaxmem.recordings.recording import Recording, most_live
from jaxmem.workloads.requests import Requests, requests_of

MAX_CELLS = 2**31 - 1
MOST_SLACK = 100
MOST_ROUNDING = 0.01  # at the peak, where the number of cells is chosen from the recording
FEWEST, FINEST = 2**10, 2**30  # cells that are tried then, each twice the one before


@dataclass(frozen=True, eq=False)
class QuantisedRecording:
    """A recording in an arena of `cells` cells; made by `quantise`."""

    recording: Recording
    cells: int
    slack: Fraction  # that was asked for: arena / peak live, after rounding up
    cell_bytes: Fraction  # bytes in a cell, seldom whole
    size: np.ndarray  # int32[R]  cells, 1 .. cells

    @property
    def requests(self) -> int:
        """R, the number of requests."""
        return self.recording.requests

    @cached_property
    def peak_live(self) -> int:
        """The most cells that are live at once, after rounding up."""
        return int(most_live(self.size.astype(np.int64), self.recording.lifetime))

    @property
    def rounding(self) -> float:
        """The share that rounding up to cells adds at the peak, over peak live bytes: 0 or more."""
        return float(self.cell_bytes * self.peak_live / self.recording.peak_live) - 1

    def describe(self) -> str:
        """Says what the cells mean in bytes; a second line warns if the arena is too small for all.

        With a slack below 1 even an allocator that compacts fails, and a failure is not always
        fragmentation.
        """
        text = (
            f"{self.cells:,} cells of {_in_bytes(self.cell_bytes)} bytes; peak live is "
            f"{self.recording.peak_live:,} bytes, which take {self.peak_live:,} cells; rounding up "
            f"to cells adds {100 * self.rounding:.1f} % at the peak"
        )
        if self.rounding > MOST_ROUNDING:
            text += " (less than 1 % where cells is left to be chosen from the recording)"
        if self.peak_live <= self.cells:
            return text
        return (
            f"{text}\nWarning: slack is below 1. At the peak the blocks need {self.peak_live:,} "
            f"cells and the arena has {self.cells:,}, so even a compacting allocator would fail."
        )


def quantise(
    recording: Recording, cells: int | None = None, slack: float = 1.1
) -> QuantisedRecording:
    """Cuts an arena that is `slack` times what is live at the peak into cells.

    A block takes ceil(bytes / cell bytes) cells, and the slack is that after rounding up: a cell
    has peak live bytes / m bytes, m the largest whole number with which slack * (cells that are
    live at the peak) is at most `cells`. All exact: slack is taken as the decimal it is written as.

    Args:
        cells: 1 .. 2^31 - 1. None: as few as let rounding up add at most 1 % at the peak, of those
            tried, and then only floor(slack * cells live at the peak) of them.
        slack: above 0, at most 100; below 1 even perfect packing fails.

    Raises:
        ValueError: a value out of range; a block that alone is larger than the arena; fewer cells
            than there are blocks at the peak, times slack.
    """
    if cells is not None and (not is_whole(cells) or not 1 <= cells <= MAX_CELLS):
        raise ValueError(f"cells {cells!r}; cells is a whole number from 1 to {MAX_CELLS}")
    number = isinstance(slack, numbers.Real) and not isinstance(slack, bool)
    if not number or not 0 < slack <= MOST_SLACK:  # false for NaN too
        raise ValueError(f"slack {slack!r}; slack is a number above 0, at most {MOST_SLACK}")
    exact = Fraction(str(slack))
    _check_largest(recording, exact)
    rounding = _Rounding(recording)
    if cells is None:
        return _fitting(rounding, exact)
    least = math.ceil(exact * recording.peak_blocks)
    if least > cells:
        raise ValueError(
            f"{recording.name} has {recording.peak_blocks:,} blocks live at once, and each takes a "
            f"cell or more: with slack {slack} the arena must have {least:,} cells or more, not "
            f"{cells:,}; where cells is not given, it is chosen from the recording"
        )
    return rounding.cut(int(cells), exact, rounding.finest(int(cells), exact))


def whole(quantised: QuantisedRecording) -> Requests:
    """Returns the whole recording as one sequence, Requests [1, R]."""
    lifetime = quantised.recording.lifetime.astype(np.int32)
    return requests_of(quantised.size[None], lifetime[None])


class _Rounding:
    """Sizes of a recording's blocks in cells of peak live / m bytes, for any m."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self._sizes, self._place = np.unique(recording.size, return_inverse=True)

    def sizes(self, m: int) -> np.ndarray:
        """Returns the cells of every request: int64[R]."""
        peak = self.recording.peak_live
        # Python integers: size * m can pass 2^63.
        taken = [-(-size * m // peak) for size in self._sizes.tolist()]
        return np.asarray(taken, np.int64)[self._place]

    def peak(self, m: int) -> int:
        """Finds the most cells that are live at once."""
        return int(most_live(self.sizes(m), self.recording.lifetime))

    def finest(self, cells: int, slack: Fraction, most: int = MAX_CELLS) -> int:
        """Finds the largest m, at most `most`, with slack * peak at most `cells`; 0: none."""
        low, high = 0, min(int(cells / slack), most)  # the peak takes m cells at least
        while low < high:
            middle = (low + high + 1) // 2
            if slack * self.peak(middle) <= cells:
                low = middle
            else:
                high = middle - 1
        return low

    def cut(self, cells: int, slack: Fraction, m: int) -> QuantisedRecording:
        """Cuts the recording into so many cells."""
        return QuantisedRecording(
            recording=self.recording,
            cells=cells,
            slack=slack,
            cell_bytes=Fraction(self.recording.peak_live, m),
            size=self.sizes(m).astype(np.int32),
        )


def _fitting(rounding: _Rounding, slack: Fraction) -> QuantisedRecording:
    """Cuts the recording into the fewest cells tried that let rounding add so little at peak."""
    recording = rounding.recording
    cells, m, peak = FEWEST, 0, 0
    # A cell of a byte rounds nothing up.
    while (m == 0 or peak > (1 + MOST_ROUNDING) * m) and cells <= FINEST:
        m = rounding.finest(cells, slack, most=recording.peak_live)
        peak = rounding.peak(m) if m else 0
        cells *= 2
    if m == 0:
        raise ValueError(
            f"{recording.name} has {recording.peak_blocks:,} blocks live at once: with slack "
            f"{float(slack):g} no arena of up to {FINEST:,} cells holds them"
        )
    largest = int(rounding.sizes(m).max())
    return rounding.cut(max(int(slack * peak), largest), slack, m)


def _check_largest(recording: Recording, slack: Fraction) -> None:
    largest = int(recording.size.argmax())
    bytes_ = int(recording.size[largest])
    arena = slack * recording.peak_live
    if bytes_ > arena:
        least = math.ceil(1000 * Fraction(bytes_, recording.peak_live)) / 1000
        raise ValueError(
            f"request {largest} of {recording.name} asks for {bytes_:,} bytes and slack "
            f"{float(slack):g} makes an arena of {_in_bytes(arena)} bytes; slack must be at least "
            f"{least:g}"
        )


def is_whole(value: object) -> TypeGuard[int]:
    """Tells whether a value is a whole number, and no truth value."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _in_bytes(amount: Fraction) -> str:
    """Writes a number of bytes, whole where the fraction would not be read."""
    if amount.denominator == 1 or amount >= 100_000:
        return f"{round(amount):,}"
    return f"{float(amount):,.1f}" if amount >= 1 else f"{float(amount):.3g}"
