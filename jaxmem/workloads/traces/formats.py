"""Reads recorded traces, `op,id,size` events or MiniMalloc buffers, plain or gzip, as recordings.

Files are read line by line and taken for text only: nothing in them is ever executed or unpickled.
"""

import gzip
import os
import re
import zlib
from collections.abc import Iterator
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxmem.workloads.requests import NEVER
from jaxmem.workloads.traces.recording import LARGEST_SIZE, Recording

EVENT_COLUMNS = ("op", "id", "size")
BUFFER_COLUMNS = ("id", "lower", "upper", "size")
ALLOWED_HEADERS = f"{','.join(EVENT_COLUMNS)} (events) or {','.join(BUFFER_COLUMNS)} (MiniMalloc)"
GZIP_MAGIC = b"\x1f\x8b"
LONGEST_LINE = 4096  # bytes


class TraceError(ValueError):
    """A trace that cannot be read: one line with the file, the line number, what is allowed."""


class _Lines:
    """The lines of a trace as stripped text, without the blank ones, and where they are."""

    def __init__(self, file: BufferedReader, where: str, most: int | None = None):
        self.where = where
        self.most = most  # lines that are read; None: all
        self.number = 0  # the line being read, counted from 1
        self.texts = self._texts(file)

    def fault(self, message: str, line: int | None = None) -> TraceError:
        """The error for what is wrong with `line`, by default the one read last."""
        return TraceError(f"{self.where}, line {line or self.number}: {message}")

    def _texts(self, file: BufferedReader) -> Iterator[str]:
        try:
            packed = file.peek(len(GZIP_MAGIC)).startswith(GZIP_MAGIC)
            with gzip.GzipFile(fileobj=file) if packed else file as stream:
                self.number = 1
                # A bounded read, so that a binary file without line ends is not read whole.
                while raw := stream.readline(LONGEST_LINE + 1):
                    if self.most is not None and self.number > self.most:
                        raise self.fault(f"too long: here at most {self.most:,} lines are read")
                    text = self._decode(raw)
                    if text:
                        yield text
                    self.number += 1
        except (EOFError, gzip.BadGzipFile, zlib.error):
            message = "the gzip data are truncated or damaged here; pack or copy the file again"
            raise self.fault(message) from None
        except OSError as error:
            raise _unreadable(self.where, error) from None

    def _decode(self, raw: bytes) -> str:
        if len(raw) > LONGEST_LINE:
            raise self.fault(f"more than {LONGEST_LINE} bytes in one line; a trace is CSV text")
        try:
            return raw.decode("utf-8-sig" if self.number == 1 else "utf-8").strip()
        except UnicodeDecodeError:
            raise self.fault("not UTF-8 text; a trace is CSV text, plain or gzip") from None


def read_trace(path: str | os.PathLike[str]) -> Recording:
    """Reads a recorded trace into request order.

    The header decides the format; columns may come in any order; gzip is told by its first bytes.
    `op,id,size`: `a` allocates, `f` frees (its size is ignored), in order of time; an id is any
    text without a comma and may be used again once freed. `id,lower,upper,size`: a buffer is live
    for times lower <= t < upper; at equal times frees come first, then allocations in the order of
    the file. Sizes are whole bytes, 1 to 2^62. A byte-order mark, CRLF, spaces around fields and
    blank lines are accepted.

    Raises TraceError for a file that cannot be opened or read, and for any line that breaks the
    rules above.
    """
    path = Path(path)
    where = _printable(str(path))
    try:
        file = path.open("rb")
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise _unreadable(where, error) from None
    with file:
        return _recording(_Lines(file, where), path.name)


def read_trace_bytes(data: bytes, name: str, most_lines: int) -> Recording:
    """The same for a file in memory, as it comes from a stranger.

    Args:
        data: the whole file, plain or gzip.
        name: that it is called in messages; nothing is opened by it.
        most_lines: of a longer file, which a few packed bytes may be, nothing more is read.
    """
    # What is packed is unpacked line by line, so a small file cannot fill the memory.
    return _recording(_Lines(BufferedReader(BytesIO(data)), _printable(name), most_lines), name)


def _recording(lines: _Lines, name: str) -> Recording:
    size, lifetime = _read_lines(lines)
    try:
        return Recording(name.removesuffix(".gz").removesuffix(".csv"), size, lifetime)
    except ValueError as error:
        raise TraceError(f"{lines.where}: {error}") from None


def _printable(text: str) -> str:
    return text if text.isprintable() else repr(text)


def _unreadable(where: str, error: OSError | ValueError) -> TraceError:
    reason = (getattr(error, "strerror", None) or str(error)).lower()
    return TraceError(
        f"{where}: cannot be read ({reason}); a trace is a CSV file, plain or gzip, "
        f"with the header {ALLOWED_HEADERS}"
    )


