"""Traces of PyTorch's profiler with `profile_memory=True`, as export_chrome_trace() writes them.

JSON in which an event of the name [memory] has in `args` what was allocated (Bytes above 0) or
freed (below 0), where (Addr), and on which device (Device Type, Device Id). The events of one
device, that with most of them, become the recording.
"""

from array import array
from collections import Counter

import numpy as np

from jaxmem.recordings.events import FAILED_ALLOCATIONS, Events
from jaxmem.recordings.formats.format import Format
from jaxmem.recordings.json_items import json_items
from jaxmem.recordings.recording import LARGEST_SIZE, Recording
from jaxmem.recordings.source import Source, TraceError
from jaxmem.recordings.torch_recording import FORMAT

LIST = "traceEvents"
BLOCK, FAILURE = "[memory]", "[OutOfMemory]"
OTHER_DEVICES = "events of other devices, left out"
WITHOUT_BYTES = "events of zero bytes, left out"
# The numbers are those of DeviceType in PyTorch's c10.
HOST_TYPE = 0
TYPES = {HOST_TYPE: "CPU", 1: "CUDA device", 6: "HIP device", 9: "XLA device", 12: "XPU device"}
TYPES |= {13: "MPS device", 15: "HPU device", 19: "MTIA device", 20: "device of another maker"}

Device = tuple[int, int]  # Device Type, Device Id


class _Table:
    """The events of all devices, in the order of the file."""

    def __init__(self) -> None:
        self.time = array("d")  # microseconds
        self.index = array("q")  # the profiler's own number of the event
        self.device = array("i")  # its place in `devices`
        self.address = array("Q")
        self.bytes = array("q")  # below 0: freed
        self.devices: dict[Device, int] = {}
        self.failed: Counter[int] = Counter()

    def number(self, device: Device) -> int:
        return self.devices.setdefault(device, len(self.devices))


def read_profile(source: Source) -> Recording:
    table = _Table()
    for event in json_items(source, LIST):
        if event.get("name") == BLOCK:
            _keep(source, table, event)
        elif event.get("name") == FAILURE:
            table.failed[table.number(_device_of_profile(source, event))] += 1
    if not table.time:
        raise source.fault(
            f"no {BLOCK} event: record with torch.profiler.profile(profile_memory=True)"
        )
    counts = np.bincount(table.device, minlength=len(table.devices))
    chosen = _chosen(source, table, counts)
    events = Events(source)
    events.counted[OTHER_DEVICES] = len(table.time) - int(counts[chosen])
    events.counted[FAILED_ALLOCATIONS] = table.failed[chosen]
    # The file is sorted by thread; events of one microsecond have the order of the profiler.
    for place in np.lexsort((table.index, table.time)).tolist():
        if table.device[place] != chosen:
            continue
        source.number = place + 1
        size = table.bytes[place]
        if size > 0:
            events.allocate(table.address[place], size)
        elif size < 0:
            events.free(table.address[place])
        else:
            events.counted[WITHOUT_BYTES] += 1
    return events.recording(_program(list(table.devices)[chosen]))


def _chosen(source: Source, table: _Table, counts: np.ndarray) -> int:
    """Chooses the place of the device asked for, or of that with the most events."""
    if source.device is None:
        return int(counts.argmax())
    for (kind, number), place in table.devices.items():
        if kind != HOST_TYPE and number == source.device and counts[place]:
            return place
    there = ", ".join(_program(device) for device in table.devices)
    raise TraceError(
        f"{source.where}: device={source.device} has no events; there are events of {there}"
    )


def _keep(source: Source, table: _Table, event: dict[str, object]) -> None:
    arguments, time = event.get("args"), event.get("ts")
    if (
        not isinstance(arguments, dict)
        or not isinstance(time, int | float)
        or not abs(time) < 2**63
    ):
        raise source.fault(f"a {BLOCK} event without args and ts")
    address, size = arguments.get("Addr"), arguments.get("Bytes")
    if address is None:
        raise source.fault(f"a {BLOCK} event without Addr: take a newer PyTorch, which tells it")
    if type(address) is not int or not 0 <= address < 2**64:
        raise source.fault("Addr is no address: a whole number from 0 to 2^64 - 1")
    if type(size) is not int or abs(size) > LARGEST_SIZE:
        raise source.fault("Bytes is no size: a whole number of at most 2^62, below 0 for a free")
    index = arguments.get("Ev Idx")
    table.device.append(table.number(_device_of_profile(source, event)))
    table.time.append(float(time))
    table.index.append(index if type(index) is int and 0 <= index < 2**62 else 0)
    table.address.append(address)
    table.bytes.append(size)


def _device_of_profile(source: Source, event: dict[str, object]) -> Device:
    arguments = event.get("args")
    values = arguments if isinstance(arguments, dict) else {}
    kind, number = values.get("Device Type", 0), values.get("Device Id", -1)
    if type(kind) is not int or type(number) is not int:
        raise source.fault("Device Type and Device Id are no whole numbers")
    return kind, number


def _program(device: Device) -> str:
    kind, number = device
    name = TYPES.get(kind, f"device of type {kind}")
    return f"PyTorch on {name}" + (f" {number}" if number >= 0 else "")


def _is_profile(head: bytes) -> bool:
    begin = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    return begin == b"{" and (b'"schemaVersion"' in head or b'"traceEvents"' in head)


TORCH_PROFILER = Format(FORMAT, _is_profile, read_profile)
