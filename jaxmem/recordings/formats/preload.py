"""Logs of jaxmem's own recorder, `jaxmem/native/recorder.c`, which says how they are laid out.

Whatever has ended the program, its log is whole: an event that was not finished is not there.
"""

import os
from collections.abc import Callable, Iterator
from struct import unpack_from

import numpy as np

from jaxmem.arena.arena import NEVER
from jaxmem.recordings.bounds import LOGGED_EACH, MOST_LOGGED, MOST_REQUESTS
from jaxmem.recordings.events import (
    FAILED_ALLOCATIONS,
    MISSED_FREE,
    NO_SITE,
    UNKNOWN_FREE,
    ZERO,
    recording_of,
)
from jaxmem.recordings.formats.format import Format
from jaxmem.recordings.recording import Recording
from jaxmem.recordings.sites import named_sites
from jaxmem.recordings.source import Source, TraceError

LOG_MAGIC = b"jaxmem-preload\0"
LOG_VERSION = 1
HEAD_BYTES, CHUNK_BYTES, CHUNK_HEAD, EVENT_BYTES = 4096, 128 * 1024, 16, 24
PROGRAM_AT = 56  # byte of the head at which the path of the program begins
EVENT_CHUNK, SITE_CHUNK, MODULE_CHUNK = 1, 2, 3
ALLOCATED, FREED, MOVED_FROM, MOVED_TO = range(4)
LEAST_LOG = 2**22  # bytes that are read of any: sites and modules have chunks of their own
STOPPED = "recording that stopped before the program did"
LOST_SITES = "allocations whose call site found no room in the table"


def read_preload(source: Source) -> Recording:
    """Reads a log; events are sorted, and blocks matched with their frees, as arrays."""
    most = MOST_LOGGED if source.most is None else LEAST_LOG + LOGGED_EACH * source.most
    data = source.whole(most, "a log of jaxmem's recorder")
    version, event_bytes, chunk_bytes, _, _, stopped, lost = unpack_from("<4I3Q", data, 16)
    if (version, event_bytes, chunk_bytes) != (LOG_VERSION, EVENT_BYTES, CHUNK_BYTES):
        raise source.fault(f"a log of version {version}; this jaxmem reads {LOG_VERSION}", 16)
    program = os.fsdecode(data[PROGRAM_AT:HEAD_BYTES].split(b"\0", 1)[0])
    chunks = _Chunks(source, data)
    order, kind, address, size, site = chunks.events()
    if not order.size:
        raise TraceError(f"{source.where}: no allocation was recorded")
    counted: dict[str, int] = {}
    if stopped:
        counted[f"{STOPPED} ({os.strerror(stopped)})"] = 1
    counted[LOST_SITES] = lost
    size, lifetime, site = _requests(kind, address, size, site, chunks.partner, counted)
    if not size.size:
        raise TraceError(f"{source.where}: no allocation was recorded")
    if size.size > (MOST_REQUESTS if source.most is None else source.most):
        raise source.fault("too long: so many requests are not read")
    known = chunks.sites()
    # What is loaded again gets its sites written down again, under other numbers.
    names: dict[tuple[str, ...], int] = {}
    number = np.full(int(site.max()) + 1, NO_SITE, np.int32)
    for found, frames in known.items():
        if found < number.size:
            number[found] = names.setdefault(frames, len(names))
    site, named = (number[site], named_sites(names)) if known else (None, None)
    return recording_of(source, size, lifetime, site, program, counted, named)


