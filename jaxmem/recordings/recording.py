"""Recordings of real programs: what they asked for, in bytes, and for how long."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from jaxmem.arena.arena import NEVER
from jaxmem.recordings.about import About
from jaxmem.recordings.sites import UNKNOWN_KEY, CallSites

LARGEST_SIZE = 2**62  # bytes, of a block and of all live ones: sums stay inside int64


@dataclass(frozen=True, eq=False)
class Written:
    """What a file of buffers says of each request."""

    id: tuple[str, ...]  # [R]
    lower: np.ndarray  # int64[R]  in the file's own times: live for lower <= t < upper
    upper: np.ndarray  # int64[R]
    offset: tuple[str, ...]  # [R]  as it stands there; "": none
    alignment: tuple[str, ...]  # [R]  likewise


@dataclass(frozen=True, eq=False)
class Recording:
    """The requests of one program, in order: R of them, counted from 0.

    A block freed before request j, the next allocation, has lifetime j - its own number.
    Raises ValueError if the arrays do not fit together or a value is out of range.
    """

    name: str
    size: np.ndarray  # int64[R]  bytes, 1 .. 2^62
    lifetime: np.ndarray  # int64[R]  requests, 1 .. NEVER (never freed)
    site: np.ndarray | None = None  # int32[R]  number of the call site, -1: unknown; None: all are
    about: About = field(default_factory=About)
    call_sites: CallSites | None = None  # of these numbers; None: they mean nothing in other runs
    written: Written | None = None  # None: it is of no file of buffers

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
        if self.call_sites is not None:
            if self.site is None or self.site.max() >= self.call_sites.key.size:
                raise ValueError("a call site without its key; each number in `site` has one")
            if len(self.call_sites.name) not in (0, self.call_sites.key.size):
                raise ValueError("names of call sites and keys differ in number")
        if most_live(self.size.astype(np.float64), self.lifetime) > LARGEST_SIZE:
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
    def sites(self) -> int:
        """The number of call sites that are known."""
        return 0 if self.site is None else np.unique(self.site[self.site >= 0]).size

    @cached_property
    def site_key(self) -> np.ndarray | None:
        """uint64[R]: what tells call sites apart in every run; 0: unknown; None: all are."""
        if self.site is None or self.call_sites is None:
            return None
        keys = np.append(self.call_sites.key, np.uint64(UNKNOWN_KEY))
        return keys[self.site]  # -1 is the last

    @cached_property
    def peak_live(self) -> int:
        """The most bytes that are live at once, exactly; frees come before the next request."""
        return int(most_live(self.size, self.lifetime))

    @cached_property
    def peak_blocks(self) -> int:
        """The most blocks that are live at once."""
        return int(most_live(np.ones(self.requests, np.int64), self.lifetime))


def most_live(size: np.ndarray, lifetime: np.ndarray) -> float:
    """Finds the largest sum of `size` over the blocks live at one request, in `size`'s dtype."""
    # Partial sums of int64 may wrap; the live total itself fits, so the result is exact.
    change = size.copy()
    end = np.arange(size.size) + lifetime
    dies = end < size.size
    np.subtract.at(change, end[dies], size[dies])
    return np.cumsum(change).max().item()
