"""CSV with a header: events `op,id,size`, or MiniMalloc's buffers `id,lower,upper,size`.

Events may have a column more, `site`: any text, the same for allocations from the same place in the
program. MiniMalloc's own columns `alignment`, `gaps`, `hint` and `offset` are left out, but that a
plan obeys alignments and offsets. Its older names are read too (`converter.cc`): there a buffer is
live up to `end` and at `end` itself.
"""

from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from jaxmem.recordings.events import ZERO, Events, recording_of
from jaxmem.recordings.formats.format import Format
from jaxmem.recordings.lines import Lines, whole_number
from jaxmem.recordings.recording import LARGEST_SIZE, Recording, Written
from jaxmem.recordings.source import Source, quoted

EVENT_COLUMNS = ("op", "id", "size")
BUFFER_COLUMNS = ("id", "lower", "upper", "size")
SITE = "site"
# Columns of buffers that are left out: what is said of those that say something.
LEFT_OUT = {
    "alignment": "buffers with an alignment, which is left out",
    "gaps": "buffers with gaps, which are left out: they are live from beginning to end",
    "hint": "buffers with a hint, which is left out",
    "offset": "buffers with an offset, a place in a packing, which is left out",
}
NOTHING = {"alignment": ("", "1"), "gaps": ("",), "hint": ("", "-1"), "offset": ("",)}
PLACED, ALIGNED = (list(LEFT_OUT).index(name) for name in ("offset", "alignment"))
OPTIONAL = {EVENT_COLUMNS: (SITE,), BUFFER_COLUMNS: tuple(LEFT_OUT)}
END = "end"  # the last time at which a buffer is live
OLD_NAMES = {"buffer": "id", "buffer_id": "id", "begin": "lower", "start": "lower", END: "upper"}
HEADERS = f"{','.join(EVENT_COLUMNS)} (events) or {','.join(BUFFER_COLUMNS)} (MiniMalloc)"


def _is_header(columns: list[str], wanted: tuple[str, ...]) -> bool:
    """Tells whether these are the columns wanted, in any order, with none twice."""
    names = [name.strip() for name in columns]
    if wanted == BUFFER_COLUMNS:
        names = [OLD_NAMES.get(name, name) for name in names]
    allowed = {*wanted, *OPTIONAL[wanted]}
    return len(set(names)) == len(names) and set(wanted) <= set(names) <= allowed


def _told_by(wanted: tuple[str, ...]) -> Callable[[bytes], bool]:
    """Tells by the first line that is not blank."""

    def told(head: bytes) -> bool:
        first = head.decode("utf-8-sig", "replace").strip().partition("\n")[0]
        return _is_header(first.split(","), wanted)

    return told


def read_csv(source: Source, wanted: tuple[str, ...]) -> Recording:
    """Reads the recording of a file of which the columns must be these, in any order."""
    lines = Lines(source)
    header = next(lines.texts, None)
    if header is None:
        raise lines.fault(f"the file is empty; the first line must be {','.join(wanted)}", 1)
    header_line = lines.number
    columns = [name.strip() for name in header.split(",")]
    if not _is_header(columns, wanted):
        raise lines.fault(f"unknown header {quoted(header)}; it must be {','.join(wanted)}")
    read = _read_events if wanted == EVENT_COLUMNS else _read_buffers
    recording = read(lines, columns)
    if recording is None:
        raise lines.fault("a header and no allocation; a trace needs one or more", header_line)
    return recording


def _rows(lines: Lines, columns: list[str], wanted: tuple[str, ...]) -> Iterator[list[str]]:
    """Yields the fields of each line, in `wanted`'s order; of columns not there, empty texts."""
    order = [columns.index(name) if name in columns else -1 for name in wanted]
    for text in lines:
        fields = [field.strip() for field in text.split(",")]
        if len(fields) != len(columns):
            raise lines.fault(
                f"{len(fields)} fields in {quoted(text)}; the header {','.join(columns)} "
                f"asks for {len(columns)}"
            )
        fields.append("")
        yield [fields[position] for position in order]


def _read_events(lines: Lines, columns: list[str]) -> Recording | None:
    events = Events(lines.source)
    past = _Past()
    for op, block, text, site in _rows(lines, columns, (*EVENT_COLUMNS, SITE)):
        if op == "a":
            if block in events.live:
                raise lines.fault(
                    f"id {quoted(block)} is allocated while it is still live; "
                    "an id may be used again only after its free"
                )
            events.allocate(block, _size(lines, text), site or None)
            past.allocated(block)
        elif op == "f":
            request = events.live.get(block)
            if request is None:
                raise lines.fault(past.why_not_live(block))
            events.free(block)
            past.freed[request] = lines.number
        else:
            raise lines.fault(f"unknown op {quoted(op)}; it must be a (allocate) or f (free)")
    if not events.size:
        return None
    return events.recording()