def _requests(
    kind: np.ndarray,
    address: np.ndarray,
    size: np.ndarray,
    site: np.ndarray,
    partner: np.ndarray,
    counted: dict[str, int],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns size, lifetime and site of the requests, int64[R] each, from E events in order.

    Args:
        kind: int8[E]
        address: uint64[E]
        size: int64[E]  bytes
        site: int64[E]  numbers in the log, 0: unknown
        partner: int64[E]  of an event that is the second of a realloc, where the first stands, and
            the other way round; -1: of no other.
        counted: is told what is left out or changed.
    """
    second = kind == MOVED_TO
    failed = second & (address == 0)
    moved = np.flatnonzero((kind == MOVED_FROM) & (partner >= 0))
    stays = moved[failed[partner[moved]]]  # the old block of a realloc that failed
    allocates = (kind == ALLOCATED) | (second & ~failed)
    frees = (kind == FREED) | (kind == MOVED_FROM)
    frees[stays] = False
    counted[FAILED_ALLOCATIONS] = int(failed.sum())
    before = np.cumsum(allocates)  # requests up to an event, itself included
    ends = before.copy()
    # The old block of a realloc is there until the new one is.
    moved = moved[frees[moved]]
    ends[moved] = before[partner[moved]]
    taking = np.flatnonzero(allocates | frees)
    taking = taking[np.argsort(address[taking], kind="stable")]
    same = address[taking[1:]] == address[taking[:-1]]
    begins, then = allocates[taking[:-1]], taking[1:]
    lifetime = np.full(kind.size, NEVER, np.int64)
    ended = same & begins & frees[then]
    lifetime[taking[:-1][ended]] = ends[then[ended]] - (before[taking[:-1][ended]] - 1)
    again = same & begins & allocates[then]
    lifetime[taking[:-1][again]] = before[then[again]] - before[taking[:-1][again]]
    counted[MISSED_FREE] = int(again.sum())
    counted[UNKNOWN_FREE] = int(frees.sum() - ended.sum())
    requests = np.flatnonzero(allocates)
    size, lifetime = size[requests], np.minimum(lifetime[requests], NEVER)
    counted[ZERO] = int((size == 0).sum())
    return np.maximum(size, 1), lifetime, site[requests]


class _Chunks:
    """The chunks of a log, by what is in them."""

    def __init__(self, source: Source, data: bytes) -> None:
        self._source, self._data = source, data
        self.partner = np.zeros(0, np.int64)
        # The last chunk of a log that was copied while it grew may be cut off.
        starts = range(HEAD_BYTES, len(data) - CHUNK_BYTES + 1, CHUNK_BYTES)
        self._of: dict[int, list[int]] = {EVENT_CHUNK: [], SITE_CHUNK: [], MODULE_CHUNK: []}
        for start in starts:
            (kind,) = unpack_from("<I", data, start)
            if kind in self._of:
                self._of[kind].append(start + CHUNK_HEAD)
            elif kind:
                raise source.fault(f"a chunk of kind {kind}, which there is not: damaged", start)

    def events(self) -> tuple[np.ndarray, ...]:
        """Returns the events in their order, E of each.

        order int64, kind int8, address uint64, size int64 in bytes, site int64.
        """
        rows = (CHUNK_BYTES - CHUNK_HEAD) // EVENT_BYTES
        found = []
        for start in self._of[EVENT_CHUNK]:
            chunk = np.frombuffer(self._data, "<u8", 3 * rows, start).reshape(rows, 3)
            ended = np.flatnonzero(chunk[:, 0] == 0)
            found.append(chunk[: ended[0] if ended.size else rows])
        events = np.concatenate(found) if found else np.zeros((0, 3), np.uint64)
        order, kind = (events[:, 0] >> 2).astype(np.int64), (events[:, 0] & 3).astype(np.int8)
        sorted_ = np.argsort(order, kind="stable")
        if order.size and np.any(np.diff(order[sorted_]) == 0):
            raise self._source.fault("two events at one place in the order: damaged", HEAD_BYTES)
        place = np.empty_like(sorted_)
        place[sorted_] = np.arange(order.size)
        first = np.flatnonzero((kind[:-1] == MOVED_FROM) & (kind[1:] == MOVED_TO))
        partner = np.full(order.size, -1, np.int64)
        partner[place[first]], partner[place[first + 1]] = place[first + 1], place[first]
        self.partner = partner
        address, rest = events[sorted_, 1], events[sorted_, 2]
        size, site = (rest >> 24).astype(np.int64), (rest & 0xFFFFFF).astype(np.int64)
        return order[sorted_], kind[sorted_], address, size, site

    def sites(self) -> dict[int, tuple[str, ...]]:
        """Returns the call sites by number: module+offset of each frame, innermost first."""
        modules: dict[int, str] = {}
        for number, count, at in self._records(MODULE_CHUNK, lambda count: (count + 7) // 8 * 8):
            path = os.fsdecode(self._data[at : at + count])
            modules[number] = os.path.basename(path)
        sites: dict[int, tuple[str, ...]] = {}
        for number, count, at in self._records(SITE_CHUNK, lambda count: 16 * count):
            frames = (unpack_from("<IIQ", self._data, at + 16 * k) for k in range(count))
            sites[number] = tuple(
                f"{modules.get(module, '?')}+{offset:#x}" for module, _, offset in frames
            )
        return sites

    def _records(self, kind: int, length: Callable[[int], int]) -> Iterator[tuple[int, int, int]]:
        """Yields number, count and where its content begins of each record in chunks of a kind."""
        for start in self._of[kind]:
            at, end = start, start + CHUNK_BYTES - CHUNK_HEAD
            while at + 8 <= end:
                number, count = unpack_from("<2I", self._data, at)
                if not number:
                    break
                if at + 8 + length(count) > end:
                    raise self._source.fault("a record longer than its chunk: damaged", at)
                yield number, count, at + 8
                at += 8 + length(count)


PRELOAD = Format("preload", lambda head: head.startswith(LOG_MAGIC), read_preload)
