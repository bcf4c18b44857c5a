"""Recordings of memray (`memray run`), by memray's own reader."""

from typing import Any

from jaxmem.extras import extra
from jaxmem.workloads.traces.events import Events
from jaxmem.workloads.traces.formats.format import Format
from jaxmem.workloads.traces.recording import Recording
from jaxmem.workloads.traces.source import Source

MAGIC = b"memray\0"
LZ4_MAGIC = b"\x04\x22\x4d\x18"  # memray packs what it writes, unless it is told not to
MAPS = "mmap and munmap, which take whole pages, left out"
GUESSED = (
    "memray has a realloc as a free and an allocation: a free just before one on its thread was "
    "taken for its own, and the new block for there before the old one is gone"
)


def _read(source: Source) -> Recording:
    memray: Any = extra("memray", "traces", "a memray recording")
    events = Events(source)
    with source.on_disk() as path:
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
    source, total = events.source, reader.metadata.total_allocations
    source.unit = "event"
    frees = {kinds.FREE, kinds.PYMALLOC_FREE}
    moves = {kinds.REALLOC, kinds.PYMALLOC_REALLOC}
    maps = {kinds.MMAP, kinds.MUNMAP}
    waiting: Any = None  # a free, which may be one half of a realloc
    for number, event in enumerate(reader.get_allocation_records(), 1):
        source.number = number
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
    if source.number < total:
        raise source.fault(f"the recording ends here and says it has {total:,} events; copy it")


def _told(head: bytes) -> bool:
    # The first bytes of an LZ4 frame are its header, then the contents as they are.
    return head.startswith(MAGIC) or (head.startswith(LZ4_MAGIC) and b"memray" in head[:64])


MEMRAY = Format("memray", _told, _read, from_strangers=False)
