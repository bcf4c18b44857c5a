"""XLA's buffers, from `XLA_FLAGS="--xla_dump_to=DIR --xla_dump_hlo_as_text"`.

Two files of a program belong together: NAME-live-range.txt says from which to which instruction
a value is live, NAME-buffer-assignment.txt how many bytes it has and where XLA has put it.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from jaxmem.recordings.events import recording_of
from jaxmem.recordings.formats.csv import requests_of_buffers
from jaxmem.recordings.formats.format import Format
from jaxmem.recordings.lines import Lines
from jaxmem.recordings.recording import LARGEST_SIZE, Recording
from jaxmem.recordings.sites import call_sites
from jaxmem.recordings.source import Source, TraceError, quoted, stem

RANGES, PLACES = "live-range.txt", "buffer-assignment.txt"
FIRST_WORDS = {RANGES: b"HloLiveRange", PLACES: b"BufferAssignment:"}
RANGE = re.compile(r"(\S+?)(\{[\d,]*\}):(\d{1,18})-(\d{1,18})")
ALLOCATION = re.compile(r"allocation (\d+):(.*)")
VALUE = re.compile(
    r"value: <\d+ ([^\s{>]+)(\{[\d,]*\})?[^>]*> \(size=(\d{1,40}),offset=(\d{1,40})\)"
)
PROVIDED = re.compile(r", (parameter \d|constant|thread-local)")
ELSEWHERE = "values in parameters, constants and thread-local memory, left out"
EMPTY = "values of zero bytes, for which XLA asks for no memory, left out"


class _Place(NamedTuple):
    """The place of a value in XLA's memory."""

    allocation: int
    offset: int  # bytes
    size: int  # bytes


class _Buffer(NamedTuple):
    """Bytes that are live from one instruction to another, both counted in."""

    start: int
    end: int
    size: int
    name: str  # of the instruction whose value it holds first


def read_xla(source: Source) -> Recording:
    kind = RANGES if source.head.startswith(FIRST_WORDS[RANGES]) else PLACES
    other = PLACES if kind == RANGES else RANGES
    twin = source.path and source.path.with_name(source.path.name.replace(kind, other))
    if twin is None or twin == source.path or not twin.is_file():
        raise TraceError(
            f"{source.where}: the other half is missing: sizes are in NAME-{PLACES}, lifetimes in "
            f"NAME-{RANGES} beside it, plain and both with the NAME that XLA gave them"
        )
    with Source.open(twin, most_bytes=source.most_bytes) as beside:
        ranges, places = (source, beside) if kind == RANGES else (beside, source)
        placed, elsewhere = _places(places)
        buffers = sorted(_buffers(ranges, placed))
    if not buffers:
        raise TraceError(f"{source.where}: no buffer; a trace needs one or more")
    lower, upper, size = zip(*((at.start, at.end + 1, at.size) for at in buffers), strict=True)
    sizes, lifetimes = requests_of_buffers(lower, upper, size)
    program = f"XLA module {stem(source.name)}"
    # Buffers are sorted by their beginning, so they are the requests in order.
    number = {name: at for at, name in enumerate(dict.fromkeys(at.name for at in buffers))}
    site = np.array([number[at.name] for at in buffers], np.int32)
    named = call_sites(tuple(number))
    return recording_of(source, sizes, lifetimes, site, program, elsewhere, named)


def _places(source: Source) -> tuple[dict[str, _Place], Counter[str]]:
    """Finds where each value is, and how many of them are memory that others provide."""
    placed: dict[str, _Place] = {}
    left_out: Counter[str] = Counter()
    lines = Lines(source, log=True)
    allocation, provided = -1, False
    for text in lines:
        if head := ALLOCATION.match(text):
            allocation, provided = int(head[1]), PROVIDED.search(head[2]) is not None
        elif value := VALUE.match(text):
            left_out[ELSEWHERE] += provided
            size = int(value[3])
            if size > LARGEST_SIZE:
                raise lines.fault(f"size {size}; a size is at most 2^62 bytes")
            left_out[EMPTY] += not size and not provided
            if size and not provided:
                name = value[1] + (value[2] or "{}")
                placed[name] = _Place(allocation, int(value[4]), size)
    return placed, left_out


def _buffers(source: Source, placed: dict[str, _Place]) -> Iterator[_Buffer]:
    """Yields the buffers of the values that have a place.

    Values that are live together at one place are one buffer, which is updated where it lies.
    """
    found: dict[tuple[int, int], list[_Buffer]] = {}
    lines = Lines(source, log=True)
    for text in lines:
        value = RANGE.fullmatch(text)
        place = placed.get(value[1] + value[2]) if value else None
        if value is None or place is None:
            continue
        start, end = int(value[3]), int(value[4])
        if end < start:
            raise lines.fault(f"{quoted(text)}; a value cannot end before it begins")
        found.setdefault(place[:2], []).append(_Buffer(start, end, place.size, value[1]))
    for values in found.values():
        values.sort()
        buffer = values[0]
        for value in values[1:]:
            if value.start <= buffer.end:
                size = max(buffer.size, value.size)
                buffer = buffer._replace(end=max(buffer.end, value.end), size=size)
            else:
                yield buffer
                buffer = value
        yield buffer


XLA = Format(
    "xla",
    lambda head: head.startswith(tuple(FIRST_WORDS.values())),
    read_xla,
    from_strangers=False,  # it comes in two files
    alignment=1,
)
