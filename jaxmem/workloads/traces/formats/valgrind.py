"""Logs of `valgrind --trace-malloc=yes`: a line for each call of malloc, free and their like.

The log holds other things too: what valgrind says, and what the program prints where both go to
the same place. They are passed over.
"""

import re

from jaxmem.workloads.traces.events import FAILED, Events
from jaxmem.workloads.traces.formats.format import Format
from jaxmem.workloads.traces.lines import Lines
from jaxmem.workloads.traces.recording import Recording
from jaxmem.workloads.traces.source import Source

# As in --71-- malloc(24) = 0x4A9C040; a realloc of nothing has the malloc behind it on its line.
PREFIX = re.compile(r"--(\d+)-- ")
CALL = re.compile(r"\b(\w+)\(([^()]*)\)(?: = (0x[0-9A-Fa-f]+))?")
BEGINS = re.compile(rb"^--\d+-- \w+\([^()\n]*\)", re.MULTILINE)
COMMAND = re.compile(r"==\d+== Command: (.+)")
ALLOCATES = re.compile(r"malloc|memalign|__builtin_(vec_)?new|_Zn[wa]\w+")  # one block of a size
FREES = re.compile(r"c?free|__builtin_(vec_)?delete|_Zd[la]Pv\w*")
SIZE = re.compile(r"(?:size )?(\d{1,40})")
NULL = 0
OTHER_PROCESS = "lines of other processes, left out"
BROKEN = "allocations whose result is not in the file, left out"


def _read(source: Source) -> Recording:
    events = Events(source)
    process = program = ""
    for text in Lines(source, log=True):
        prefix = PREFIX.match(text)
        if prefix is None:
            command = COMMAND.match(text)
            program = program or (command[1] if command else "")
            continue
        calls = CALL.findall(text, prefix.end())
        process = process or (prefix[1] if calls else "")
        if prefix[1] != process:
            events.counted[OTHER_PROCESS] += bool(calls)
            continue
        for name, arguments, result in calls:
            _call(events, name, arguments, result)
    return events.recording(program)


def _call(events: Events, name: str, arguments: str, result: str) -> None:
    """What one call does to the blocks."""
    if FREES.fullmatch(name):
        block = _address(arguments)
        if block != NULL:
            events.free(block)
    elif name == "realloc":
        _reallocate(events, arguments, result)
    elif name == "calloc" or ALLOCATES.fullmatch(name):
        size = _bytes_of(name, arguments)
        if size is None or not result:
            events.counted[BROKEN] += 1
        elif _address(result) == NULL:
            events.counted[FAILED] += 1
        else:
            events.allocate(_address(result), size)


def _reallocate(events: Events, arguments: str, result: str) -> None:
    old, _, size = arguments.partition(",")
    block, amount = _address(old), SIZE.fullmatch(size)
    if block == NULL or (amount and int(amount[1]) == 0 and not result):
        return  # it comes to a malloc or a free, which is on the line too
    if not result or amount is None:
        events.counted[BROKEN] += 1
    elif _address(result) == NULL:
        events.counted[FAILED] += 1
    else:
        events.reallocate(block, _address(result), int(amount[1]))


def _bytes_of(name: str, arguments: str) -> int | None:
    """The bytes that a call asks for; None where they cannot be told."""
    numbers = [SIZE.fullmatch(part.strip()) for part in arguments.split(",")]
    sizes = [int(number[1]) for number in numbers if number]
    if name == "calloc":
        return sizes[0] * sizes[1] if len(sizes) == 2 else None
    return sizes[0] if len(sizes) == 1 else None  # the other number is `al N`, an alignment


def _address(text: str) -> int:
    """The number that an address is; 0 for what is none."""
    return int(text, 16) if re.fullmatch(r"0x[0-9A-Fa-f]{1,16}", text) else NULL


VALGRIND = Format("valgrind", lambda head: BEGINS.search(head) is not None, _read)
