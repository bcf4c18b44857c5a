"""No file costs more memory or time than its reader allows, and long honest recordings pass."""

import gzip
import pickle
import struct
import tracemalloc
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import zstandard
from trace_samples import EXAMPLE, WRITTEN

from jaxmem.recordings import (
    Recording,
    TraceError,
    lines,
    read_trace,
    read_trace_bytes,
    write_store,
)
from jaxmem.recordings.bounds import LONGEST_PASSED, MOST_BYTES

BROKEN = Path(__file__).resolve().parents[3] / "shared" / "cases" / "broken"
PACK = {"gzip": gzip.compress, "zstd": zstandard.ZstdCompressor().compress}
MANY = 10_000_000  # events of a recording that must be read


def refusal(data: bytes, name: str = "upload", most_bytes: int = 2**22) -> str:
    """The one line by which a stranger's file is refused."""
    with pytest.raises(TraceError) as caught:
        read_trace_bytes(data, name, 200_000, most_bytes)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize("packing", PACK)
def test_no_more_is_unpacked_than_is_allowed(packing, tmp_path):
    path = tmp_path / "long.csv"
    path.write_bytes(PACK[packing](b"op,id,size\n" + b"a,1,8\nf,1,0\n" * 1000))
    message = "at most 6,000 bytes are read"
    with pytest.raises(TraceError, match=rf"long.csv, line \d+: .*{message}; .*{packing} -d"):
        read_trace(path, most_bytes=6000)
    assert refusal(path.read_bytes(), most_bytes=6000).endswith(message)
    assert read_trace(path, most_bytes=20_000).requests == 1000


def test_a_plain_file_of_ones_own_is_as_long_as_it_is(tmp_path):
    path = tmp_path / "long.csv"
    path.write_bytes(b"op,id,size\n" + b"a,1,8\nf,1,0\n" * 1000)
    assert read_trace(path, most_bytes=6000).requests == 1000


def test_a_line_without_an_end_is_not_passed_over_for_ever(monkeypatch):
    monkeypatch.setattr(lines, "LONGEST_PASSED", 100_000)
    log = b"--9-- malloc(5) = 0x10\n" + bytes(200_000)
    message = refusal(PACK["zstd"](log))
    assert message == "upload, line 2: more than 100,000 bytes in one line; this is no log"


# What costs much beside the few bytes that say it: empty dicts, full ones, lists, marks, texts.
COSTLY = {
    "dicts": b"}" * 100_000,
    "filled dicts": b"}K\x01K\x02s" * 50_000,
    "lists": b"]" * 100_000,
    "filled lists": b"](NNe" * 50_000,
    "marks": b"(" * 100_000,
    "tuples": b"N\x85" * 100_000,
    "nothings": b"N" * 300_000,
    "numbers": b"M\x01\x02" * 100_000,
    "texts": b"\x8c\x01\xff" * 50_000,
    "a memo": b"Nq\x00" + b"h\x00\x94" * 100_000,
    "one dict": b"}(" + b"".join(b"J" + struct.pack("<i", n) + b"N" for n in range(50_000)) + b"u",
}


@pytest.mark.parametrize("kind", COSTLY)
def test_a_pickle_takes_no_more_memory_than_is_allowed(kind):
    data = gzip.compress(b"\x80\x02" + COSTLY[kind])
    tracemalloc.start()
    try:
        message = refusal(data, most_bytes=2**20)
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "too large: a CUDA memory snapshot may take 1,048,576 bytes of memory" in message
    # What is made, the pickle itself (twice while it is unpacked), and pieces of the file.
    assert taken < 2 * 2**20 + 2 * len(COSTLY[kind]) + 2e6


@pytest.mark.parametrize("name", [name for name in WRITTEN if name != "pytorch-cuda"])
def test_ten_million_lines_are_within_the_bounds(name):
    longest = max(map(len, WRITTEN[name](EXAMPLE).splitlines()))
    assert 2 * longest * MANY < MOST_BYTES  # a line for each event, and one of the program's


