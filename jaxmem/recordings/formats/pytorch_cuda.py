"""PyTorch's CUDA memory snapshots: pickles of `torch.cuda.memory._snapshot()`, or JSON of it.

A snapshot holds the last events of each device and how its memory looked at the end. A block is
taken when it is allocated and free when PyTorch can give its place to another (free_completed).
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from jaxmem.recordings.events import Events
from jaxmem.recordings.formats.cuda_segments import dicts, reserved_bytes
from jaxmem.recordings.formats.format import Format
from jaxmem.recordings.plain_pickle import read_plain_pickle
from jaxmem.recordings.recording import LARGEST_SIZE, Recording
from jaxmem.recordings.source import Source, TraceError

WHAT = "a CUDA memory snapshot"
HOW_TO_RECORD = (
    "call torch.cuda.memory._record_memory_history(max_entries=100000) before what is to be "
    "recorded, and torch.cuda.memory._dump_snapshot(FILE) after it"
)
PICKLE = b"\x80"
# By the key that comes first, as torch writes them or sorted.
JSON = re.compile(
    rb'\s*(\{\s*"(segments|device_traces|allocator_settings|external_annotations)"\s*:'
    rb'|\[\s*\{\s*"(device|active_size|address|segment_type)"\s*:)'
)
ALIGNMENT = 512  # bytes to which PyTorch's caching allocator rounds
MOST_NAMED = 16  # devices in a message
MOST_FRAMES = 64  # calls of a stack by which sites are told apart
FREES = ("free_completed", "free")  # the second in snapshots of PyTorch 1
MOVES = ("alloc", *FREES)
ACTIVE = ("active_allocated", "active_awaiting_free", "active_pending_free")
OTHER_DEVICES = "events of other devices, left out"
EARLIER_BLOCKS = (
    "blocks from before the recording began, put at its beginning in the order of addresses"
)


def read_snapshot(source: Source) -> Recording:
    snapshot = _content(source)
    traces = _traces(source, snapshot)
    moves = _moves(traces)
    device = _device_of_snapshot(source, traces, moves)
    trace = traces[device]
    source.unit = f"device_traces[{device}], event"
    for number, event in enumerate(trace):
        source.number = number
        _check(source, event)
    before = _blocks_before(trace, _active(snapshot, device))
    _check_recorded(source, device, trace, before)
    events = Events(source)
    others = [str(other) for other, count in enumerate(moves) if count and other != device]
    others = [*others[:MOST_NAMED], *(["..."] if len(others) > MOST_NAMED else [])]
    choice = f" (device={' or '.join(others)} takes theirs)" if others else ""
    events.counted[OTHER_DEVICES + choice] = sum(map(len, traces)) - len(trace)
    events.counted[EARLIER_BLOCKS] = len(before)
    source.number = 0
    for block in sorted(before):
        events.allocate(block, before[block])
    for number, event in enumerate(trace):
        source.number = number
        if event["action"] == "alloc":
            events.allocate(event["addr"], event["size"], _site(event.get("frames")))
        elif event["action"] in FREES:
            events.free(event["addr"])
    recording = events.recording(f"PyTorch on CUDA device {device}")
    reserved = reserved_bytes(trace, snapshot.get("segments"), device)
    if reserved < recording.peak_live:  # the snapshot does not tell of all segments
        return recording
    return replace(recording, about=replace(recording.about, reserved=reserved))


def _content(source: Source) -> Any:
    """Reads what the file holds, pickle or JSON."""
    if JSON.match(source.head) is None:
        return read_plain_pickle(source, WHAT)
    if source.most is not None:  # a short text can stand for much more memory
        raise TraceError(
            f"{source.where}: a snapshot in JSON is not read here; jaxmem trace import makes a "
            "store of it, which is"
        )
    try:
        return json.loads(source.whole(source.most_bytes, WHAT))
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise TraceError(f"{source.where}: {WHAT} in JSON that is damaged ({reason})") from None


def _traces(source: Source, snapshot: object) -> list[list[Any]]:
    """Returns the events of each device; raises TraceError where there are none."""
    if isinstance(snapshot, list) and any("blocks" in segment for segment in dicts(snapshot)):
        raise TraceError(
            f"{source.where}: a list of segments, as torch.cuda.memory_snapshot() returns; it has "
            f"no events: {HOW_TO_RECORD}"
        )
    traces = snapshot.get("device_traces") if isinstance(snapshot, dict) else None
    if isinstance(traces, list) and all(isinstance(trace, list) for trace in traces):
        return traces
    raise TraceError(
        f"{source.where}: no device_traces in the file: it is no snapshot of CUDA memory"
    )


def _device_of_snapshot(source: Source, traces: list[list[object]], moves: list[int]) -> int:
    """Chooses the device asked for, or that with most allocations, frees; raises TraceError."""
    if source.device is None:
        if any(traces):
            return max(range(len(traces)), key=lambda number: (moves[number], len(traces[number])))
        raise TraceError(f"{source.where}: no event in the snapshot; {HOW_TO_RECORD}")
    if source.device < len(traces) and moves[source.device]:
        return source.device
    there = ", ".join([str(number) for number, count in enumerate(moves) if count][:MOST_NAMED])
    raise TraceError(
        f"{source.where}: device={source.device} has no allocation or free in the snapshot; "
        f"devices that have: {there or 'none'}"
    )


def _moves(traces: list[list[object]]) -> list[int]:
    """Counts the allocations and frees among the events of each device."""
    counted: dict[int, int] = {}  # by trace: the same one may stand in the list a million times
    for trace in traces:
        if id(trace) not in counted:
            counted[id(trace)] = sum(map(_is_move, dicts(trace)))
    return [counted[id(trace)] for trace in traces]


def _is_move(event: dict[str, object]) -> bool:
    return event.get("action") in MOVES


def _check_recorded(
    source: Source, device: int, trace: list[object], before: dict[int, int]
) -> None:
    """Raises TraceError where the recording shows no program, only what was there before it."""
    moves = list(filter(_is_move, dicts(trace)))
    if not moves:
        raise TraceError(f"{source.where}: no event in the snapshot; {HOW_TO_RECORD}")
    allocations = sum(event["action"] == "alloc" for event in moves)
    # A history of one event is what is kept where nobody has asked for more.
    if not allocations or (len(trace) == 1 and before):
        raise TraceError(
            f"{source.where}: nothing was recorded on device {device}: its history has "
            f"{len(trace):,} event{'s' * (len(trace) > 1)}, {allocations} of them an allocation; "
            f"{HOW_TO_RECORD}"
        )


def _check(source: Source, event: object) -> None:
    """Raises TraceError for an event that is none."""
    if not isinstance(event, dict) or not isinstance(event.get("action"), str):
        raise source.fault("it is no dict with an action")
    if event["action"] != "alloc" and event["action"] not in FREES:
        return
    for field, most in (("addr", 2**64 - 1), ("size", LARGEST_SIZE)):
        value = event.get(field)
        if type(value) is not int or not 0 <= value <= most:
            raise source.fault(f"{field} is {_short(value)}; a whole number from 0 to {most}")


def _active(snapshot: dict[str, object], device: int) -> Iterator[tuple[int, int]]:
    """Yields address and bytes of the blocks that were taken when the snapshot was made."""
    met: set[int] = set()  # the same list may stand in a million segments
    for segment in dicts(snapshot.get("segments")):
        blocks, address = segment.get("blocks"), segment.get("address")
        if segment.get("device", device) != device or id(blocks) in met:
            continue
        met.add(id(blocks))
        for block in dicts(blocks):
            size, start = block.get("size"), block.get("address", address)
            asked = block.get("requested_size", size)
            if not (isinstance(size, int) and isinstance(start, int) and isinstance(asked, int)):
                break  # without them no later block of the segment can be found
            if block.get("state") in ACTIVE:
                yield start, asked
            address = start + size


def _blocks_before(trace: list[Any], active: Iterable[tuple[int, int]]) -> dict[int, int]:
    """Returns address and bytes of the blocks that were taken before the first event.

    They are those that are freed and were not allocated, and those that are there at the end and
    are in no event.
    """
    before: dict[int, int] = {}
    met: set[int] = set()
    for event in trace:
        if event["action"] == "alloc":
            met.add(event["addr"])
        elif event["action"] in FREES:
            if event["addr"] not in met:
                before[event["addr"]] = event["size"]
            met.add(event["addr"])
    return before | {start: size for start, size in active if start not in met and size > 0}


def _site(frames: object) -> tuple[tuple[str, str, int], ...] | None:
    """Returns the stack of calls that led to an allocation: function, file and line of each.

    Of a file without its folder, which is another on another machine.
    """
    known: list[tuple[str, str, int]] = []
    for call in dicts(frames[:MOST_FRAMES] if isinstance(frames, list) else None):
        file, line = call.get("filename"), call.get("line")
        name = call.get("name")
        if isinstance(file, str) and isinstance(line, int):
            called = name if isinstance(name, str) else "?"
            known.append((called, file.rpartition("/")[2], line))
    return tuple(known) or None


def _short(value: object) -> str:
    return repr(value) if isinstance(value, int | float | None) else f"a {type(value).__name__}"


PYTORCH_CUDA = Format(
    "pytorch-cuda",
    lambda head: head.startswith(PICKLE) or JSON.match(head) is not None,
    read_snapshot,
    alignment=ALIGNMENT,
)
