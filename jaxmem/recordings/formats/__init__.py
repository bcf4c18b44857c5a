"""The formats of trace files: which one a file is of, and reading it."""

import os
from collections.abc import Iterable
from pathlib import Path

from jaxmem.names import nearest
from jaxmem.recordings.bounds import MOST_BYTES, MOST_BYTES_OF_STRANGERS
from jaxmem.recordings.formats.android import ANDROID
from jaxmem.recordings.formats.csv import EVENTS, MINIMALLOC
from jaxmem.recordings.formats.format import Format
from jaxmem.recordings.formats.heaptrack import HEAPTRACK
from jaxmem.recordings.formats.live import LIVE
from jaxmem.recordings.formats.logalloc import LOGALLOC
from jaxmem.recordings.formats.ltrace import LTRACE
from jaxmem.recordings.formats.malloc_lab import MALLOC_LAB
from jaxmem.recordings.formats.memray import MEMRAY
from jaxmem.recordings.formats.mtrace import MTRACE
from jaxmem.recordings.formats.preload import PRELOAD
from jaxmem.recordings.formats.pytorch_cuda import PYTORCH_CUDA
from jaxmem.recordings.formats.rmm import RMM
from jaxmem.recordings.formats.torch_profiler import TORCH_PROFILER
from jaxmem.recordings.formats.umpire import UMPIRE
from jaxmem.recordings.formats.unknown import no_trace
from jaxmem.recordings.formats.valgrind import VALGRIND
from jaxmem.recordings.formats.wee_alloc import WEE_ALLOC
from jaxmem.recordings.formats.xla import XLA
from jaxmem.recordings.recording import Recording
from jaxmem.recordings.source import Report, Source, TraceError
from jaxmem.recordings.store import ZIP_MAGIC, read_store

STORE = Format("jaxmem", lambda head: head.startswith(ZIP_MAGIC), read_store)
FORMATS = {
    format.name: format
    for format in (
        *(STORE, PRELOAD, LIVE, MEMRAY, PYTORCH_CUDA, XLA),  # told by their first bytes
        # By their first line.
        *(EVENTS, MINIMALLOC, RMM, WEE_ALLOC, MALLOC_LAB, MTRACE, HEAPTRACK, ANDROID),
        *(VALGRIND, LTRACE, LOGALLOC, UMPIRE, TORCH_PROFILER),  # by what stands further down
    )
}
BUILT_IN = frozenset(FORMATS)  # those of the package


def alignment_of(recording: Recording) -> int:
    """Returns the bytes to which sizes are rounded in a recording played in bytes, by its source.

    512 for CUDA, 1 for buffers whose sizes a compiler has rounded, 16 for all others.
    """
    return FORMATS.get(recording.about.format, STORE).alignment


def read_trace(
    path: str | os.PathLike[str],
    format: str | None = None,
    report: Report | None = None,
    device: int | None = None,
    most_bytes: int = MOST_BYTES,
) -> Recording:
    """Reads a recorded trace of any format into request order.

    Args:
        path: the file, plain, gzip or zstd, which is told by its first bytes.
        format: a name in FORMATS; by default told by the content.
        report: is told how many bytes of how many have been read.
        device: of a snapshot of CUDA memory or a trace of PyTorch's profiler, counted from 0; by
            default that with the most allocations and frees, which can be the CPU.
        most_bytes: that a packed file is unpacked into, and that a pickle becomes in memory; one
            with more is refused.

    A block freed before request j has lifetime j - its own number. A realloc is a new block, then
    the end of the old one. In logs of programs, which may begin while a program runs, frees of
    unknown blocks are left out and counted (`Recording.about.notes`); in the others they are
    errors.

    `op,id,size`: `a` allocates, `f` frees (its size is ignored), in order of time; an id is any
    text without a comma and may be used again once freed. A column `site` tells call sites apart.
    `id,lower,upper,size`: a buffer is live for times lower <= t < upper, or, of MiniMalloc's older
    `buffer,start,end,size`, start <= t <= end; at equal times frees come first, then allocations in
    the order of the file. Its columns alignment, gaps, hint and offset are left out with a note.
    Columns may come in any order; sizes are whole bytes, 0 (which counts as 1) to 2^62. A
    byte-order mark, CRLF, spaces around fields and blank lines are accepted.

    Raises:
        TraceError: the file cannot be opened or read, or breaks the rules of its format, or is
            asked for a device that it does not have; one line with the file and the place.
        ValueError: there is no such format.
        MissingExtraError: the format or the packing needs a package that is not there.
    """
    if format is not None and format not in FORMATS:
        raise ValueError(f"unknown format {format!r}{nearest(str(format), FORMATS)}")
    with Source.open(Path(path), report, most_bytes) as source:
        source.device = device
        return _recording(source, FORMATS.values() if format is None else [FORMATS[format]])


def read_trace_bytes(
    data: bytes, name: str, most_lines: int, most_bytes: int = MOST_BYTES_OF_STRANGERS
) -> Recording:
    """Reads the same from a file in memory, as it comes from a stranger.

    Formats that cannot be read safely, or come in two files, are refused.

    Args:
        data: the whole file, plain or packed.
        name: that it is called in messages; nothing is opened by it.
        most_lines: of a longer file, which a few packed bytes may be, nothing more is read; the
            same holds for events where there are no lines.
        most_bytes: as in `read_trace`.
    """
    return _recording(Source.of_bytes(data, name, most_lines, most_bytes), FORMATS.values())


def _recording(source: Source, formats: Iterable[Format]) -> Recording:
    """Reads the recording, by the only format there is or the first that the content is of."""
    formats, head = list(formats), source.head
    format = next((each for each in formats if len(formats) == 1 or each.told_by(head)), None)
    if format is None:
        raise no_trace(source, FORMATS)
    if source.path is None and not format.from_strangers:
        raise TraceError(
            f"{source.where}: {format.name} is not read here; jaxmem trace import makes a store "
            "of it, which is"
        )
    if source.device is not None and format not in (PYTORCH_CUDA, TORCH_PROFILER):
        raise TraceError(
            f"{source.where}: device={source.device} is for snapshots of CUDA memory and traces of "
            f"PyTorch's profiler; this is {format.name}"
        )
    source.format = format.name
    try:
        return format.read(source)
    except Exception as error:
        if format.name in BUILT_IN or isinstance(error, (TraceError, OSError)):
            raise
        said = f"format {format.name} raises {type(error).__name__}: {error}"
        raise source.fault(said) from error


__all__ = ["FORMATS", "Format", "TraceError", "alignment_of", "read_trace", "read_trace_bytes"]
