"""Logs of memory on devices: RAPIDS' RMM, Umpire, and the profiler of PyTorch."""

import gzip
import json
import tracemalloc

import pytest
from trace_samples import contents, memory_event, read

from jaxmem.arena.arena import NEVER
from jaxmem.recordings import TraceError, read_trace, read_trace_bytes

FAILED = "allocations that failed, left out: "
BEFORE = "frees of blocks from before the recording began, left out: "
OTHER = "lines that are no event, left out: "


RMM = """\
Thread,Time,Action,Pointer,Size,Stream
7001,10:02:11.000101,allocate,0x7f0000000000,1048576,0x2
7001,10:02:11.000202,allocate,0x7f0000100000,4096,0x2
7001,10:02:11.000303,free,0x7f0000000000,1048576,0x2
7001,10:02:11.000404,allocate failure,(nil),99999999999,0x2
7001,10:02:11.000505,free,0x7f0000100000,4096,0x2
"""


def test_a_log_of_rmm_is_read():
    recording = read(RMM)
    assert contents(recording) == ([1_048_576, 4096], [2, 1])
    assert (recording.events, recording.peak_live) == (4, 1_052_672)
    assert recording.about.format == "rmm"
    assert recording.about.notes == (f"{FAILED}1",)


def test_rmm_has_versions_without_streams_and_blocks_without_an_address():
    recording = read(
        "Thread,Time,Action,Pointer,Size\n"
        "1,10:02:11:000101,allocate,7f00,16\n"
        "2,10:02:11:000101,allocate,0x0,0\n"
        "2,10:02:11:000101,free,0x0,0\n"
        "2,10:02:11:000101,free,dead,5\n"
        "Thread,Time,Action,Pointer,Size\n"
        "1,10:02:11:000101,free,7f00,16\n"
        "1,10:02:11:000101,alloc"
    )
    assert contents(recording) == ([16], [1])
    assert set(recording.about.notes) == {
        "allocations of zero bytes that got no address, left out: 1",
        f"{BEFORE}1",
        f"{OTHER}1",
    }


UMPIRE = '{ "kind":"replay", "uid":1, "timestamp":1, '


def umpire(event: str, payload: str, result: str = "") -> str:
    return (
        f'{UMPIRE}"event": "{event}", "payload": {{ "allocator_ref": {payload} }}'
        + (f', "result": {{ "memory_ptr": "{result}" }}' if result else "")
        + " }\n"
    )


def test_a_replay_file_of_umpire_is_read():
    recording = read(umpire("allocate", '"0x10", "size": 64', "0x20"))
    assert contents(recording) == ([64], [NEVER])
    assert recording.about.format == "umpire"
    assert recording.about.notes == ()


def test_umpires_busiest_allocator_is_read_and_what_failed_has_no_result():
    recording = read(
        umpire("allocate", '"0x99", "size": 5', "0x20")
        + umpire("allocate", '"0x10", "size": 64')
        + umpire("allocate", '"0x10", "size": 64', "0x20")
        + umpire("allocate", '"0x10", "size": 99')
        + umpire("deallocate", '"0x10", "memory_ptr": "0x20"')
        + umpire("deallocate", '"0x10", "memory_ptr": "0x40"')
        + umpire("makeAllocator", '"0x10"')
        + '{ "kind":"replay", "uid":1, "time'
    )
    assert contents(recording) == ([64], [1])
    assert set(recording.about.notes) == {
        f"{FAILED}1",
        f"{BEFORE}1",
        f"{OTHER}1",
        "events of other allocators, left out: 1",
    }


def profile(*events: dict, **more: object) -> str:
    return json.dumps({"schemaVersion": 1, **more, "traceEvents": list(events)})


PROFILE = """\
{"schemaVersion": 1, "traceEvents": [
 {"ph": "i", "cat": "cpu_instant_event", "s": "t", "name": "[memory]", "pid": 1, "tid": 1,
  "ts": 10.0, "args": {"Total Reserved": 0, "Total Allocated": 512, "Bytes": 512, "Addr": 4096,
  "Device Id": -1, "Device Type": 0, "Ev Idx": 0}},
 {"ph": "i", "cat": "cpu_instant_event", "s": "t", "name": "[memory]", "pid": 1, "tid": 1,
  "ts": 20.0, "args": {"Total Reserved": 0, "Total Allocated": 0, "Bytes": -512, "Addr": 4096,
  "Device Id": -1, "Device Type": 0, "Ev Idx": 1}}
]}
"""


def test_a_trace_of_pytorchs_profiler_is_read():
    recording = read(PROFILE)
    assert contents(recording) == ([512], [1])
    assert recording.events == 2
    assert recording.about.format == "torch-profiler"
    assert recording.about.program == "PyTorch on CPU"
    assert recording.about.notes == ()


def test_of_a_profile_the_device_with_most_events_is_read():
    failed = {**memory_event(4, 0, 0, 9, device=1), "name": "[OutOfMemory]"}
    recording = read(
        profile(
            memory_event(1, 64, 100, 0),
            memory_event(2, 64, 300, 1, device=1),
            failed,
            memory_event(3, 64, -100, 2),
            memory_event(3, 64, -300, 3, device=1),
            memory_event(4, 64, 400, 4, device=1),
            memory_event(5, 128, -8, 5, device=1),
            memory_event(6, 128, 0, 6, device=1),
        )
    )
    assert contents(recording) == ([300, 400], [1, NEVER])
    assert recording.about.program == "PyTorch on CUDA device 1"
    assert set(recording.about.notes) == {
        "events of other devices, left out: 2",
        f"{FAILED}1",
        f"{BEFORE}1",
        "events of zero bytes, left out: 1",
    }


