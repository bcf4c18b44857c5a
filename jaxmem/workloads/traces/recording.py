"""Recordings of real programs, cut into cells, as request sequences: whole or in windows."""

import math
import numbers
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.workloads.requests import NEVER, Requests, requests_of
from jaxmem.workloads.traces.about import About

LARGEST_SIZE = 2**62  # bytes, of a block and of all live ones: sums stay inside int64
MOST_CELLS = 2**31 - 1
MOST_SLACK = 100
SPLITS = {"train": (0, 60), "validation": (60, 75), "test": (75, 100)}  # % of the requests


@dataclass(frozen=True, eq=False)
class Recording:
    """What one program asked for, in order: R requests, counted from 0.

    A block freed before request j, the next allocation, has lifetime j - its own number.
    Raises ValueError if the arrays do not fit together or a value is out of range.
    """

    name: str
    size: np.ndarray  # int64[R]  bytes, 1 .. 2^62
    lifetime: np.ndarray  # int64[R]  requests, 1 .. NEVER (never freed)
    site: np.ndarray | None = None  # int32[R]  number of the call site, -1: unknown; None: all are
    about: About = field(default_factory=About)

    def __post_init__(self) -> None:
        if self.size.ndim != 1 or self.size.shape != self.lifetime.shape or not self.size.size:
            raise ValueError(
                f"sizes {self.size.shape} and lifetimes {self.lifetime.shape}; "
                "a recording has one of each for each request, and at least one request"
            )
        if self.size.min() < 1 or self.size.max() > LARGEST_SIZE:
            raise ValueError("a size out of range; sizes are 1 to 2^62 bytes")
        if self.lifetime.min() < 1 or self.lifetime.max() > NEVER:
            raise ValueError(f"a lifetime out of range; lifetimes are 1 to {NEVER} requests")
        if self.site is not None and self.site.shape != self.size.shape:
            raise ValueError(
                f"call sites {self.site.shape} of requests {self.size.shape}; "
                "there is one for each request, or none at all"
            )
        if _peak_live(self.size.astype(np.float64), self.lifetime) > LARGEST_SIZE:
            raise ValueError("more than 2^62 bytes are live at once; at most 2^62 may be")

    @property
    def requests(self) -> int:
        """R, the number of requests."""
        return self.size.size

    @property
    def events(self) -> int:
        """Allocations and frees together."""
        return self.requests + int(np.count_nonzero(self.lifetime != NEVER))

    @cached_property
    def peak_live(self) -> int:
        """The most bytes that are live at once, exactly; frees come before the next request."""
        return int(_peak_live(self.size, self.lifetime))


@dataclass(frozen=True, eq=False)
class QuantisedRecording:
    """A recording in an arena of `cells` cells; made by `quantise`."""

    recording: Recording
    cells: int
    slack: Fraction  # arena bytes / peak live bytes
    size: np.ndarray  # int32[R]  cells, 1 .. cells

    @property
    def requests(self) -> int:
        """R, the number of requests."""
        return self.recording.requests

    @property
    def arena_bytes(self) -> Fraction:
        """Bytes in the arena, not always whole."""
        return self.slack * self.recording.peak_live

    @property
    def cell_bytes(self) -> Fraction:
        """Bytes in a cell, seldom whole."""
        return self.arena_bytes / self.cells

    @cached_property
    def peak_live(self) -> int:
        """The most cells that are live at once, after rounding up."""
        return int(_peak_live(self.size.astype(np.int64), self.recording.lifetime))

    @property
    def rounding(self) -> float:
        """Share of the bytes in all requests' cells that nobody asked for, 0 .. 1."""
        taken = self.cell_bytes * int(self.size.sum(dtype=np.int64))
        asked = sum(self.recording.size.tolist())
        return float(1 - asked / taken)

    def describe(self) -> str:
        """What the cells mean in bytes; a second line warns if the arena is too small to hold all.

        Rounded up, live blocks can need more cells than there are; then even an allocator that
        compacts fails, and a failure is not always fragmentation.
        """
        text = (
            f"arena {_shown(self.arena_bytes)} bytes = {float(self.slack):g} x peak live "
            f"{self.recording.peak_live:,} bytes; {self.cells} cells of "
            f"{_shown(self.cell_bytes)} bytes; peak live after rounding up: {self.peak_live:,} "
            f"cells ({100 * self.peak_live / self.cells:.0f} %); rounding is "
            f"{100 * self.rounding:.1f} % of the bytes that blocks take"
        )
        if self.peak_live <= self.cells:
            return text
        remedy = "take more slack" if self.slack <= 1 else "take more cells or more slack"
        return (
            f"{text}\nWarning: at the peak the blocks need {self.peak_live:,} cells and the arena "
            f"has {self.cells:,}, so even a compacting allocator would fail; {remedy}."
        )


