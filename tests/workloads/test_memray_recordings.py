"""Recordings of memray are read by its own reader; without it, or cut off, they are refused."""

import gzip
import subprocess
import sys
from pathlib import Path

import pytest

from jaxmem.extras import MissingExtraError
from jaxmem.workloads.traces import TraceError, read_trace, read_trace_bytes

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


def test_a_packed_recording_and_an_uncompressed_one_are_read_too(recorded, tmp_path):
    packed = tmp_path / "run.bin.gz"
    packed.write_bytes(gzip.compress(recorded.read_bytes()))
    assert read_trace(packed).size.tolist() == read_trace(recorded).size.tolist()
    plain = record(tmp_path / "plain.bin", "--no-compress")
    assert 7_770_002 in read_trace(plain).size.tolist()


@pytest.mark.parametrize("keep", [20, 40, 0.5, -5, -1])
def test_a_recording_that_is_cut_off_is_refused(recorded, tmp_path, keep):
    whole = recorded.read_bytes()
    path = tmp_path / "cut.bin"
    path.write_bytes(whole[: int(len(whole) * keep) if isinstance(keep, float) else keep])
    with pytest.raises(TraceError, match=r"cut.bin, byte \d+: the recording is cut off here"):
        read_trace(path)


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
