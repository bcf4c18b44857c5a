"""Recordings as jaxmem keeps them: one file with the arrays and where they came from.

A store is an npz of NumPy arrays without pickles: `version` int64[1], `about` uint8[N] (JSON in
UTF-8), `size` int64[R] in bytes, `lifetime` int32[R] in requests, `site` int32[R] where known. From
version 2 on also, where they compare between runs, what the S numbers of sites mean: `site_key`
uint64[S] and, where they are kept, `site_name` uint8[N] (a list of S texts, JSON in UTF-8).
"""

import json
import re
import struct
import zlib
from dataclasses import asdict, fields
from io import BytesIO
from pathlib import Path
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile

import numpy as np

from jaxmem.recordings.about import About
from jaxmem.recordings.bounds import (
    MOST_ABOUT,
    MOST_NAMES,
    MOST_REQUESTS,
    MOST_STORED,
    NAMED_EACH,
    STORED_EACH,
)
from jaxmem.recordings.recording import LARGEST_SIZE, Recording
from jaxmem.recordings.sites import CallSites
from jaxmem.recordings.source import PIECE, Source, TraceError, printable, quoted
from jaxmem.whole_files import written_whole

VERSION = 2
VERSIONS = (1, 2)  # that can be read
SUFFIX = ".npz"
ZIP_MAGIC = b"PK\x03\x04"
STORE_KIND = "a store of jaxmem"
# What zipfile, zlib, json and NumPy raise over a file that is no npz, or no longer one.
STORE_DAMAGE = (
    *(BadZipFile, EOFError, KeyError, MemoryError, NotImplementedError, OSError, OverflowError),
    *(RecursionError, RuntimeError, TypeError, ValueError, struct.error, zlib.error),
)
# Of an array, format 1.0. NumPy itself parses it as Python, which hostile text makes costly.
ARRAY_MAGIC = b"\x93NUMPY\x01\x00"
ARRAY_HEADER = re.compile(
    r"\{'descr': '([<>|=][a-zA-Z]\d{0,9})', 'fortran_order': (?:True|False), "
    r"'shape': \(((?:\d{1,18}, ?)*(?:\d{1,18})?)\), \} *\n"
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
    if recording.call_sites is not None:
        arrays["site_key"] = recording.call_sites.key.astype("<u8")
        if recording.call_sites.name:
            names = json.dumps(recording.call_sites.name).encode()
            arrays["site_name"] = np.frombuffer(names, np.uint8)
    with written_whole(path) as file:
        np.savez_compressed(file, **arrays)  # pyright: ignore[reportArgumentType]


def read_store(source: Source) -> Recording:
    """Reads the recording in a store.

    Raises:
        TraceError: it is damaged, no store, or of a version that this program does not know.
    """
    most = MOST_REQUESTS if source.most is None else source.most
    stored = MOST_STORED if source.most is None else STORED_EACH * most + MOST_ABOUT
    data = source.whole(stored, STORE_KIND)
    try:
        with ZipFile(BytesIO(data)) as archive:
            store = _Store(source, archive)
            if not store.has("version"):
                raise TraceError(f"{source.where}: {_other_zip(archive.namelist())}")
            version = store.array("version", "<i8", 1)
            if version.tolist() not in [[known] for known in VERSIONS]:
                raise store.fault(f"version {version.tolist()}; this jaxmem reads 1 and {VERSION}")
            about = store.about()
            size = store.array("size", "<i8", most)
            lifetime = store.array("lifetime", "<i4", most)
            site = store.array("site", "<i4", most) if store.has("site") else None
            sites = store.call_sites(most) if store.has("site_key") else None
    except TraceError:
        raise
    except STORE_DAMAGE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise TraceError(
            f"{source.where}: {STORE_KIND} that is damaged, or another zip file ({reason})"
        ) from None
    known = About(**{field.name: about[field.name] for field in fields(About)})
    try:
        recording = Recording(about["name"], size, lifetime.astype(np.int64), site, known, sites)
    except ValueError as error:
        raise TraceError(f"{source.where}: {error}") from None
    for name in ("events", "requests", "peak_live"):
        if about[name] != getattr(recording, name):
            raise TraceError(
                f"{source.where}: damaged: it says {name} {quoted(str(about[name]))} and "
                f"has {getattr(recording, name)}"
            )
    return recording


def _other_zip(names: list[str]) -> str:
    """Says what a zip file is that is no store, and what can be done with it."""
    if any(name.endswith("data.pkl") for name in names):
        return (
            "a file of torch.save, which holds no recording; a snapshot of CUDA memory is what "
            "torch.cuda.memory._dump_snapshot(FILE) writes"
        )
    held = quoted(names[0]) if names else "nothing"
    more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
    return f"a zip file, of {held}{more}; unzip it, and give what was in it"


class _Store:
    """The arrays of a store, each read within bounds."""

    def __init__(self, source: Source, archive: ZipFile) -> None:
        self.source, self.archive, self.member = source, archive, ""

    def fault(self, message: str) -> TraceError:
        """Makes the error for what is wrong with the array read last."""
        return TraceError(f"{self.source.where}, {self.member}: {message}")

    def has(self, name: str) -> bool:
        """Tells whether there is an array of this name."""
        return f"{name}.npy" in self.archive.namelist()

    def array(self, name: str, kind: str, most: int) -> np.ndarray:
        """Reads a vector of one kind of numbers.

        Memory grows with what is there, not with what the header says there is.
        """
        self.member = f"{name}.npy"
        if self.archive.getinfo(self.member).compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise self.fault("packed in another way than NumPy packs; write it again")
        with self.archive.open(self.member) as file:
            shape, found = self._header(file)
            if found != np.dtype(kind) or len(shape) != 1:
                raise self.fault(f"{found} of shape {shape}; it must be a vector of {kind}")
            if shape[0] > most:
                raise self.fault(f"too long: {shape[0]:,} entries; at most {most:,} are read")
            wanted, data = shape[0] * found.itemsize, bytearray()
            while piece := file.read(min(PIECE, wanted + 1 - len(data))):
                data += piece
        if len(data) != wanted:
            raise self.fault(f"its header says {wanted:,} bytes and it has {len(data):,} or more")
        return np.frombuffer(data, found)

    def _header(self, file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
        """Reads shape and kind of an array, at which the file is then."""
        prefix = file.read(len(ARRAY_MAGIC) + 2)
        magic, length = prefix[:-2], int.from_bytes(prefix[-2:], "little")
        header = ARRAY_HEADER.fullmatch(file.read(length).decode("latin-1"))
        if magic != ARRAY_MAGIC or header is None:
            raise self.fault(
                "it does not begin as NumPy begins a vector of numbers; it is damaged: copy the "
                "store or import the recording again"
            )
        shape = tuple(int(side) for side in header[2].split(",") if side.strip())
        return shape, np.dtype(header[1])

    def call_sites(self, most: int) -> CallSites:
        """Returns what the numbers of call sites mean."""
        key = self.array("site_key", "<u8", most)
        if not self.has("site_name"):
            return CallSites(key)
        allowed = MOST_NAMES if self.source.most is None else NAMED_EACH * most
        names = json.loads(self.array("site_name", "|u1", allowed).tobytes())
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise self.fault("no list of names")
        return CallSites(key, tuple(names))

    def about(self) -> dict[str, Any]:
        """Returns what the store says of itself, once each entry is of the right kind."""
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
        reserved = about.get("reserved", 0)  # older stores do not tell
        if type(reserved) is not int or not 0 <= reserved <= LARGEST_SIZE:
            raise self.fault("reserved is no number of bytes")
        return {**about, **cleaned, "notes": tuple(map(printable, notes)), "reserved": reserved}
