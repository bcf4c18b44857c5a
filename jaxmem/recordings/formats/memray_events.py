"""Has memray read a recording, and writes its events to the standard output.

A program of its own, because a damaged recording can end the process that reads it, and because
memray says what is wrong only on the standard error. It is run by its path and imports nothing of
jaxmem, so that it starts at once.

First a line of JSON (program, total), then an EVENT for each event, then one of kind NAMES and, in
JSON, the frames of each stack of calls by its number, the innermost first.
"""

import json
import struct
import sys
from importlib import import_module
from typing import Any

EVENT = struct.Struct("<cQQQQ")  # kind, thread, address, bytes, stack of calls
ALLOCATED, FREED, MOVED, MAPPED = b"a", b"f", b"m", b"p"  # kinds; moved: what realloc gives out
NAMES = b"n"
FRAMES = 8  # of a stack, the innermost
AGGREGATED = 3  # exit status: the recording has no single events


def kinds_of(allocators: Any) -> dict[int, bytes]:
    """Returns the kind of each of memray's allocators that is not a plain allocation."""
    return {
        **dict.fromkeys((allocators.FREE, allocators.PYMALLOC_FREE), FREED),
        **dict.fromkeys((allocators.REALLOC, allocators.PYMALLOC_REALLOC), MOVED),
        **dict.fromkeys((allocators.MMAP, allocators.MUNMAP), MAPPED),
    }


def main(path: str) -> int:
    """Writes the events of the recording at `path`; the exit status."""
    memray, write, pack = import_module("memray"), sys.stdout.buffer.write, EVENT.pack
    kinds = kinds_of(memray.AllocatorType)
    try:
        with memray.FileReader(path) as reader:
            told = reader.metadata
            head = {"program": str(told.command_line), "total": told.total_allocations}
            write(json.dumps(head).encode() + b"\n")
            stacks = {}
            for event in reader.get_allocation_records():
                kind = kinds.get(event.allocator, ALLOCATED)
                if kind in (ALLOCATED, MOVED) and event.stack_id not in stacks:
                    stacks[event.stack_id] = [
                        f"{function}:{file.rpartition('/')[2]}:{line}"
                        for function, file, line in event.stack_trace(max_stacks=FRAMES)
                    ]
                write(pack(kind, event.tid, event.address, event.size, event.stack_id))
            write(pack(NAMES, 0, 0, 0, 0) + json.dumps(stacks).encode())
    except NotImplementedError:
        return AGGREGATED
    except Exception as error:
        print(f"memray: {' '.join(str(error).split()) or type(error).__name__}", file=sys.stderr)
        return 1
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
