"""Snapshots of CUDA memory are read as data, and a pickle that is more than data is refused."""

import gzip
import os
import pickle
import struct
import tracemalloc
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxmem.arena.arena import NEVER
from jaxmem.recordings import Recording, TraceError, read_trace, read_trace_bytes
from jaxmem.recordings.plain_pickle import read_plain_pickle
from jaxmem.recordings.source import Source


def read(content: Any, most_lines: int = 1000) -> Recording:
    data = content if isinstance(content, bytes) else pickle.dumps(content)
    return read_trace_bytes(data, "cuda.pickle", most_lines)


def unpickled(data: bytes) -> Any:
    return read_plain_pickle(Source.of_bytes(data, "plain.pickle", 10_000), "plain data")


def event(action: str, addr: int, size: int, **more: Any) -> dict[str, Any]:
    return {"action": action, "addr": addr, "size": size, "stream": 0, "time_us": 1, **more}


def block(size: int, state: str = "active_allocated", **more: Any) -> dict[str, Any]:
    return {"size": size, "requested_size": size - 12, "state": state, "frames": [], **more}


SNAPSHOT = {
    "segments": [
        {
            "device": 0,
            "address": 0x1000,
            "segment_pool_id": (0, 0),
            "blocks": [
                block(512),
                block(512, "inactive"),
                block(512, "active_awaiting_free", address=0x1400),
                block(512),  # the trace has its allocation
            ],
        },
        {"device": 1, "address": 0x9000, "blocks": [block(512)]},
    ],
    "device_traces": [
        [
            event("free_requested", 0x7000, 70),
            event("free_completed", 0x7000, 70),
            event("segment_alloc", 0x1000, 2048),
            event("alloc", 0x1600, 500, frames=[{"filename": "a.py", "line": 3, "name": "f"}]),
            event("alloc", 0x7000, 0, frames=[{"filename": "b.py", "line": 4, "name": "g"}]),
            event("free_completed", 0x7000, 0),
            {"action": "snapshot", "stream": 0},
            event("alloc", 0x7000, 40, frames=[{"filename": "a.py", "line": 3, "name": "f"}]),
        ],
        [event("alloc", 0x9000, 5)],
        [],
    ],
    "allocator_settings": {"expandable_segments": False, "garbage_collection_threshold": 0.5},
}


def test_blocks_from_before_the_recording_come_first_in_the_order_of_addresses():
    recording = read(SNAPSHOT)
    # At 0x1000 and 0x1400 to the end; at 0x7000 until the first event; then the three of the trace.
    assert recording.size.tolist() == [500, 500, 70, 500, 1, 40]
    assert recording.lifetime.tolist() == [NEVER, NEVER, 1, NEVER, 1, NEVER]
    assert recording.site is not None
    assert recording.site.tolist() == [-1, -1, -1, 0, 1, 0]
    assert recording.about.program == "PyTorch on CUDA device 0"
    assert set(recording.about.notes) == {
        "events of other devices, left out (device=1 takes theirs): 1",
        "blocks from before the recording began, put at its beginning in the order of addresses: 3",
        "allocations of zero bytes, counted as one byte: 1",
    }


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_is_read(protocol):
    assert read(pickle.dumps(SNAPSHOT, protocol)).requests == 6


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False)
    | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=5)
    | st.dictionaries(st.text(max_size=3) | st.integers(-9, 9), inner)
    | st.tuples(inner) | st.tuples(inner, inner, inner, inner),
    max_leaves=30,
)  # fmt: skip


@settings(max_examples=100)
@given(plain, st.sampled_from([2, 3, 4, 5]))
def test_plain_data_come_back_as_they_were(value, protocol):
    assert unpickled(pickle.dumps(value, protocol)) == value