def test_of_a_profile_the_device_that_is_asked_for_is_read(tmp_path):
    path = tmp_path / "a.json"
    events = [memory_event(1, 64, 5, 0), memory_event(2, 64, -5, 0), memory_event(3, 64, 7, 1, 1)]
    path.write_text(profile(*events), encoding="utf-8")
    assert contents(read_trace(path, device=1)) == ([7], [NEVER])
    with pytest.raises(TraceError, match=r"device=0 has no events; .* on CPU, .* CUDA device 1"):
        read_trace(path, device=0)


def test_a_profile_is_read_in_the_order_of_time_and_then_of_the_profiler():
    recording = read(
        profile(
            memory_event(7, 64, 3, 5),
            memory_event(7, 64, -2, 4),
            memory_event(7, 64, 2, 3),
            memory_event(1, 64, 1, 0),
            memory_event(7, 64, -1, 2),
        )
    )
    assert contents(recording) == ([1, 2, 3], [1, 1, NEVER])
    assert recording.about.notes == ()


def test_a_profile_may_hold_odd_texts_and_a_list_of_its_name_elsewhere():
    event = memory_event(1, 64, 5, 0)
    text = profile(event, {"name": 'ä ] } " traceEvents', "args": "x"}, 5, [event], None)
    text = text.replace('"args": "x"', '"args": "a\nline \ud7ff"', 1)
    assert contents(read("\ufeff" + text)) == ([5], [NEVER])


@pytest.mark.slow
def test_a_long_profile_takes_little_memory(tmp_path):
    path = tmp_path / "long.pt.trace.json.gz"
    filler = {"ph": "X", "name": "aten::mm", "ts": 1, "args": {"Input Dims": [[1000] * 20] * 5}}
    text = json.dumps(filler) + ","
    events = ",".join(json.dumps(memory_event(n, 64, (1, -1)[n % 2], n)) for n in range(2000))
    whole = '{"schemaVersion": 1, "traceEvents": [' + text * 20_000 + events + "]}"
    path.write_bytes(gzip.compress(whole.encode(), 1))
    tracemalloc.start()
    try:
        recording = read_trace(path)
        assert (recording.events, recording.name) == (2000, "long")
        # The file has 13 MB; a few pieces of it are held.
        assert len(whole) > 12e6
        assert tracemalloc.get_traced_memory()[1] < 10e6
    finally:
        tracemalloc.stop()


def test_no_more_events_of_a_stranger_are_read_than_allowed():
    with pytest.raises(TraceError, match="event 101: too long: here at most 100 events"):
        read_trace_bytes(
            profile(*[memory_event(1, 64, 5, 0)] * 200).encode(), "a.json", most_lines=100
        )


def broken(**arguments: object) -> str:
    event = memory_event(1, 64, 5, 0)
    return profile({**event, "args": {**event["args"], **arguments}})


FAULTS = {
    "rmm: action": (RMM.replace(",free,", ",freed,", 1), "line 4: '7001.*a line is allocate, free"),
    "rmm: size": (RMM.replace("1048576", "1e6", 1), "line 2: .*a size in bytes"),
    "rmm: huge": (RMM.replace("1048576", str(2**63), 1), "line 2: size 9223372036854775808"),
    "rmm: address": (RMM.replace("0x7f0000000000", "here", 1), "line 2: .*with an address"),
    "rmm: empty": (RMM.partition("\n")[0], "line 2: no allocation"),
    "umpire: empty": (umpire("deallocate", '"0x1", "memory_ptr": "0x2"'), "line 2: no allocation"),
    "umpire: no event": (umpire("version", "5"), "line 2: no allocation"),
    "umpire: huge": (umpire("allocate", f'"0x1", "size": {2**63}', "0x20"), "line 1: size 922"),
    "profile: no memory": (
        profile({"name": "aten::mm"}),
        r"event 1: no \[memory\] event: record with torch.profiler.profile\(profile_memory=True\)",
    ),
    "profile: no list": ('{"schemaVersion": 1}', "no list of traceEvents in it"),
    "profile: no address": (broken(Addr=None), r"event 1: .* without Addr: take a newer PyTorch"),
    "profile: address": (broken(Addr=2**64), "event 1: Addr is no address"),
    "profile: text": (broken(Addr="0x40"), "event 1: Addr is no address"),
    "profile: size": (broken(Bytes=2**63), "event 1: Bytes is no size"),
    "profile: fraction": (broken(Bytes=1.5), "event 1: Bytes is no size"),
    "profile: device": (broken(**{"Device Id": "cuda"}), "event 1: Device Type and Device Id are"),
    "profile: time": (profile({**memory_event(1, 64, 5, 0), "ts": 10**400}), "without args and ts"),
    "profile: no number": (profile(memory_event(float("nan"), 64, 5, 0)), "without args and ts"),
    "profile: cut off": (PROFILE[:-60], "event 1: the file is cut off or damaged"),
    "profile: no end": (PROFILE.rpartition("]")[0], "event 2: the file ends inside the list"),
    "profile: deep": ('{"traceEvents": [' + "[" * 200_000, "nested too deeply"),
    "profile: digits": ('{"traceEvents": [{"ts": ' + "9" * 9000 + "}]}", "cut off or damaged"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_named_with_its_place(fault):
    content, message = FAULTS[fault]
    with pytest.raises(TraceError, match=message) as caught:
        read(content)
    assert str(caught.value).startswith("trace.txt, ")
    assert len(str(caught.value).splitlines()) == 1
