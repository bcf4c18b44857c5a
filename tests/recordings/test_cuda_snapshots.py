"""Snapshots of CUDA memory as people have them: several devices, no events, zipped, in JSON."""

import json
import pickle
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from trace_samples import contents

from jaxmem.arena.arena import NEVER
from jaxmem.cli import main
from jaxmem.recordings import TraceError, alignment_of, read_trace, read_trace_bytes, write_store
from jaxmem.recordings.formats.cuda_segments import reserved_bytes

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"
BASE, SEGMENT = 0x7F0000000000, 2 * 2**20


def event(action: str, addr: int, size: int) -> dict[str, Any]:
    frames = [{"filename": "m.py", "line": 3, "name": "f"}]
    return {"action": action, "addr": addr, "size": size, "stream": 0, "frames": frames}


def segment(device: int, total: int = SEGMENT) -> dict[str, Any]:
    return {
        "device": device,
        "address": BASE,
        "total_size": total,
        "segment_type": "small",
        "blocks": [
            {"address": BASE, "size": 512, "requested_size": 512, "state": "active_allocated"},
            {"address": BASE + 512, "size": 512, "requested_size": 0, "state": "inactive"},
            {
                "address": BASE + 1024,
                "size": 4096,
                "requested_size": 4096,
                "state": "active_allocated",
            },
        ],
    }


PROGRAM = [
    event("segment_alloc", BASE, SEGMENT),
    event("alloc", BASE, 1024),
    event("alloc", BASE + 1024, 4096),
    event("free_requested", BASE, 1024),
    event("free_completed", BASE, 1024),
    event("alloc", BASE, 512),
]


def snapshot(*traces: list[dict[str, Any]], device: int = 0) -> dict[str, Any]:
    return {"segments": [segment(device)], "device_traces": list(traces)}


@pytest.fixture
def written(tmp_path):
    """Writes what stands for a file of a user, and gives its path."""

    def write(content: Any, name: str = "cuda.pickle") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content))
        return path

    return write


def test_a_snapshot_is_the_program_of_its_device(written):
    recording = read_trace(written(snapshot(PROGRAM)))
    assert contents(recording) == ([1024, 4096, 512], [2, NEVER, NEVER])
    assert (recording.events, recording.peak_live) == (4, 5120)
    assert recording.about.notes == ()


def test_the_device_is_that_with_allocations_not_that_with_most_events(written):
    # A device of which memory is only reserved has more events than the one that works.
    reserving = [event("segment_alloc", BASE + n * SEGMENT, SEGMENT) for n in range(9)]
    recording = read_trace(written(snapshot(reserving, PROGRAM, device=1)))
    assert recording.about.program == "PyTorch on CUDA device 1"
    assert contents(recording)[0] == [1024, 4096, 512]
    assert (recording.events, recording.peak_live) == (4, 5120)
    assert recording.about.notes == ("events of other devices, left out: 9",)


def test_a_device_is_chosen_by_its_number(written):
    path = written(snapshot(PROGRAM, [event("alloc", BASE, 7), event("alloc", BASE + 512, 8)]))
    assert read_trace(path).about.program == "PyTorch on CUDA device 0"
    other = read_trace(path, device=1)
    assert (other.about.program, other.size.tolist()) == ("PyTorch on CUDA device 1", [7, 8])
    assert other.about.notes == ("events of other devices, left out (device=0 takes theirs): 6",)
    for device in (2, 99):
        with pytest.raises(TraceError, match=f"device={device} has no alloc.* that have: 0, 1"):
            read_trace(path, device=device)


def test_one_trace_that_stands_for_many_devices_is_counted_once():
    trace = [event("alloc", BASE + 512 * number, 5) for number in range(2000)]
    many = {"segments": [], "device_traces": [trace] * 20_000}
    recording = read_trace_bytes(pickle.dumps(many), "many.pickle", 10_000)
    assert recording.requests == 2000
    assert len(recording.about.notes[0]) < 200


def test_only_snapshots_have_devices(written):
    with pytest.raises(
        TraceError,
        match=r"device=0 is for snapshots .* and traces of PyTorch's profiler; this is events",
    ):
        read_trace(written(b"op,id,size\na,1,5\n", "plain.csv"), device=0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        # What a history of one entry keeps, which is PyTorch's default in some versions.
        (snapshot([event("free_completed", BASE + 8192, 2048)]), "nothing was recorded on device"),
        (snapshot([event("alloc", BASE + 8192, 2048)]), "its history has 1 event, 1 of them an"),
        (snapshot([event("snapshot", 0, 4608)]), "no event in the snapshot; call torch"),
        ([segment(0)], r"a list of segments, as torch.cuda.memory_snapshot\(\) returns; it has no"),
        (json.dumps([segment(0)]).encode(), "a list of segments, as torch.cuda.memory_snapshot"),
        (b'{"segments": [', "in JSON that is damaged"),
        (b'{"segments": ' + b"[" * 10**5, "in JSON that is damaged"),
        (b'{"segments": [' + b"9" * 5000 + b"]}", "in JSON that is damaged"),
        (b'{"segments": []}', "no device_traces in the file"),
    ],
)  # fmt: skip
def test_a_snapshot_of_nothing_says_what_it_is(written, content, said):
    with pytest.raises(TraceError, match=said) as caught:
        read_trace(written(content))
    assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize("sort_keys", [False, True])
