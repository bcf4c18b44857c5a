"""A trace file as it is read: unpacked, within bounds, and always knowing where it is."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader, BytesIO, RawIOBase
from pathlib import Path
from typing import Any, Self

from jaxmem.recordings.bounds import MOST_BYTES
from jaxmem.recordings.unpacking import PACKED, PACKING_DAMAGE, unpacked

HEAD = 2**16  # bytes by which a format is told
PIECE = 2**20  # bytes that are read at once
ALLOWED = (
    "a trace is a CSV file with the header op,id,size (events) or id,lower,upper,size "
    "(MiniMalloc), or of another format of jaxmem trace import, plain, gzip or zstd"
)

# That are no part of a recording's name; XLA's before the .txt that they end in.
SUFFIXES = (
    *("-live-range.txt", "-buffer-assignment.txt", ".csv", ".npz", ".bin", ".pickle", ".pkl"),
    *(".rep", ".script", ".trace", ".mtrace", ".log", ".txt", ".pt.trace.json", ".json"),
)

Report = Callable[[int, int], None]  # bytes of the file that were read, and that there are


class TraceError(ValueError):
    """A trace that cannot be read: one line with the file, the place in it, what is allowed."""


class Source:
    """The unpacked bytes of a trace file, and where in them the reader is."""

    def __init__(
        self, file: BufferedReader, name: str, where: str, most: int | None, most_bytes: int
    ) -> None:
        """
        Args:
            file: the file as it is stored.
            name: of the file, without its folder.
            where: what it is called in messages.
            most: lines or events that are read of it; None: all.
            most_bytes: that it is unpacked into where it is packed, and that are kept in memory
                where it must be there whole.
        Raises:
            MissingExtraError: it is packed in a way that needs a package that is not there.
        """
        self.name, self.where, self.most, self.most_bytes = name, where, most, most_bytes
        self.path: Path | None = None  # where the file is; None: in memory
        self.format = ""  # the name of the format that it is read as
        self.device: int | None = None  # whose memory is read; None: that with the most events
        self.unit, self.number = "byte", 0  # the place in it, lines counted from 1, bytes from 0
        self._unpacked = 0  # bytes that were read
        self._size, self._report = 0, None  # bytes of the file, and who is told how far we are
        try:
            stream, self.packing = unpacked(file)
        except OSError as error:
            raise unreadable(where, error) from None
        # What comes before a failure is read first, so that the line of it is known.
        self.head, failure = self._beginning(stream)  # its first bytes, which stay to be read
        self._stream = BufferedReader(_Rejoined(self.head, stream, failure), PIECE)

    @classmethod
    @contextmanager
    def open(
        cls, path: Path, report: Report | None = None, most_bytes: int = MOST_BYTES
    ) -> Iterator[Self]:
        """Opens the file at a path; `report` is told how much of it has been read.

        Raises TraceError where it cannot be opened.
        """
        where = printable(str(path))
        try:
            file = path.open("rb", buffering=0)
        except (OSError, ValueError) as error:  # ValueError: a null character in the path
            raise unreadable(where, error) from None
        with file:
            size = os.fstat(file.fileno()).st_size
            counted = _Counted(file, size, report)
            source = cls(BufferedReader(counted, PIECE), path.name, where, None, most_bytes)
            source.path, source._size, source._report = path, size, report
            yield source

    @classmethod
    def of_bytes(cls, data: bytes, name: str, most: int, most_bytes: int = MOST_BYTES) -> Self:
        """Opens a file in memory, of which at most so many lines or events are read."""
        return cls(BufferedReader(BytesIO(data)), name, printable(name), most, most_bytes)

    def _beginning(self, stream: BufferedReader) -> tuple[bytes, Exception | None]:
        """Reads the first bytes, HEAD of them where there are, and what went wrong after them."""
        head = bytearray()
        while len(head) < HEAD:
            try:
                piece = stream.read1(HEAD - len(head))
            except PACKING_DAMAGE as error:
                return bytes(head), error
            except OSError as error:
                raise unreadable(self.where, error) from None
            if not piece:
                break
            head += piece
        return bytes(head), None

    def fault(self, message: str, number: int | None = None) -> TraceError:
        """Makes the error for what is wrong at `number`, else at the line or byte read last."""
        place = self.number if number is None else number
        return TraceError(f"{self.where}, {self.unit} {place}: {message}")

    def readline(self, most: int) -> bytes:
        """Reads the next line with its end, or its first `most` bytes; empty at the file's end."""
        return self._read(self._stream.readline, most)

    def piece(self) -> bytes:
        """Reads the next bytes, PIECE of them or what is left; empty at the end of the file."""
        return self._read(self._stream.read, PIECE)

    def whole(self, most: int, what: str) -> bytes:
        """Reads every byte that is left; raises TraceError if there are more than `most`.

        Memory grows with what is there, whatever the file says of its own size.
        """
        most = min(most, self.most_bytes)
        pieces = bytearray()
        while piece := self.piece():
            pieces += piece
            if len(pieces) > most:
                raise self.fault(f"too long: of {what} at most {most:,} bytes are read", most)
        return bytes(pieces)

    @contextmanager
    def on_disk(self) -> Iterator[Path]:
        """Unpacks the file for readers that want a path; the copy goes away at the end."""
        if self.path is not None and not self.packing:
            yield self.path
            return
        with tempfile.TemporaryDirectory(prefix="jaxmem-") as folder:
            path = Path(folder, "unpacked")
            try:
                self._unpack_into(path)
            except OSError as error:
                reason = error.strerror or error
                raise TraceError(f"{self.where}: no room to unpack it ({reason})") from None
            yield path

    def reached(self, done: int, total: int) -> None:
        """Reports how far the work is where most of it is done after the reading."""
        if self._report is not None:
            self._report(self._size * done // max(total, 1), self._size)

    def _unpack_into(self, path: Path) -> None:
        with path.open("wb") as file:
            while piece := self.piece():
                file.write(piece)

    def _read(self, read: Callable[[int], bytes], most: int) -> bytes:
        try:
            piece = read(most)
        except PACKING_DAMAGE:
            raise self.fault(
                f"the {self.packing} data are truncated or damaged here; pack or copy the file "
                "again"
            ) from None
        except OSError as error:
            raise unreadable(self.where, error) from None
        self._unpacked += len(piece)
        if self.packing and self._unpacked > self.most_bytes:
            remedy = f"; unpack it yourself ({self.packing} -d)" if self.path else ""
            raise self.fault(
                f"too long: of what a packed file is unpacked into, at most {self.most_bytes:,} "
                f"bytes are read{remedy}"
            )
        return piece


def unreadable(where: str, error: OSError | ValueError) -> TraceError:
    """Makes the error for a file that the system does not let us read."""
    reason = (getattr(error, "strerror", None) or str(error)).lower()
    return TraceError(f"{where}: cannot be read ({reason}); {ALLOWED}")


def printable(text: str) -> str:
    """Shows a name on one line, whatever is in it."""
    return text if text.isprintable() else repr(text)


def quoted(text: str) -> str:
    """Shows what a file holds, for a message: quoted, on one line and short."""
    return repr(text if len(text) <= 40 else text[:37] + "...")


def stem(name: str) -> str:
    """Returns a file's name without how it is packed and of which format it is."""
    for packed in PACKED:
        name = name.removesuffix(packed)
    for suffix in SUFFIXES:
        if name.endswith(suffix) and name != suffix:
            return name.removesuffix(suffix)
    return name


class _Counted(RawIOBase):
    """A file that reports how much of it has been read."""

    def __init__(self, file: RawIOBase, size: int, report: Report | None) -> None:
        self._file, self._size, self._report, self._read = file, size, report, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        count = self._file.readinto(buffer)
        self._read += count or 0
        if self._report is not None:
            self._report(self._read, self._size)
        return count


class _Rejoined(RawIOBase):
    """The bytes that were read already, the others after them, then what went wrong, if any."""

    def __init__(self, head: bytes, rest: BufferedReader, failure: Exception | None) -> None:
        self._head, self._rest, self._failure = memoryview(head), rest, failure

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._head:
            count = min(len(buffer), len(self._head))
            buffer[:count] = self._head[:count]
            self._head = self._head[count:]
            return count
        if self._failure is not None:
            raise self._failure
        return self._rest.readinto1(buffer)
