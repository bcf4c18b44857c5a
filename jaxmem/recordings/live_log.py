"""Logs of programs that ran under a policy, as `jaxmem/native/live_log.h` lays them out."""

import os
from dataclasses import dataclass
from pathlib import Path
from struct import unpack_from

import numpy as np

from jaxmem.arena.arena import NEVER, NOWHERE
from jaxmem.recordings.about import About
from jaxmem.recordings.recording import Recording
from jaxmem.recordings.sites import UNKNOWN_KEY, CallSites

MAGIC, VERSION = b"jaxmem-live\0\0\0\0\0", 1
HEAD_BYTES, PART_BYTES = 4096, 2**18
PLACED, FAILED, FREED, LOST, LARGE = 1, 2, 3, 4, 5
MOST_ERROR = 4095  # that the kernel has


@dataclass(frozen=True)
class LiveFigures:
    """What an arena comes to."""

    peak_live: int  # units, of the blocks that were placed
    high_water: int  # units, the end of the highest block
    failed: int  # requests
    failed_bytes: int


@dataclass(frozen=True, eq=False)
class LiveRun:
    """A program's run under a policy: what it asked for, and where that went, R requests."""

    recording: Recording
    unit: int  # bytes
    start: np.ndarray  # int64[R]  units; NOWHERE: the request failed
    figures: LiveFigures  # as the allocator has counted them
    refused: int  # requests that never were in the arena, for which there was no memory
    nanoseconds: float | None  # an operation; None: none was timed
    peak_rss: int  # bytes, of the program
    stopped: str  # what ended the log before the program did; "": nothing


class LiveLogError(ValueError):
    """The log of a run tells why nothing was placed, or is none."""


def read_live(path: Path, name: str, program: str) -> LiveRun:
    """Reads the log of a run; arguments and errors are those of `live_run_of`."""
    return live_run_of(path.read_bytes(), name, program)


def live_run_of(data: bytes, name: str, program: str) -> LiveRun:
    """Makes the run of what its log holds.

    Args:
        name: of the recording.
        program: its command line.

    Raises:
        LiveLogError: it is no log, is damaged, or says that nothing was placed.
    """
    if not data.startswith(MAGIC) or len(data) < HEAD_BYTES:
        raise LiveLogError("its log is no log of this allocator")
    version, unit = unpack_from("<2I", data, 16)
    if version != VERSION:
        raise LiveLogError(f"its log is of version {version}; this jaxmem reads {VERSION}")
    words, stopped, no_arena, own_malloc, peak, high, failed, failed_bytes, refused, *clock = (
        unpack_from("<16Q", data, 24)
    )
    if max(stopped, no_arena) > MOST_ERROR or unit.bit_count() != 1 or words > 2:
        raise LiveLogError("its log is damaged: its figures cannot be")
    if no_arena:
        raise LiveLogError(f"there was no memory for the arena ({os.strerror(no_arena)})")
    kind, size, key, start = _events(data, max(words, 1))
    if not (kind <= FAILED).any():
        raise LiveLogError(
            "the program brings a malloc of its own, which is called in place of ours"
            if own_malloc
            else "it has asked for no block that is large enough; take a lower least= "
            "(or least_alignment=)"
        )
    asks = kind <= FAILED
    site, call_sites = _sites(key[asks])
    lifetime = _lifetimes(kind, key, start)
    about = About(program, "jaxmem run")
    try:
        recording = Recording(name, size[asks], lifetime, site, about, call_sites)
    except ValueError as error:
        raise LiveLogError(f"its log is damaged: {error}") from None
    return LiveRun(
        recording,
        unit,
        np.where(kind == FAILED, NOWHERE, start)[asks],
        LiveFigures(peak, high, failed, failed_bytes),
        refused,
        _nanoseconds(*clock[:6]),
        clock[6],
        os.strerror(stopped) if stopped else "",
    )


def _events(data: bytes, words: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns kind, bytes, key (of a LOST block its request) and start of the events, E of each."""
    parts = [
        np.frombuffer(data, "<u8", PART_BYTES // 8, begin)
        for begin in range(HEAD_BYTES, len(data) - PART_BYTES + 1, PART_BYTES)
    ]
    events = (np.concatenate(parts) if parts else np.zeros(0, np.uint64)).reshape(-1, words)
    kind = (events[:, 0] & np.uint64(7)).astype(np.int8)
    ended = np.flatnonzero(kind == 0)
    events = events[: ended[0] if ended.size else kind.size]
    kind, rest = kind[: len(events)], events[:, 0] >> np.uint64(3)
    if kind.size and (kind.max() > LARGE or kind[-1] == LARGE):
        raise LiveLogError("its log is damaged: it has an event of no kind")
    size = (rest >> np.uint64(31)).astype(np.int64)
    large = np.flatnonzero(kind == LARGE)
    size[large + 1] = rest[large].astype(np.int64)
    key = np.where(kind == LOST, rest, events[:, 1] if words > 1 else np.uint64(UNKNOWN_KEY))
    start = (rest & np.uint64(2**31 - 1)).astype(np.int64)
    kept = kind != LARGE
    return kind[kept], size[kept], key[kept], start[kept]


def _sites(key: np.ndarray) -> tuple[np.ndarray | None, CallSites | None]:
    """Numbers the call sites in the order of their keys, int32[R]; None: none is known."""
    known = key != UNKNOWN_KEY
    if not known.any():
        return None, None
    keys = np.unique(key[known])
    return np.where(known, np.searchsorted(keys, key), -1).astype(np.int32), CallSites(keys)


def _lifetimes(kind: np.ndarray, key: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Matches requests with the ends of their blocks: int64[R], NEVER where there is none."""
    asks = kind <= FAILED
    before = np.cumsum(asks)  # requests up to an event, itself included
    lifetime = np.full(int(asks.sum()), NEVER, np.int64)
    taking = np.flatnonzero((kind == PLACED) | (kind == FREED))
    taking = taking[np.argsort(start[taking], kind="stable")]
    ends = np.flatnonzero(kind[taking] == FREED)
    begins = ends - 1
    if ends.size and (
        begins[0] < 0
        or (kind[taking[begins]] != PLACED).any()
        or (start[taking[begins]] != start[taking[ends]]).any()
    ):
        raise LiveLogError("its log is damaged: a block is freed that was not placed")
    request = before[taking[begins]] - 1
    lifetime[request] = before[taking[ends]] - request
    lost = np.flatnonzero(kind == LOST)
    request = key[lost].astype(np.int64)
    if lost.size and (request >= before[lost]).any():
        raise LiveLogError("its log is damaged: a request ends before it is made")
    lifetime[request] = before[lost] - request
    return lifetime


def _nanoseconds(sampled: int, ticks: int, *clock: int) -> float | None:
    """Tells how long an operation takes, of those that were timed."""
    first, last, begun, ended = clock
    if not sampled or last <= first:
        return None
    return ticks / sampled * (ended - begun) / (last - first)
