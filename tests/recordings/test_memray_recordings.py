"""Recordings of memray are read by its own reader; without it, cut off or damaged: refused."""

import gzip
import random
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from jaxmem.extras import MissingExtraError
from jaxmem.recordings import TraceError, read_trace, read_trace_bytes
from jaxmem.recordings.formats import memray_events

memray = pytest.importorskip("memray", reason="memray is not here")

# Texts of this length are not from Python's own pools: they are malloc's, calloc's and realloc's.
PROGRAM = """
block = bytearray(777_000)
other = bytes(888_000)
more = bytes(6_993_001)
block += more
del other
last = bytes(999_000)
"""


def record(path: Path, *options: str) -> Path:
    command = [sys.executable, "-m", "memray", "run", "-q", *options, "-o", str(path)]
    subprocess.run([*command, "-c", PROGRAM], check=True, capture_output=True)
    return path


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Path:
    return record(tmp_path_factory.mktemp("memray") / "run.bin")


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    """A recording that is not packed, in which damage is not noticed by any checksum."""
    return record(tmp_path_factory.mktemp("memray") / "plain.bin", "--no-compress")


def test_reallocs_are_a_new_block_and_then_the_end_of_the_old_one(recorded):
    recording = read_trace(recorded)
    sizes = recording.size.tolist()
    first, third = sizes.index(777_001), sizes.index(7_770_002)
    second, fourth = (
        next(n for n, size in enumerate(sizes) if size // 1000 == k) for k in (888, 999)
    )
    assert first < second < third < fourth
    assert first + recording.lifetime[first] == third + 1
    assert third < second + recording.lifetime[second] <= fourth
    assert third + recording.lifetime[third] > fourth
    assert recording.about.format == "memray"
    assert "run.bin" in recording.about.program
    assert recording.site is not None
    assert recording.site[first] != recording.site[second]


def test_a_packed_recording_is_read_too(recorded, tmp_path):
    packed = tmp_path / "run.bin.gz"
    packed.write_bytes(gzip.compress(recorded.read_bytes()))
    assert read_trace(packed).size.tolist() == read_trace(recorded).size.tolist()


def test_an_uncompressed_recording_is_read_too(plain):
    assert 7_770_002 in read_trace(plain).size.tolist()


@pytest.mark.parametrize("keep", [20, 40, 0.5, -5, -1])
def test_a_recording_that_is_cut_off_is_refused(recorded, tmp_path, keep):
    whole = recorded.read_bytes()
    path = tmp_path / "cut.bin"
    path.write_bytes(whole[: int(len(whole) * keep) if isinstance(keep, float) else keep])
    with pytest.raises(TraceError, match=r"cut.bin, byte \d+: the recording is cut off here"):
        read_trace(path)


def refusal(path: Path) -> str:
    """The one line by which a recording is refused."""
    with pytest.raises(TraceError) as caught:
        read_trace(path)
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).startswith(f"{path}, event ")
    return str(caught.value)


def as_written(number: int) -> bytes:
    """A number as memray writes it: seven bits a byte, the lowest first."""
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + as_written(rest) if rest else bytes([low])


def test_what_memray_complains_of_is_refused_and_not_read_short(plain, tmp_path):
    whole, path = plain.read_bytes(), tmp_path / "damaged.bin"
    for size in (777_001, 888_033):
        at = whole.index(as_written(size))
        for damaged in (whole[:at] + bytes(64) + whole[at + 64 :], whole[:at]):
            path.write_bytes(damaged)
            assert "memray cannot read the recording from here on (Memray ERROR: " in refusal(path)


def test_a_single_flipped_bit_ends_no_process_of_ours(plain, tmp_path):
    whole, path, bits = plain.read_bytes(), tmp_path / "flipped.bin", random.Random(0)
    used = len(whole.rstrip(b"\0"))
    for _ in range(8):
        damaged = bytearray(whole)
        damaged[bits.randrange(used)] ^= 1 << bits.randrange(8)
        path.write_bytes(damaged)
        with suppress(TraceError):  # most bits are of names, addresses and sizes
            assert read_trace(path).requests


READERS = {
    "os.kill(os.getpid(), signal.SIGSEGV)": "its process ended by Segmentation fault",
    "os.abort()": "its process ended by Aborted",
    "print('oh', file=sys.stderr); sys.exit(5)": r"\(oh\)",
    "sys.exit(5)": "exit status 5",
    "print('Memray ERROR: odd', file=sys.stderr)": "Memray ERROR: odd",
}


@pytest.mark.parametrize("end", READERS)
def test_a_reader_that_ends_badly_is_one_line(plain, tmp_path, monkeypatch, end):
    reader = tmp_path / "reader.py"
    head = """import os, signal, sys; print('{"program": "x", "total": 1}', flush=True)\n"""
    reader.write_text(f"{head}{end}\n", encoding="utf-8")
    monkeypatch.setattr(memray_events, "__file__", str(reader))
    assert re.search(READERS[end], refusal(plain))


def test_a_recording_without_single_events_is_refused(tmp_path):
    path = record(tmp_path / "sums.bin", "--aggregate")
    with pytest.raises(TraceError, match=r"the recording is aggregated: .* without --aggregate"):
        read_trace(path)


def test_no_recording_of_a_strangers_is_given_to_memray(recorded):
    with pytest.raises(TraceError, match="upload: memray is not read here"):
        read_trace_bytes(recorded.read_bytes(), "upload", 10**6)


def test_without_memray_a_recording_says_what_to_install(recorded, monkeypatch):
    monkeypatch.setitem(sys.modules, "memray", None)
    with pytest.raises(MissingExtraError, match=r"needs memray: uv run --extra traces"):
        read_trace(recorded)