class _Past:
    """The times at which blocks were freed, for the message about one that is freed again."""

    def __init__(self) -> None:
        self.freed = array("q")  # line of the free of each request, 0: none
        self.names = array("q")  # hash of its id: a million texts would take ten times the memory

    def allocated(self, block: str) -> None:
        self.freed.append(0)
        self.names.append(hash(block))

    def why_not_live(self, block: str) -> str:
        """Says what is wrong with the free of a block that is not live."""
        same = np.flatnonzero(np.frombuffer(self.names, np.int64) == hash(block))
        if not same.size:
            return f"free of the unknown id {quoted(block)}; only a live id can be freed"
        return (
            f"double free of id {quoted(block)}, already freed on line {self.freed[same[-1]]}; "
            "a block is freed once"
        )


class _Buffers:
    """The buffers of a file, in its order."""

    def __init__(self) -> None:
        self.name = array("q")  # number of the id
        self.lower = array("q")
        self.upper = array("q")
        self.size = array("q")  # bytes
        self.line = array("q")
        self.names: dict[str, int] = {}
        self.offset: list[str] = []  # as it stands there; "": none
        self.alignment: list[str] = []  # likewise

    def written(self) -> Written:
        """Returns what stands in the file, in the order of the requests."""
        order = np.argsort(np.asarray(self.lower), kind="stable")
        names = tuple(self.names)
        return Written(
            id=tuple(names[self.name[at]] for at in order),
            lower=np.asarray(self.lower, np.int64)[order],
            upper=np.asarray(self.upper, np.int64)[order],
            offset=tuple(self.offset[at] for at in order),
            alignment=tuple(self.alignment[at] for at in order),
        )


def _read_buffers(lines: Lines, columns: list[str]) -> Recording | None:
    buffers = _Buffers()
    counted: Counter[str] = Counter()
    called = {OLD_NAMES.get(name, name): name for name in columns}
    columns, inclusive = list(called), END in columns
    begins, ends = called["lower"], called["upper"]
    for name, first, end, text, *others in _rows(lines, columns, (*BUFFER_COLUMNS, *LEFT_OUT)):
        lower, upper = _time(lines, begins, first), _time(lines, ends, end) + inclusive
        size = _size(lines, text)
        counted[ZERO] += size == 0
        for (column, what), other in zip(LEFT_OUT.items(), others, strict=True):
            counted[what] += other not in NOTHING[column]
        if upper <= lower:
            must = "be at least" if inclusive else "be larger than"
            raise lines.fault(f"{begins} {first} and {ends} {end}; {ends} must {must} {begins}")
        buffers.name.append(buffers.names.setdefault(name, len(buffers.names)))
        buffers.lower.append(lower)
        buffers.upper.append(upper)
        buffers.size.append(size or 1)
        buffers.line.append(lines.number)
        buffers.offset.append(others[PLACED])
        buffers.alignment.append(others[ALIGNED])
    if not buffers.size:
        return None
    _check_reuse(lines, buffers)
    requests = requests_of_buffers(buffers.lower, buffers.upper, buffers.size)
    recording = recording_of(lines.source, *requests, counted=counted)
    return replace(recording, written=buffers.written())


def requests_of_buffers(lower, upper, size) -> tuple[np.ndarray, np.ndarray]:
    """Returns size int64[R] and lifetime int64[R] of buffers live for lower <= t < upper.

    At equal times frees come first, then allocations in the order given.
    """
    lower, upper, size = (np.asarray(part, np.int64) for part in (lower, upper, size))
    order = np.argsort(lower, kind="stable")
    # The first request at or after a buffer's end: the buffer is freed just before it.
    next_request = np.searchsorted(lower[order], upper[order], side="left")
    return size[order], next_request - np.arange(order.size)


def _check_reuse(lines: Lines, buffers: _Buffers) -> None:
    """Raises TraceError if two buffers share an id and are live together."""
    name, lower, upper = (
        np.frombuffer(part, np.int64) for part in (buffers.name, buffers.lower, buffers.upper)
    )
    order = np.lexsort((lower, name))
    early, late = order[:-1], order[1:]
    together = (name[early] == name[late]) & (lower[late] < upper[early])
    if not together.any():
        return
    # Of several such pairs, the first in the order of time.
    at = np.flatnonzero(together)[np.argmin(lower[late][together])]
    first, second = sorted((buffers.line[early[at]], buffers.line[late[at]]))
    block = next(text for text, number in buffers.names.items() if number == name[late[at]])
    raise lines.fault(
        f"id {quoted(block)} is allocated while it is still live (see line {first}); "
        "an id may be used again only after its free",
        second,
    )


def _size(lines: Lines, text: str) -> int:
    value = whole_number(text)
    if value is None or not 0 <= value <= LARGEST_SIZE:
        raise lines.fault(f"size {quoted(text)}; a size is a whole number of bytes from 0 to 2^62")
    return value


def _time(lines: Lines, column: str, text: str) -> int:
    value = whole_number(text)
    if value is None or abs(value) > LARGEST_SIZE:
        raise lines.fault(f"{column} {quoted(text)}; a time is a whole number from -2^62 to 2^62")
    return value


EVENTS = Format(
    "events",
    _told_by(EVENT_COLUMNS),
    lambda source: read_csv(source, EVENT_COLUMNS),
)
MINIMALLOC = Format(
    "minimalloc",
    _told_by(BUFFER_COLUMNS),
    lambda source: read_csv(source, BUFFER_COLUMNS),
    alignment=1,
)