def test_a_snapshot_of_ten_million_events_is_within_the_bounds():
    frames = [{"filename": f"layer{n}.py", "line": n, "name": "forward"} for n in range(40)]
    made = [
        {
            "action": ("alloc", "free_completed")[number % 2],
            "addr": 2**46 + number // 2 * 512,
            "size": 100_000 + number,
            "stream": 0,
            "time_us": 2**50 + number,
            "compile_context": "N/A",
            "user_metadata": "",
            "frames": frames,
        }
        for number in range(20_000)
    ]
    data = pickle.dumps({"segments": [], "device_traces": [made]})
    share = MOST_BYTES * len(made) // MANY
    assert read_trace_bytes(data, "snapshot", 200_000, share).requests == 10_000


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> bytes:
    """A store of one block."""
    path = tmp_path_factory.mktemp("store") / "sound.npz"
    write_store(path, Recording("sound", np.array([5]), np.array([1])))
    return path.read_bytes()


def with_members(store: bytes, members: dict[str, bytes], compression: int = 0) -> bytes:
    """The store with other members, packed in a way that zipfile has a number for."""
    file = BytesIO()
    with zipfile.ZipFile(BytesIO(store)) as old, zipfile.ZipFile(file, "w", compression) as new:
        for name in old.namelist():
            new.writestr(name, members.get(name, old.read(name)))
    return file.getvalue()


def array(header: str, content: bytes = b"") -> bytes:
    """What an .npy file with this header is."""
    text = (header + "\n").encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + content


def of_shape(shape: str, kind: str = "'<i8'") -> str:
    return f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}"


DEEP = b"[" * 100_000
HOSTILE = {
    "minus signs": {"version.npy": array(of_shape(f"({'-' * 9000}1,)"))},
    "brackets": {"size.npy": array(of_shape("(" * 9000))},
    "a negative size": {"size.npy": array(of_shape("(-1,)"), bytes(8))},
    "a kind of fields": {"size.npy": array(of_shape("(1,)", "[('a', '<i8')]"), bytes(8))},
    "a kind that is none": {"size.npy": array(of_shape("(1,)", "'<Z9'"), bytes(8))},
    "a huge kind": {"size.npy": array(of_shape("(1,)", "'<U999999999'"), bytes(8))},
    "a text for a header": {"size.npy": b"\x93NUMPY\x01\x00"},
    "another version": {"size.npy": b"\x93NUMPY\x03\x00" + bytes(200)},
    "no bytes": {"about.npy": b""},
    "nested json": {"about.npy": array(of_shape(f"({len(DEEP)},)", "'|u1'"), DEEP)},
    "a list": {"about.npy": array(of_shape("(2,)", "'|u1'"), b"[]")},
    "numbers of a thousand digits": {
        "about.npy": array(of_shape("(5009,)", "'|u1'"), b'{"name":' + b"9" * 5000 + b"}")
    },
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_store_is_one_line(sound, kind, tmp_path):
    data = with_members(sound, HOSTILE[kind])
    assert refusal(data).startswith("upload")
    path = tmp_path / "hostile.npz"
    path.write_bytes(data)
    with pytest.raises(TraceError, match=r"^[^\n]*hostile.npz[^\n]*$"):
        read_trace(path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_store_is_unpacked_only_as_numpy_packs_it(sound, compression):
    assert read_trace_bytes(with_members(sound, {}, zipfile.ZIP_DEFLATED), "s", 10).requests == 1
    assert "packed in another way than NumPy packs" in refusal(with_members(sound, {}, compression))


@pytest.mark.skipif(not BROKEN.is_dir(), reason="no ../shared with hostile files beside it")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("npy_minus.npz", "version.npy: it does not begin as NumPy begins a vector"),
        ("pk_dictfill.pickle.gz", "may take 33,554,432 bytes of memory"),
        ("pk_dicts_12M.pickle.gz", "may take 33,554,432 bytes of memory"),
        ("vg_longline_20GB.zst", "line 2: too long: .* at most 33,554,432 bytes are read"),
    ],
)
def test_the_hostile_files_that_were_found_are_refused(name, message):
    with pytest.raises(TraceError, match=message):
        read_trace_bytes((BROKEN / name).read_bytes(), name, 200_000, 2**25)


@pytest.mark.skipif(not BROKEN.is_dir(), reason="no ../shared with hostile files beside it")
def test_twenty_gigabytes_in_one_line_are_given_up_early():
    with pytest.raises(TraceError, match=f"line 2: more than {LONGEST_PASSED:,} bytes in one line"):
        read_trace(BROKEN / "vg_longline_20GB.zst")
