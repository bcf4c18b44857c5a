"""Traces of the malloc lab of Computer Systems: A Programmer's Perspective (`.rep`), and scripts.

Four numbers, a line each (heap size or weight, ids, operations, weight or heap size), then
`a id size` allocates, `r id size` reallocates, `f id` frees. An id is given out once or, after its
free, again. The scripts of Stanford's CS107 (`.script`) have the same operations, no numbers
before them, and comments that begin with #.
"""

import re
from collections.abc import Iterator

from jaxmem.recordings.events import Events
from jaxmem.recordings.formats.format import Format
from jaxmem.recordings.lines import Lines, whole_number
from jaxmem.recordings.recording import LARGEST_SIZE, Recording
from jaxmem.recordings.source import Source, quoted

HEADER = 4  # numbers, of which the third says how many operations follow
LAB_BEGINS = re.compile(rb"(?:\s*(?:\d+[ \t\r]*|#[^\n]*)\n)*\s*a +-?\d+ +-?\d+(?:\s|$)")
FIELDS = {"a": 3, "r": 3, "f": 2}


def read_malloc_lab(source: Source) -> Recording:
    lines, events = Lines(source), Events(source)
    header: list[int] = []
    operations = 0
    for fields in _line_fields(lines, header):
        operations += 1
        op, block = fields[0], _lab_number(lines, "id", fields[1], -1)
        if op == "f" and block == -1:
            continue  # free(NULL) does nothing
        if op != "a" and block not in events.live:
            raise lines.fault(f"{op} of id {block}, which is not live; only a live id can be given")
        if op == "f":
            events.free(block)
            continue
        size = _lab_number(lines, "size", fields[2], 0)
        if op == "r":
            events.reallocate(block, block, size)
        elif block in events.live:
            raise lines.fault(f"id {block} is allocated while it is still live")
        else:
            events.allocate(block, size)
    if len(header) == HEADER and header[2] != operations:
        raise lines.fault(
            f"the file ends after {operations:,} operations and its header says {header[2]:,}; "
            "copy the file again"
        )
    return events.recording()


def _line_fields(lines: Lines, header: list[int]) -> Iterator[list[str]]:
    """Yields the fields of each operation; the numbers before the first are put into `header`."""
    begun = False
    for text in lines:
        if text.startswith("#"):
            continue
        fields = text.split()
        if not begun and len(fields) == 1:
            header.append(_lab_number(lines, "a header of", text, 0))
            continue
        begun = True
        if len(fields) != FIELDS.get(fields[0]):
            raise lines.fault(f"{quoted(text)}; an operation is a ID SIZE, r ID SIZE or f ID")
        yield fields


def _lab_number(lines: Lines, what: str, text: str, least: int) -> int:
    value = whole_number(text)
    if value is None or not least <= value <= LARGEST_SIZE:
        raise lines.fault(f"{what} {quoted(text)}; it is a whole number from {least} to 2^62")
    return value


MALLOC_LAB = Format("malloc-lab", lambda head: LAB_BEGINS.match(head) is not None, read_malloc_lab)