def test_a_snapshot_in_json_is_that_in_a_pickle(written, sort_keys):
    text = json.dumps(snapshot(PROGRAM), sort_keys=sort_keys, indent=sort_keys or None).encode()
    told, pickled = (read_trace(written(content)) for content in (text, snapshot(PROGRAM)))
    assert contents(told) == contents(pickled)
    assert told.about == pickled.about
    with pytest.raises(TraceError, match="in JSON is not read here; jaxmem trace import makes"):
        read_trace_bytes(text, "upload", 1000)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["cuda.pickle"], "a zip file, of 'cuda.pickle'; unzip it"),
        (["a.pickle", "b.pickle", "c"], "a zip file, of 'a.pickle' and 2 more; unzip it"),
        (["archive/data.pkl", "archive/data/0"], "a file of torch.save, which holds no recording"),
        ([], "it is an empty zip archive"),
    ],
)
def test_a_zip_file_is_named(written, names, said):
    packed = BytesIO()
    with ZipFile(packed, "w") as archive:
        for name in names:
            archive.writestr(name, pickle.dumps(snapshot(PROGRAM)))
    with pytest.raises(TraceError, match=said):
        read_trace(written(packed.getvalue(), "cuda.zip"))


def test_what_was_reserved_is_kept_in_the_store(written, tmp_path):
    recording = read_trace(written(snapshot(PROGRAM)))
    assert recording.about.reserved == SEGMENT
    write_store(tmp_path / "cuda.npz", recording)
    kept = read_trace(tmp_path / "cuda.npz")
    assert kept.about == recording.about
    assert alignment_of(kept) == alignment_of(recording) == 512


MIB = 2**20


@pytest.mark.parametrize(
    ("moves", "at_the_end", "most"),
    [
        ([], [], 0),
        ([], [2 * MIB, 20 * MIB], 22 * MIB),
        ([("segment_alloc", 2)], [2 * MIB], 2 * MIB),
        # 20 were there before; 2 come, 20 go, 4 come.
        ([("segment_alloc", 2), ("segment_free", 20), ("segment_alloc", 4)], [6 * MIB], 22 * MIB),
        # Nothing but the events tells that 20 were there before.
        ([("segment_free", 20), ("segment_alloc", 2)], [], 20 * MIB),
        ([("segment_map", 2), ("segment_map", 2), ("segment_unmap", 4)], [], 4 * MIB),
    ],
)
def test_reserved_is_the_most_that_the_segments_had_at_once(moves, at_the_end, most):
    trace = [event(action, BASE, size * MIB) for action, size in moves]
    segments = [segment(0, total) for total in at_the_end]
    assert reserved_bytes(trace, [*segments, segment(1, 999 * MIB)], 0) == most


@pytest.mark.parametrize("size", [-1, 2**63, "2", None, 1.5])
def test_segments_that_cannot_be_tell_nothing(size):
    assert reserved_bytes([event("segment_alloc", BASE, size)], [], 0) == 0
    assert reserved_bytes([], [segment(0, size)], 0) == 0
    few = snapshot(PROGRAM[1:])
    few["segments"][0]["total_size"] = 512  # less than what is live in it
    assert read_trace_bytes(pickle.dumps(few), "few.pickle", 1000).about.reserved == 0


@pytest.mark.parametrize(
    ("text", "alignment"),
    [("op,id,size\na,1,5\n", 16), ("id,lower,upper,size\n1,0,2,5\n", 1), ("Alloc(5),\n", 16)],
)
def test_the_alignment_is_that_of_the_source(text, alignment):
    assert alignment_of(read_trace_bytes(text.encode(), "recording", 100)) == alignment


def test_an_import_takes_the_device(written, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    written(snapshot(PROGRAM, [event("alloc", BASE, 7), event("alloc", BASE + 512, 8)]))
    assert main(["trace", "import", "cuda.pickle", "device=1"]) == 0
    said = capsys.readouterr().out
    assert "PyTorch on CUDA device 1" in said
    assert read_trace("cuda.npz").size.tolist() == [7, 8]
    for device in ("-1", "x", "true", "1.0"):
        assert main(["trace", "import", "cuda.pickle", f"device={device}", "out=x.npz"]) == 2
        assert "the number of a device, as 0, or null" in capsys.readouterr().err
    assert main(["trace", "import", "cuda.pickle", "out=base.npz"]) == 0
    assert "2,097,152 bytes by its own allocator" in capsys.readouterr().out


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not beside the project")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("torch_history_of_one", "nothing was recorded"),
        ("torch_only_marker", "no event in the snapshot; "),
        ("torch_segments_list", "a list of segments, as torch.cuda.memory_snapshot"),
        ("torch_base", ""),
        ("torch_segments_on_device0", ""),
    ],
)
def test_every_case_has_its_right_value(name, said):
    path = CASES / f"{name}.pickle"
    if said:
        with pytest.raises(TraceError, match=said):
            read_trace(path)
        return
    recording = read_trace(path)
    assert (recording.size.tolist(), recording.events) == ([1024, 4096, 512], 4)
    assert recording.peak_live == 5120
