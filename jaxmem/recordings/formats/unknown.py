"""Guesses at a file of no format, and what to do: told by its first bytes."""

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from jaxmem.recordings.formats.csv import HEADERS
from jaxmem.recordings.lines import Lines
from jaxmem.recordings.source import Source, TraceError, quoted

TEXT_BYTES = 200  # bytes in which a text has no control characters


class _Kind(NamedTuple):
    """A kind of file that is no trace."""

    told_by: Callable[[bytes], object]
    what: str  # as in: it is ...
    remedy: str  # what to do; empty where there is nothing to say but what is read


def _begins(*magic: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(magic)


def _has(pattern: bytes) -> Callable[[bytes], object]:
    return re.compile(pattern, re.MULTILINE).search


UNPACK = "unpack it and import what is in it"
SUMS = "it has sums and no single allocations and frees"
KINDS = (
    _Kind(
        _begins(b"version https://git-lfs.github.com/spec/"),
        "a pointer of Git LFS in place of the file",
        "run git lfs pull where it comes from, and import it again",
    ),
    _Kind(_begins(b"PK\x05\x06"), "an empty zip archive", ""),  # one with files may be a store
    _Kind(_begins(b"7z\xbc\xaf\x27\x1c"), "a 7-Zip archive", UNPACK),
    _Kind(_begins(b"\xfd7zXZ\0"), "a file packed with xz", UNPACK),
    _Kind(_begins(b"BZh"), "a file packed with bzip2", UNPACK),
    _Kind(_begins(b"\x04\x22\x4d\x18"), "a file packed with LZ4", UNPACK),
    _Kind(_begins(b"Rar!\x1a\x07"), "a RAR archive", UNPACK),
    _Kind(lambda head: head[257:262] == b"ustar", "a tar archive", UNPACK),
    _Kind(_begins(b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF"), "a picture or a film", ""),
    _Kind(_begins(b"%PDF-"), "a PDF document", ""),
    _Kind(_begins(b"\x7fELF", b"MZ\x90", b"\xcf\xfa\xed\xfe"), "a program or a library", ""),
    _Kind(_begins(b"SQLite format 3\0"), "a database of SQLite", "export its events as CSV"),
    _Kind(_begins(b"\x93NUMPY"), "an array of NumPy", ""),
    _Kind(_begins(b"PAR1"), "a table in Parquet", "export it as CSV"),
    _Kind(_begins(b"\x89HDF"), "a file of HDF5", "export its events as CSV"),
    _Kind(_begins(b"PERFILE2"), "a recording of Linux perf", "it has samples, not every call"),
    _Kind(
        _begins(b"\xff\xfe", b"\xfe\xff"),
        "text in UTF-16, which PowerShell's > writes",
        "save it as UTF-8",
    ),
    _Kind(
        _has(rb"\A\s*<(?i:!doctype html|html|head|body)\b"),
        "a web page, perhaps the page about the file",
        "download the file itself (on GitHub: Raw)",
    ),
    _Kind(_has(rb"\A\s*<\?xml"), "an XML file", "let the program write its text log"),
    _Kind(
        _has(rb"^=+ Heap Trace: \d+ records|^=+ Heap Trace Summary =+"),
        "a dump of ESP-IDF's heap_trace_dump()",
        "it lists blocks, and does not tell in which order they were freed",
    ),
    _Kind(
        _begins(b"Vulkan Memory Allocator,Calls recording"),
        "a recording of VulkanMemoryAllocator 2",
        "version 3 of it records no more, and nothing reads it here",
    ),
    _Kind(_begins(b"desc: "), "valgrind's massif output", SUMS),
    _Kind(_begins(b"heap profile:", b"heap_v2/"), "a heap profile of sampled calls", SUMS),
    _Kind(_has(rb'\A\s*\{\s*"dhatFileVersion"'), "valgrind's DHAT output", SUMS),
    _Kind(_has(rb'\A\s*\{\s*"snapshot"'), "a heap snapshot of V8", "it shows one moment only"),
)


def no_trace(source: Source, names: Iterable[str]) -> TraceError:
    """Makes the error for a file of no format: what it probably is, and what is read instead.

    Args:
        names: of the formats.
    """
    lines = Lines(source, log=True)
    first = next(lines.texts, None)  # where the packed data are damaged, that is what is said
    head, read = source.head, f"what is read: {', '.join(names)} (jaxmem trace import --help)"
    packed = f" packed with {source.packing}" if source.packing else ""
    if first is None:
        return lines.fault(f"the file is empty; {read}", 1)
    for kind in KINDS:
        if kind.told_by(head):
            remedy = f"; {kind.remedy}" if kind.remedy else ""
            return lines.fault(f"it is {kind.what}{packed}{remedy}; {read}")
    if _is_binary(head):
        return lines.fault(f"it is no text{packed}, and no binary file that is read; {read}")
    if _is_json(first):
        return lines.fault(f"it is JSON{packed} of another kind, {quoted(first)}; {read}")
    return lines.fault(
        f"unknown header {quoted(first)}{packed}; it must be {HEADERS}, or the file of another "
        f"format; {read}"
    )


def _is_binary(head: bytes) -> bool:
    return b"\0" in head or any(byte < 9 for byte in head[:TEXT_BYTES])


def _is_json(text: str) -> bool:
    """Tells whether the first line is JSON, or the beginning of it."""
    return re.match(r'\{\s*("[^"\\]*"\s*:|\}|$)|\[\s*([\[{"\d\]-]|$)', text) is not None