class Creates:
    """What a hostile pickle is made of: reading it with pickle creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_pickle_that_would_run_something_is_refused_and_does_not(tmp_path, protocol, pack):
    target, path = tmp_path / "created", tmp_path / "evil.pickle"
    snapshot = {**SNAPSHOT, "extra": Creates(target)}
    path.write_bytes(pack(pickle.dumps(snapshot, protocol)))
    with pytest.raises(TraceError) as caught:
        read_trace(path, "pytorch-cuda")
    message = str(caught.value)
    assert message.startswith(f"{path}, byte ")
    assert "refused" in message
    assert len(message.splitlines()) == 1
    if protocol >= 2:
        assert "posix.mkdir" in message or "nt.mkdir" in message
    assert not target.exists()
    pickle.loads(pickle.dumps(snapshot, protocol))
    assert target.exists()  # so the pickle was a hostile one


@pytest.mark.parametrize(
    "value", [OrderedDict(a=1), {1, 2}, b"bytes", Path("x"), 1 + 2j, {(1,): 2}, {None: 2}]
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_nothing_but_plain_data_is_read(value, protocol):
    with pytest.raises(TraceError, match=r"refused|damaged"):
        unpickled(pickle.dumps(value, protocol))


CLAIM = 10 * 2**30
CLAIMS = {
    "a text": b"\x80\x04\x8d" + struct.pack("<Q", CLAIM) + b"abc",
    "a frame": b"\x80\x04\x95" + struct.pack("<Q", CLAIM),
    "a place in the memo": b"\x80\x02]r" + struct.pack("<I", 2**32 - 1),
    "a short text": b"\x80\x02X" + struct.pack("<I", 2**32 - 1) + b"abc",
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_claim_of_gigabytes_takes_no_memory(claim):
    tracemalloc.start()
    try:
        with pytest.raises(TraceError, match=r"cuda.pickle, byte \d+: the pickle"):
            read(CLAIMS[claim])
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


def test_a_pickle_cut_off_anywhere_is_refused():
    whole = pickle.dumps(SNAPSHOT)
    for length in range(2, len(whole)):
        with pytest.raises(TraceError, match=r"byte \d+: "):
            read(whole[:length])


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_raise_a_trace_error(data):
    for content in (b"\x80\x04" + data, pickle.dumps(SNAPSHOT)[:-20] + data):
        with suppress(TraceError):
            read(content)


def test_nesting_and_sharing_do_no_harm():
    nested = b"\x80\x02" + b"]" * 50_000 + b"a" * 49_999 + b"."
    with pytest.raises(TraceError, match="no device_traces"):
        read(nested, 10_000)
    tuples = b"\x80\x02}(X\x01\x00\x00\x00a)" + b"\x85" * 50_000 + b"u."
    with pytest.raises(TraceError, match="no device_traces"):
        read(tuples, 10_000)
    blocks = [block(512, address=512 * n) for n in range(2000)]
    shared = {"segments": [{"device": 0, "blocks": blocks}] * 2000}
    trace = [event("alloc", 2**40, 5), event("free_requested", 2**40, 5)]
    assert read({**shared, "device_traces": [trace]}, 10_000).requests == 2001


def test_of_a_strangers_pickle_no_more_is_read_than_is_allowed():
    with pytest.raises(TraceError, match="at most 64 objects are read"):
        read(b"\x80\x02" + b"N" * 400, most_lines=1)
    with pytest.raises(TraceError, match="at most 512 bytes are read"):
        read(gzip.compress(b"\x80\x02" + b"N" * 10**7), most_lines=1)


FAULTS = {
    "a list": ([], "no device_traces in the file"),
    "no traces": ({"segments": []}, "no device_traces in the file"),
    "no events": ({"device_traces": [[], []]}, "no event in the snapshot; .*_record_memory_hist"),
    "no allocation or free": (
        {"device_traces": [[{"action": "snapshot"}]]},
        "no event in the snapshot; .*max_entries=100000",
    ),
    "no dict": ({"device_traces": [[3]]}, r"device_traces\[0\], event 0: it is no dict"),
    "no address": ({"device_traces": [[{"action": "alloc", "size": 3}]]}, "addr is None"),
    "a text": ({"device_traces": [[event("alloc", 1, "5")]]}, "size is a str"),  # pyright: ignore
    "negative": ({"device_traces": [[event("alloc", 1, -5)]]}, "event 0: size is -5"),
    "huge": ({"device_traces": [[event("alloc", 1, 2**63)]]}, "size is 9223372036854775808"),
    "a negative address": ({"device_traces": [[event("alloc", -1, 5)]]}, "addr is -1"),
    "too much": ({"device_traces": [[event("alloc", n, 2**62) for n in (1, 2)]]}, "more than 2"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_snapshot_that_is_none_is_refused(fault):
    content, message = FAULTS[fault]
    with pytest.raises(TraceError, match=message) as caught:
        read(content)
    assert str(caught.value).startswith("cuda.pickle")
