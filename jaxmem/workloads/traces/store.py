"""Recordings as jaxmem keeps them: one file with the arrays and where they came from.

A store is an npz of NumPy arrays without pickles: `version` int64[1], `about` uint8[N] (JSON in
UTF-8), `size` int64[R] in bytes, `lifetime` int32[R] in requests, `site` int32[R] where known.
"""

import json
import struct
import zlib
from dataclasses import asdict, fields
from io import BytesIO
from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np

from jaxmem.whole_files import written_whole
from jaxmem.workloads.traces.about import About
from jaxmem.workloads.traces.events import MOST_REQUESTS
from jaxmem.workloads.traces.recording import Recording
from jaxmem.workloads.traces.source import PIECE, Source, TraceError, printable, shown

VERSION = 1
SUFFIX = ".npz"
MAGIC = b"PK\x03\x04"
MOST_BYTES = 2**33  # of a store, packed
MOST_ABOUT = 2**20  # bytes
WHAT = "a store of jaxmem"
# What zipfile, zlib and NumPy raise over a file that is no npz, or no longer one.
DAMAGE = (
    *(BadZipFile, EOFError, KeyError, NotImplementedError, OSError, OverflowError, RuntimeError),
    *(SyntaxError, TokenError, ValueError, struct.error, zlib.error),
)


def write_store(path: Path, recording: Recording) -> None:
    """Writes a recording, whole or not at all; raises OSError where that cannot be done."""
    about = {
        **asdict(recording.about),
        "name": recording.name,
        "events": recording.events,
        "requests": recording.requests,
        "peak_live": recording.peak_live,
    }
    arrays = {
        "version": np.array([VERSION], np.int64),
        "about": np.frombuffer(json.dumps(about).encode(), np.uint8),
        "size": recording.size.astype("<i8"),
        "lifetime": recording.lifetime.astype("<i4"),
    }
    if recording.site is not None:
        arrays["site"] = recording.site.astype("<i4")
    with written_whole(path) as file:
        np.savez_compressed(file, **arrays)  # pyright: ignore[reportArgumentType]


def read_store(source: Source) -> Recording:
    """The recording in a store.

    Raises:
        TraceError: it is damaged, no store, or of a version that this program does not know.
    """
    most = MOST_REQUESTS if source.most is None else source.most
    data = source.whole(MOST_BYTES if source.most is None else 64 * most + MOST_ABOUT, WHAT)
    try:
        with ZipFile(BytesIO(data)) as archive:
            store = _Store(source, archive)
            version = store.array("version", "<i8", 1)
            if version.tolist() != [VERSION]:
                raise store.fault(f"version {version.tolist()}; this jaxmem reads {VERSION}")
            about = store.about()
            size = store.array("size", "<i8", most)
            lifetime = store.array("lifetime", "<i4", most)
            site = store.array("site", "<i4", most) if store.has("site") else None
    except TraceError:
        raise
    except DAMAGE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise TraceError(
            f"{source.where}: {WHAT} that is damaged, or another zip file ({reason})"
        ) from None
    known = About(**{field.name: about[field.name] for field in fields(About)})
    try:
        recording = Recording(about["name"], size, lifetime.astype(np.int64), site, known)
    except ValueError as error:
        raise TraceError(f"{source.where}: {error}") from None
    for name in ("events", "requests", "peak_live"):
        if about[name] != getattr(recording, name):
            raise TraceError(
                f"{source.where}: damaged: it says {name} {shown(str(about[name]))} and "
                f"has {getattr(recording, name)}"
            )
    return recording


class _Store:
    """The arrays of a store, each read within bounds."""

    def __init__(self, source: Source, archive: ZipFile) -> None:
        self.source, self.archive, self.member = source, archive, ""

    def fault(self, message: str) -> TraceError:
        """The error for what is wrong with the array read last."""
        return TraceError(f"{self.source.where}, {self.member}: {message}")

    def has(self, name: str) -> bool:
        """Whether there is an array of this name."""
        return f"{name}.npy" in self.archive.namelist()

    def array(self, name: str, kind: str, most: int) -> np.ndarray:
        """A vector of one kind of numbers.

        Memory grows with what is there, not with what the header says there is.
        """
        self.member = f"{name}.npy"
        with self.archive.open(self.member) as file:
            np.lib.format.read_magic(file)
            shape, _, found = np.lib.format.read_array_header_1_0(file)
            if found != np.dtype(kind) or len(shape) != 1:
                raise self.fault(f"{found} of shape {shape}; it must be a vector of {kind}")
            if not 0 <= shape[0] <= most:
                raise self.fault(f"too long: {shape[0]:,} entries; at most {most:,} are read")
            wanted, data = shape[0] * found.itemsize, bytearray()
            while piece := file.read(min(PIECE, wanted + 1 - len(data))):
                data += piece
        if len(data) != wanted:
            raise self.fault(f"its header says {wanted:,} bytes and it has {len(data):,} or more")
        return np.frombuffer(data, found)

    def about(self) -> dict[str, Any]:
        """What the store says of itself, once each entry is of the right kind."""
        about = json.loads(self.array("about", "|u1", MOST_ABOUT).tobytes())
        texts = ("name", "program", "format", "units", "file", "licence")
        numbers = ("events", "requests", "peak_live")
        if not isinstance(about, dict):
            raise self.fault("no table")
        notes = about.get("notes")
        if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
            raise self.fault("notes are no list of texts")
        wrong = [name for name in texts if not isinstance(about.get(name), str)]
        wrong += [name for name in numbers if type(about.get(name)) is not int]
        if wrong:
            raise self.fault(f"{', '.join(wrong)} missing or of a wrong kind")
        cleaned = {name: printable(about[name]) for name in texts}
        return {**about, **cleaned, "notes": tuple(map(printable, notes))}
