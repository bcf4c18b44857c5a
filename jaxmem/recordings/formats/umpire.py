"""Umpire's replay files: `UMPIRE_REPLAY=On`, a line of JSON for each operation.

Up to 2021 an operation has two lines, one before it and one with its result, of the form
`{"kind":"replay", "event": "allocate", "payload": {...}, "result": {"memory_ptr": ...}}`; later
ones are `{"category":"operation", "name":"allocate", "numeric_args": {...}, "string_args": {...}}`.
An allocator of Umpire has memory of its own; that with most events becomes the recording.
"""

import json
import re
from collections import Counter
from typing import NamedTuple

from jaxmem.recordings.events import FAILED_ALLOCATIONS, OTHER_LINES, Events
from jaxmem.recordings.formats.format import Format
from jaxmem.recordings.lines import Lines
from jaxmem.recordings.recording import Recording
from jaxmem.recordings.source import Source

UMPIRE_BEGINS = re.compile(
    rb'^\{ ?"kind":"replay", ?"uid"|^\{"category":"operation","name":"\w+"'
    rb'|^\{(?=[^\n]*"category":"operation")(?=[^\n]*"replay":"true")',
    re.MULTILINE,
)
ADDRESS = re.compile(r"0x[0-9a-f]{1,16}")
OTHER_ALLOCATORS = "events of other allocators, left out"
ALLOCATES = ("allocate", "named_allocate")
MOVES = ("reallocate", "reallocate_ex")


class _Operation(NamedTuple):
    kind: str
    allocator: str
    block: int | None  # the address that is given back or moved
    size: int | None  # bytes
    result: int | None  # the new address; None where the line comes before the operation


class _Allocator:
    """The calls of one allocator of the program."""

    def __init__(self, source: Source) -> None:
        self.events = Events(source)
        self.count = 0
        self.asked = 0  # allocations that were begun and of which no result is known

    def allocate(self, operation: _Operation) -> None:
        if operation.result is None:
            self.asked += 1
            return
        self.asked = max(self.asked - 1, 0)
        self.count += 1
        if operation.result:
            self.events.allocate(operation.result, operation.size or 0)
        else:
            self.events.counted[FAILED_ALLOCATIONS] += 1


def read_umpire(source: Source) -> Recording:
    lines = Lines(source, log=True)
    allocators: dict[str, _Allocator] = {}
    moving: _Operation | None = None  # a realloc, of which the operations below it are a part
    others = 0
    for text in lines:
        operation = _operation(text)
        if operation is None:
            others += text.startswith("{") and _cut_off(text)
            continue
        allocator = allocators.setdefault(operation.allocator, _Allocator(source))
        if operation.kind in MOVES:
            if operation.result is None:
                moving = operation
            elif moving is not None:
                allocator.count += 2
                _move(allocator.events, moving, operation.result)
                moving = None
        elif moving is None and operation.kind in ALLOCATES:
            allocator.allocate(operation)
        elif moving is None and operation.block:
            allocator.count += 1
            allocator.events.free(operation.block)
    counts = Counter({name: allocator.count for name, allocator in allocators.items()})
    if not counts:
        raise lines.fault("no allocation; a trace needs one or more")
    name, count = counts.most_common(1)[0]
    chosen = allocators[name]
    chosen.events.counted[OTHER_LINES] = others
    chosen.events.counted[FAILED_ALLOCATIONS] += chosen.asked
    chosen.events.counted[OTHER_ALLOCATORS] = counts.total() - count
    return chosen.events.recording()


def _move(events: Events, moving: _Operation, result: int) -> None:
    if not moving.block:
        events.allocate(result, moving.size or 0)
    elif result:
        events.reallocate(moving.block, result, moving.size or 0)
    else:
        events.free(moving.block)


def _operation(text: str) -> _Operation | None:
    """Reads what a line tells; None where it is no allocation, free or realloc."""
    value = _json(text)
    if not isinstance(value, dict):
        return None
    payload, result = _dict(value.get("payload")), _dict(value.get("result"))
    strings, numbers = _dict(value.get("string_args")), _dict(value.get("numeric_args"))
    kind = value.get("event", value.get("name"))
    if kind not in (*ALLOCATES, "deallocate", *MOVES):
        return None
    allocator = payload.get("allocator_ref", strings.get("allocator_ref"))
    size = payload.get("size", numbers.get("size"))
    place = payload.get("memory_ptr", payload.get("ptr", strings.get("current_ptr")))
    made = result.get("memory_ptr", strings.get("new_ptr"))
    if kind in ALLOCATES and made is None:
        made = strings.get("pointer")
    if kind == "deallocate" and place is None:
        place = strings.get("pointer")
    return _Operation(
        kind,
        str(allocator),
        _address(place),
        size if type(size) is int else None,
        _address(made),
    )


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _cut_off(text: str) -> bool:
    return _json(text) is None


def _dict(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _address(value: object) -> int | None:
    """Reads the number of an address; None where there is none."""
    if value in ("(nil)", "0", "nullptr"):
        return 0
    return int(value, 16) if isinstance(value, str) and ADDRESS.fullmatch(value) else None


UMPIRE = Format("umpire", lambda head: UMPIRE_BEGINS.search(head) is not None, read_umpire)