def quantise(recording: Recording, cells: int, slack: float = 1.1) -> QuantisedRecording:
    """Cuts an arena of `slack` times the peak live bytes into `cells` cells.

    arena_bytes = slack * peak_live; cell_bytes = arena_bytes / cells; a block takes
    ceil(bytes / cell_bytes) cells. All exact: slack is taken as the decimal it is written as.

    cells: 1 .. 2^31 - 1. slack: above 0, at most 100; below 1 even perfect packing fails.
    Raises ValueError for values out of range and if a block alone is larger than the arena.
    """
    if not _is_whole(cells) or not 1 <= cells <= MOST_CELLS:
        raise ValueError(f"cells {cells!r}; cells is a whole number from 1 to {MOST_CELLS}")
    number = isinstance(slack, numbers.Real) and not isinstance(slack, bool)
    if not number or not 0 < slack <= MOST_SLACK:  # false for NaN too
        raise ValueError(f"slack {slack!r}; slack is a number above 0, at most {MOST_SLACK}")
    exact = Fraction(str(slack))
    arena = exact * recording.peak_live
    largest = int(recording.size.argmax())
    largest_bytes = int(recording.size[largest])
    if largest_bytes > arena:
        least = math.ceil(1000 * Fraction(largest_bytes, recording.peak_live)) / 1000
        raise ValueError(
            f"request {largest} of {recording.name} asks for {largest_bytes:,} bytes and slack "
            f"{slack} makes an arena of {_shown(arena)} bytes; slack must be at least {least:g}"
        )
    sizes, place = np.unique(recording.size, return_inverse=True)
    # Python integers: size * cells can pass 2^63.
    taken = [math.ceil(size * int(cells) / arena) for size in sizes.tolist()]
    return QuantisedRecording(recording, int(cells), exact, np.asarray(taken, np.int32)[place])


def whole(quantised: QuantisedRecording) -> Requests:
    """The whole recording as one sequence, Requests [1, R]."""
    return requests_of(
        jnp.asarray(quantised.size[None]),
        jnp.asarray(quantised.recording.lifetime.astype(np.int32)[None]),
    )


def split_range(requests: int, split: str) -> range:
    """The request numbers of one part of a recording of `requests` requests.

    train: the first 60 %; validation: the next 15 %; test: the last 25 %. The parts follow each
    other in time and share no request. Raises ValueError for another name.
    """
    if split not in SPLITS:
        raise ValueError(f"split {split!r}; a split is one of {', '.join(SPLITS)}")
    first, end = SPLITS[split]
    return range(requests * first // 100, requests * end // 100)


def window_starts(quantised: QuantisedRecording, split: str, length: int) -> range:
    """Every request at which a window of `length` requests can start, wholly inside its part.

    Windows that share requests are not independent: a part of n requests holds n // length
    windows apart. Raises ValueError for an unknown split and if the part is too short.
    """
    part = split_range(quantised.requests, split)
    if not _is_whole(length) or length < 1:
        raise ValueError(f"length {length!r}; a window has a whole number of requests, at least 1")
    if length > len(part):
        allowed = (
            f"at most {len(part)} are allowed"
            if part
            else "it is too short for windows: use the whole recording"
        )
        raise ValueError(
            f"windows of {length} requests; the {split} part of {quantised.recording.name} "
            f"has {len(part)} of its {quantised.requests} requests: {allowed}"
        )
    return range(part.start, part.stop - int(length) + 1)


def window_requests(
    quantised: QuantisedRecording, split: str, key: jax.Array, sequences: int, length: int
) -> Requests:
    """Windows of one part of a recording, each starting with nothing live: Requests [P, T].

    P = sequences, T = length. `train`: starts drawn uniformly and independently. `validation` and
    `test`: the possible starts are cut into P equal runs and one is drawn from each, so windows
    are spread over the whole part and none comes twice; when there are fewer starts than P, all
    are used, equally often as far as possible. A lifetime that outlasts its window is kept.

    A pure function of `key`, to be jitted or mapped over it. Raises ValueError as `window_starts`,
    and for sequences < 1.
    """
    starts = window_starts(quantised, split, length)
    if not _is_whole(sequences) or sequences < 1:
        raise ValueError(f"sequences {sequences!r}; it is a whole number, at least 1")
    if split == "train":
        low, high = starts.start, starts.stop
    else:
        edges = np.arange(sequences + 1, dtype=np.int64) * len(starts) // sequences + starts.start
        low = jnp.asarray(edges[:-1].astype(np.int32))
        high = jnp.asarray(np.maximum(edges[1:], edges[:-1] + 1).astype(np.int32))
    first = jax.random.randint(key, (sequences,), low, high, dtype=jnp.int32)
    window = first[:, None] + jnp.arange(length, dtype=jnp.int32)
    return requests_of(
        jnp.asarray(quantised.size)[window],
        jnp.asarray(quantised.recording.lifetime.astype(np.int32))[window],
    )


def _peak_live(size: np.ndarray, lifetime: np.ndarray) -> float:
    """The largest sum of `size` over the blocks live at one request, in the dtype of `size`."""
    # Partial sums of int64 may wrap; the live total itself fits, so the result is exact.
    change = size.copy()
    end = np.arange(size.size) + lifetime
    dies = end < size.size
    np.subtract.at(change, end[dies], size[dies])
    return np.cumsum(change).max().item()


def _is_whole(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _shown(amount: Fraction) -> str:
    """A number of bytes, whole where the fraction would not be read."""
    if amount.denominator == 1 or amount >= 100_000:
        return f"{round(amount):,}"
    return f"{float(amount):,.1f}" if amount >= 1 else f"{float(amount):.3g}"
