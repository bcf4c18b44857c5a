"""Allocations and frees, one by one in the order of time, as they become a recording."""

from array import array
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from jaxmem.arena.arena import NEVER
from jaxmem.recordings.about import About
from jaxmem.recordings.bounds import MOST_REQUESTS
from jaxmem.recordings.recording import LARGEST_SIZE, Recording
from jaxmem.recordings.sites import CallSites, named_sites
from jaxmem.recordings.source import Source, TraceError, printable, stem

NO_SITE = -1
ZERO = "allocations of zero bytes, counted as one byte"
FAILED_ALLOCATIONS = "allocations that failed, left out"
UNKNOWN_FREE = "frees of blocks from before the recording began, left out"
OTHER_LINES = "lines that are no event, left out"
MISSED_FREE = "blocks whose free is not in the file: they end where their address is used again"


class Events:
    """Requests with their lifetimes, made of events; 20 bytes a request, and the live blocks."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.size = array("q")  # bytes
        self.lifetime = array("q")  # requests, NEVER while a block is live
        self.site = array("i")  # number of the call site, NO_SITE where none is told
        self.sites: dict[Hashable, int] = {}  # call site -> its number, in order of appearance
        self.live: dict[Hashable, int] = {}  # block -> its request
        self.counted: Counter[str] = Counter()  # what was left out or changed

    def allocate(self, block: Hashable, size: int, site: Hashable | None = None) -> None:
        """Adds a block of `size` bytes, which takes the place of a live one of the same name.

        Raises:
            TraceError: a size that is negative or above 2^62; too many requests.
        """
        if not 1 <= size <= LARGEST_SIZE:
            if size:
                raise self.source.fault(f"size {size}; a size is at most 2^62 bytes")
            self.counted[ZERO] += 1
            size = 1
        if len(self.size) == MOST_REQUESTS:
            raise self.source.fault(f"too long: at most {MOST_REQUESTS:,} requests are read")
        if block in self.live:
            self.counted[MISSED_FREE] += 1
            self.free(block)
        self.live[block] = len(self.size)
        self.size.append(size)
        self.lifetime.append(NEVER)
        self.site.append(NO_SITE if site is None else self._number(site))

    def free(self, block: Hashable) -> None:
        """Ends a block; one that is not live is counted and left out."""
        request = self.live.pop(block, None)
        if request is None:
            self.counted[UNKNOWN_FREE] += 1
        else:
            self.lifetime[request] = len(self.size) - request

    def reallocate(
        self, old: Hashable, new: Hashable, size: int, site: Hashable | None = None
    ) -> None:
        """Adds a new block, then ends the old one: for a moment both are there."""
        # The names may be the same, so the old block gives its own up first.
        request = self.live.pop(old, None)
        self.allocate(new, size, site)
        if request is None:
            self.counted[UNKNOWN_FREE] += 1
        else:
            self.lifetime[request] = len(self.size) - request

    def recording(self, program: str = "") -> Recording:
        """Returns the recording; raises TraceError for no request at all, or with too much live."""
        if not self.size:
            raise self.source.fault("no allocation; a trace needs one or more")
        site = np.frombuffer(self.site, np.int32) if self.sites else None
        size, lifetime = np.frombuffer(self.size, np.int64), np.frombuffer(self.lifetime, np.int64)
        named = named_sites(self.sites) if self.sites else None
        return recording_of(self.source, size, lifetime, site, program, self.counted, named)

    def rename_sites(self, names: Sequence[Hashable]) -> None:
        """Tells call sites apart by other names, one for each in their order; equal ones merge."""
        numbers: dict[Hashable, int] = {}
        of = np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int32)
        site = np.frombuffer(self.site, np.int32)
        self.site = array("i", np.append(of, NO_SITE)[site].astype(np.int32).tobytes())
        self.sites = numbers

    def _number(self, site: Hashable) -> int:
        return self.sites.setdefault(site, len(self.sites))


def recording_of(
    source: Source,
    size: np.ndarray,
    lifetime: np.ndarray,
    site: np.ndarray | None = None,
    program: str = "",
    counted: Mapping[str, int] = MappingProxyType({}),
    call_sites: CallSites | None = None,
) -> Recording:
    """Makes a recording of these arrays; raises TraceError, with the file, if they cannot be one.

    Args:
        counted: what was left out or changed, and how often.
        call_sites: of the numbers in `site`, if they compare between runs.
    """
    notes = tuple(f"{what}: {count:,}" for what, count in counted.items() if count)
    about = About(printable(program), source.format, file=source.name, notes=notes)
    try:
        return Recording(stem(source.name), size, lifetime, site, about, call_sites)
    except ValueError as error:
        raise TraceError(f"{source.where}: {error}") from None
