"""Recordings of memray (`memray run`), by memray's own reader."""

import os
from pathlib import Path
from typing import Any

from jaxmem.extras import extra
from jaxmem.workloads.traces.events import Events
from jaxmem.workloads.traces.formats.format import Format
from jaxmem.workloads.traces.recording import Recording
from jaxmem.workloads.traces.source import Source

MAGIC = b"memray\0"
LZ4_MAGIC = b"\x04\x22\x4d\x18"  # memray packs what it writes, unless it is told not to
REPORTED = 50_000  # events after which is told how far we are
MAPS = "mmap and munmap, which take whole pages, left out"
GUESSED = "frees just before a realloc on their thread, taken for its own and put after it"


def _read(source: Source) -> Recording:
    memray: Any = extra("memray", "traces", "a memray recording")
    events = Events(source)
    with source.on_disk() as path:
        _check_whole(source, path)
        try:
            with memray.FileReader(str(path)) as reader:
                _take(events, memray.AllocatorType, reader)
                program = str(reader.metadata.command_line)
        except NotImplementedError:
            raise source.fault(
                "the recording is aggregated: it has no single events; run memray without "
                "--aggregate"
            ) from None
        except (OSError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise source.fault(f"memray cannot read the recording ({reason})") from None
    return events.recording(program)


def _take(events: Events, kinds: Any, reader: Any) -> None:
    """Takes every event of a recording."""
    source = events.source
    source.unit = "event"
    frees = {kinds.FREE, kinds.PYMALLOC_FREE}
    moves = {kinds.REALLOC, kinds.PYMALLOC_REALLOC}
    maps = {kinds.MMAP, kinds.MUNMAP}
    total = reader.metadata.total_allocations
    waiting: Any = None  # a free, which may be one half of a realloc
    for number, event in enumerate(reader.get_allocation_records(), 1):
        source.number = number
        if number % REPORTED == 0:
            source.reached(number, total)
        kind = event.allocator
        if waiting is not None:
            if kind in moves and event.tid == waiting.tid:
                events.counted[GUESSED] += 1
                events.reallocate(waiting.address, event.address, event.size, event.stack_id)
                waiting = None
                continue
            events.free(waiting.address)
            waiting = None
        if kind in frees:
            waiting = event
        elif kind in maps:
            events.counted[MAPS] += 1
        else:
            events.allocate(event.address, event.size, event.stack_id)
    if waiting is not None:
        events.free(waiting.address)


def _check_whole(source: Source, path: Path) -> None:
    """Raises TraceError if a file that memray has packed is cut off, which its reader passes over.

    An LZ4 frame is a header, blocks that begin with their size, and a size of 0.
    """
    with path.open("rb") as file:
        if file.read(4) != LZ4_MAGIC:
            return
        flags = file.read(3)[:1] or b"\0"
        file.seek((flags[0] >> 3 & 1) * 8 + (flags[0] & 1) * 4, os.SEEK_CUR)
        checksum = (flags[0] >> 4 & 1) * 4
        size = -1
        while size:
            word = file.read(4)
            if len(word) < 4:
                at = min(file.tell(), path.stat().st_size)
                raise source.fault("the recording is cut off here; copy it again", at)
            size = int.from_bytes(word, "little") & 0x7FFFFFFF  # the first bit: it is not packed
            file.seek(size + checksum if size else 0, os.SEEK_CUR)


def _told(head: bytes) -> bool:
    # The first bytes of an LZ4 frame are its header, then the contents as they are.
    return head.startswith(MAGIC) or (head.startswith(LZ4_MAGIC) and b"memray" in head[:64])


MEMRAY = Format("memray", _told, _read, from_strangers=False)
