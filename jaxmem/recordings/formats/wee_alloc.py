"""Traces of Rust's wee_alloc: `Alloc(size)` and `Free(index)`, a line each.

The index of a block is its place among the allocations, counted from 0.
"""

import re

from jaxmem.recordings.events import Events
from jaxmem.recordings.formats.format import Format
from jaxmem.recordings.lines import Lines
from jaxmem.recordings.recording import Recording
from jaxmem.recordings.source import Source, quoted

LINE = re.compile(r"(Alloc|Free)\(([0-9]{1,40})\),?")
WEE_ALLOC_BEGINS = re.compile(rb"\s*(?:Alloc|Free)\(")


def read_wee_alloc(source: Source) -> Recording:
    lines, events = Lines(source), Events(source)
    for text in lines:
        line = LINE.fullmatch(text)
        if line is None:
            raise lines.fault(f"{quoted(text)}; a line is Alloc(SIZE) or Free(INDEX)")
        number = int(line[2])
        if line[1] == "Alloc":
            events.allocate(len(events.size), number)
        elif number in events.live:
            events.free(number)
        else:
            raise lines.fault(
                f"free of block {number}, "
                + ("already freed" if number < len(events.size) else "which is not allocated yet")
                + "; only a live block can be freed"
            )
    return events.recording()


WEE_ALLOC = Format(
    "wee-alloc", lambda head: WEE_ALLOC_BEGINS.match(head) is not None, read_wee_alloc
)