def _read_lines(lines: _Lines) -> tuple[np.ndarray, np.ndarray]:
    """Size int64[R] in bytes and lifetime int64[R] in requests of a trace of either format."""
    header = next(lines.texts, None)
    if header is None:
        raise lines.fault(f"the file is empty; the first line must be {ALLOWED_HEADERS}", 1)
    header_line = lines.number
    columns = [name.strip() for name in header.split(",")]
    if sorted(columns) == sorted(EVENT_COLUMNS):
        size, lifetime = _read_events(lines, columns)
    elif sorted(columns) == sorted(BUFFER_COLUMNS):
        size, lifetime = _read_buffers(lines, columns)
    else:
        raise lines.fault(f"unknown header {_shown(header)}; it must be {ALLOWED_HEADERS}")
    if not size.size:
        raise lines.fault("a header and no allocation; a trace needs one or more", header_line)
    return size, lifetime


def _rows(lines: _Lines, columns: list[str], wanted: tuple[str, ...]) -> Iterator[list[str]]:
    """The fields of each line, in the order of `wanted`."""
    order = [columns.index(name) for name in wanted]
    for text in lines.texts:
        fields = [field.strip() for field in text.split(",")]
        if len(fields) != len(columns):
            raise lines.fault(
                f"{len(fields)} fields in {_shown(text)}; the header {','.join(columns)} "
                f"asks for {len(columns)}"
            )
        yield [fields[position] for position in order]


def _read_events(lines: _Lines, columns: list[str]) -> tuple[np.ndarray, np.ndarray]:
    size: list[int] = []
    lifetime: list[int] = []
    live: dict[str, int] = {}  # id -> its request
    freed: dict[str, int] = {}  # id -> line of its last free
    for op, block, text in _rows(lines, columns, EVENT_COLUMNS):
        if op == "a":
            if block in live:
                raise lines.fault(
                    f"id {_shown(block)} is allocated while it is still live; "
                    "an id may be used again only after its free"
                )
            live[block] = len(size)
            size.append(_size(lines, text))
            lifetime.append(NEVER)
        elif op == "f":
            if block not in live:
                raise lines.fault(
                    f"double free of id {_shown(block)}, already freed on line {freed[block]}; "
                    "a block is freed once"
                    if block in freed
                    else f"free of the unknown id {_shown(block)}; only a live id can be freed"
                )
            request = live.pop(block)
            lifetime[request] = len(size) - request
            freed[block] = lines.number
        else:
            raise lines.fault(f"unknown op {_shown(op)}; it must be a (allocate) or f (free)")
    return np.array(size, np.int64), np.array(lifetime, np.int64)


class _Buffer(NamedTuple):
    name: str
    lower: int
    upper: int
    size: int
    line: int


def _read_buffers(lines: _Lines, columns: list[str]) -> tuple[np.ndarray, np.ndarray]:
    buffers: list[_Buffer] = []
    for name, first, end, size in _rows(lines, columns, BUFFER_COLUMNS):
        lower, upper = _time(lines, "lower", first), _time(lines, "upper", end)
        if upper <= lower:
            raise lines.fault(f"lower {lower} and upper {upper}; upper must be larger than lower")
        buffers.append(_Buffer(name, lower, upper, _size(lines, size), lines.number))
    buffers.sort(key=lambda buffer: buffer.lower)
    _check_reuse(lines, buffers)
    starts = np.array([buffer.lower for buffer in buffers], np.int64)
    ends = np.array([buffer.upper for buffer in buffers], np.int64)
    # The first request at or after a buffer's end: the buffer is freed just before it.
    next_request = np.searchsorted(starts, ends, side="left")
    sizes = np.array([buffer.size for buffer in buffers], np.int64)
    return sizes, next_request - np.arange(len(buffers))


def _check_reuse(lines: _Lines, buffers: list[_Buffer]) -> None:
    """Raises TraceError if two buffers, in order of time, share an id and are live together."""
    last: dict[str, _Buffer] = {}
    for buffer in buffers:
        earlier = last.get(buffer.name)
        if earlier is not None and buffer.lower < earlier.upper:
            first, second = sorted((earlier.line, buffer.line))
            raise lines.fault(
                f"id {_shown(buffer.name)} is allocated while it is still live (see line {first}); "
                "an id may be used again only after its free",
                second,
            )
        last[buffer.name] = buffer


def _size(lines: _Lines, text: str) -> int:
    value = _whole_number(text)
    if value is None or not 1 <= value <= LARGEST_SIZE:
        raise lines.fault(f"size {_shown(text)}; a size is a whole number of bytes from 1 to 2^62")
    return value


def _time(lines: _Lines, column: str, text: str) -> int:
    value = _whole_number(text)
    if value is None or abs(value) > LARGEST_SIZE:
        raise lines.fault(f"{column} {_shown(text)}; a time is a whole number from -2^62 to 2^62")
    return value


def _whole_number(text: str) -> int | None:
    """The integer that `text` is; None for anything else (int() alone takes 1_0 and U+0661)."""
    return int(text) if re.fullmatch(r"-?[0-9]{1,40}", text) else None


def _shown(text: str) -> str:
    """Text for a message: quoted, on one line and short, whatever it holds."""
    return repr(text if len(text) <= 40 else text[:37] + "...")
