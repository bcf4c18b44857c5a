"""Files that were packed with gzip or zstd, unpacked piece by piece as they are read."""

import gzip
import zlib
from io import BufferedReader, RawIOBase
from typing import Any

from jaxmem.extras import extra

GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
PACKED = (".gz", ".zst")
# A block of 128 KiB may be packed into four bytes: of a small piece not too much can come.
PIECE_BYTES = 1024  # bytes
LARGEST_WINDOW = 2**27  # bytes that zstd may look back, and so take: its own limit


class DamagedError(Exception):
    """Packed data that end too early or cannot be unpacked."""


PACKING_DAMAGE = (EOFError, gzip.BadGzipFile, zlib.error, DamagedError)


def unpacked(file: BufferedReader) -> tuple[BufferedReader, str]:
    """Unpacks a file's bytes, and tells what it was packed with: gzip, zstd or an empty text.

    How it is packed is told by its first bytes. What is read raises one of PACKING_DAMAGE where the
    packed data are truncated or broken.

    Raises:
        MissingExtraError: a zstd file, and the package for them is not there.
    """
    magic = file.peek(len(ZSTD_MAGIC))
    if magic.startswith(GZIP_MAGIC):
        return BufferedReader(_GzipFile(file)), "gzip"
    if magic.startswith(ZSTD_MAGIC):
        return BufferedReader(_ZstdFile(file)), "zstd"
    return file, ""


class _GzipFile(RawIOBase):
    """The unpacked bytes of a gzip file, each piece given before the next one is unpacked."""

    def __init__(self, file: BufferedReader) -> None:
        self._file = gzip.GzipFile(fileobj=file)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._file.read1(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


class _ZstdFile(RawIOBase):
    """The unpacked bytes of one zstd frame after another; knows when the last one is cut off."""

    def __init__(self, file: BufferedReader) -> None:
        zstandard = extra("zstandard", "traces", "a file packed with zstd")
        self._error = zstandard.ZstdError
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW)
        self._file = file
        self._frame: Any = None  # the frame being unpacked; None: between two
        self._packed = b""  # read and not unpacked
        self._ready = memoryview(b"")  # unpacked and not asked for

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            self._packed = self._packed or self._file.read(PIECE_BYTES)
            if not self._packed:
                if self._frame is not None:
                    raise DamagedError("the last frame is not whole")
                return 0
            self._ready = memoryview(self._unpack())
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _unpack(self) -> bytes:
        self._frame = self._frame or self._decompressor.decompressobj()
        try:
            piece = self._frame.decompress(self._packed)
        except self._error as error:
            raise DamagedError(str(error)) from None
        self._packed = self._frame.unused_data if self._frame.eof else b""
        if self._frame.eof:
            self._frame = None
        return piece
