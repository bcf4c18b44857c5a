"""Recordings of heaptrack: `heaptrack PROGRAM`, as they come from it or from its --raw.

Text with a letter before each line and numbers in hexadecimal. A raw file has `+ SIZE TRACE
ADDRESS` and `- ADDRESS`, and so have the files of heaptrack 1.0. What heaptrack makes of it has
`a SIZE TRACE` for each pair of a size and a call stack, and then `+ NUMBER` and `- NUMBER` of
such a pair: which of several live blocks alike is freed is lost, and the last one is taken for it.
A realloc is written as a free and an allocation, and so it is read.
"""

import re
from collections import defaultdict
from collections.abc import Hashable, Iterator

from jaxmem.recordings.events import Events
from jaxmem.recordings.formats.format import Format
from jaxmem.recordings.lines import Lines
from jaxmem.recordings.recording import Recording
from jaxmem.recordings.source import Source, quoted

HEAPTRACK_BEGINS = re.compile(rb"(?:#[^\n]*\n)*v [0-9a-f]{3,6}(?: [0-9a-f]{1,3})?\r?\n")
NUMBER = re.compile(r"[0-9a-f]{1,16}")
FIELDS = {"a": (2,), "+": (1, 3), "-": (1,)}
ALIKE = "frees that fit several live blocks of one size and call stack, put to the last of them"


def read_heaptrack(source: Source) -> Recording:
    lines, events = Lines(source, log=True), Events(source)
    pairs: list[tuple[int, int]] = []  # bytes, call stack
    live: dict[int, list[int]] = defaultdict(list)  # pair -> its live blocks, by request
    raw, program = False, ""
    for text in lines:
        kind, numbers = text[:1], text[1:].split()
        if text.startswith("X "):
            program = program or text[2:]
        if kind not in FIELDS or text[1:2] != " ":
            continue  # strings, modules, call stacks, times
        values = list(_values(lines, text, kind, numbers))
        if kind == "a":
            pairs.append((values[0], values[1]))
        elif len(values) == 3:
            raw = True
            events.allocate(values[2], values[0], values[1])
        elif raw:
            events.free(values[0])
        elif kind == "+":
            if values[0] >= len(pairs):
                raise lines.fault(f"{quoted(text)}, and {len(pairs):,} lines with a came before it")
            live[values[0]].append(len(events.size))
            events.allocate(len(events.size), *pairs[values[0]])
        else:
            events.counted[ALIKE] += len(live[values[0]]) > 1
            events.free(_last(live[values[0]]))
    return events.recording(program)


def _values(lines: Lines, text: str, kind: str, numbers: list[str]) -> Iterator[int]:
    if len(numbers) not in FIELDS[kind]:
        raise lines.fault(f"{quoted(text)} is not whole; copy the file again")
    for number in numbers:
        if not NUMBER.fullmatch(number):
            raise lines.fault(f"{quoted(number)} in {quoted(text)} is no hexadecimal number")
        yield int(number, 16)


def _last(blocks: list[int]) -> Hashable:
    """Returns the block that came last; where there is none, a name that no block has."""
    return blocks.pop() if blocks else None


HEAPTRACK = Format(
    "heaptrack", lambda head: HEAPTRACK_BEGINS.match(head) is not None, read_heaptrack
)
