"""PyTorch's CUDA memory snapshots: pickles of `torch.cuda.memory._snapshot()`.

A snapshot holds the last events of each device and how its memory looked at the end. A block is
taken when it is allocated and free when PyTorch can give its place to another (free_completed).
"""

from collections.abc import Iterable, Iterator
from typing import Any

from jaxmem.workloads.traces.events import Events
from jaxmem.workloads.traces.formats.format import Format
from jaxmem.workloads.traces.plain_pickle import read_plain_pickle
from jaxmem.workloads.traces.recording import LARGEST_SIZE, Recording
from jaxmem.workloads.traces.source import Source

WHAT = "a CUDA memory snapshot"
MOST_FRAMES = 64  # calls of a stack by which sites are told apart
FREES = ("free_completed", "free")  # the second in snapshots of PyTorch 1
ACTIVE = ("active_allocated", "active_awaiting_free", "active_pending_free")
OTHER_DEVICES = "events of other devices, left out"
BEFORE = "blocks from before the recording began, put at its beginning in the order of addresses"


def _read(source: Source) -> Recording:
    snapshot = read_plain_pickle(source, WHAT)
    traces = _traces(source, snapshot)
    device = max(range(len(traces)), key=lambda number: len(traces[number]))
    trace = traces[device]
    events = Events(source)
    events.counted[OTHER_DEVICES] = sum(map(len, traces)) - len(trace)
    source.unit = f"device_traces[{device}], event"
    for number, event in enumerate(trace):
        source.number = number
        _check(source, event)
    before = _blocks_before(trace, _active(snapshot, device))
    events.counted[BEFORE] = len(before)
    source.number = 0
    for block in sorted(before):
        events.allocate(block, before[block])
    for number, event in enumerate(trace):
        source.number = number
        if event["action"] == "alloc":
            events.allocate(event["addr"], event["size"], _site(event.get("frames")))
        elif event["action"] in FREES:
            events.free(event["addr"])
    return events.recording(f"PyTorch on CUDA device {device}")


def _traces(source: Source, snapshot: Any) -> list[list[Any]]:
    """The events of each device; raises TraceError where there are none."""
    traces = snapshot.get("device_traces") if isinstance(snapshot, dict) else None
    if isinstance(traces, list) and all(isinstance(trace, list) for trace in traces):
        if any(traces):
            return traces
        raise source.fault(
            "no event in the snapshot; they are kept after "
            "torch.cuda.memory._record_memory_history()"
        )
    raise source.fault("no device_traces in the pickle: it is no snapshot of CUDA memory")


def _check(source: Source, event: Any) -> None:
    """Raises TraceError for an event that is none."""
    if not isinstance(event, dict) or not isinstance(event.get("action"), str):
        raise source.fault("it is no dict with an action")
    if event["action"] != "alloc" and event["action"] not in FREES:
        return
    for field, most in (("addr", 2**64 - 1), ("size", LARGEST_SIZE)):
        value = event.get(field)
        if type(value) is not int or not 0 <= value <= most:
            raise source.fault(f"{field} is {_short(value)}; a whole number from 0 to {most}")


def _active(snapshot: dict[str, Any], device: int) -> Iterator[tuple[int, int]]:
    """Address and bytes of the blocks that were taken when the snapshot was made."""
    met: set[int] = set()  # the same list may stand in a million segments
    for segment in _dicts(snapshot.get("segments")):
        blocks, address = segment.get("blocks"), segment.get("address")
        if segment.get("device", device) != device or id(blocks) in met:
            continue
        met.add(id(blocks))
        for block in _dicts(blocks):
            size, start = block.get("size"), block.get("address", address)
            asked = block.get("requested_size", size)
            if not (isinstance(size, int) and isinstance(start, int) and isinstance(asked, int)):
                break  # without them no later block of the segment can be found
            if block.get("state") in ACTIVE:
                yield start, asked
            address = start + size


def _blocks_before(trace: list[Any], active: Iterable[tuple[int, int]]) -> dict[int, int]:
    """Address and bytes of the blocks that were taken before the first event.

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


def _dicts(value: Any) -> list[dict[str, Any]]:
    """The dicts in a list; none where it is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _site(frames: Any) -> tuple[tuple[str, int], ...] | None:
    """The stack of calls that led to an allocation."""
    known: list[tuple[str, int]] = []
    for call in _dicts(frames[:MOST_FRAMES] if isinstance(frames, list) else None):
        file, line = call.get("filename"), call.get("line")
        if isinstance(file, str) and isinstance(line, int):
            known.append((file, line))
    return tuple(known) or None


def _short(value: Any) -> str:
    return repr(value) if isinstance(value, int | float | None) else f"a {type(value).__name__}"


PYTORCH_CUDA = Format("pytorch-cuda", lambda head: head[:1] == b"\x80", _read)
