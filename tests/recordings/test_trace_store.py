"""A store gives back what was put into it, and every broken one is named."""

import json
import tracemalloc
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxmem.arena.arena import NEVER
from jaxmem.recordings import (
    About,
    Recording,
    TraceError,
    read_trace,
    read_trace_bytes,
    write_store,
)
from jaxmem.workloads.registry import workload

ABOUT = About("./a.out", "mtrace", file="heap.log", notes=("left out: 3",), licence="CC BY 4.0")


def recording_of(size, lifetime, site=None) -> Recording:
    sites = None if site is None else np.array(site, np.int32)
    return Recording("heap", np.array(size, np.int64), np.array(lifetime, np.int64), sites, ABOUT)


@pytest.fixture
def store(tmp_path) -> Path:
    path = tmp_path / "heap.npz"
    write_store(path, recording_of([5, 6, 7], [1, NEVER, 1], [0, 1, -1]))
    return path


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(1, 2**55), st.integers(1, NEVER), st.integers(-1, 99)),
        min_size=1,
        max_size=40,
    ),
    st.booleans(),
)
def test_what_is_stored_comes_back(tmp_path_factory, requests, sited):
    size, lifetime, site = zip(*requests, strict=True)
    kept = recording_of(size, lifetime, site if sited else None)
    path = tmp_path_factory.mktemp("store") / "renamed.npz"
    write_store(path, kept)
    for read in (read_trace(path), read_trace_bytes(path.read_bytes(), "upload", 1000)):
        assert read.name == "heap"
        assert read.about == ABOUT
        np.testing.assert_array_equal(read.size, kept.size)
        np.testing.assert_array_equal(read.lifetime, kept.lifetime)
        assert (read.site is None) == (kept.site is None)
        assert read.site is None or read.site.tolist() == list(site)


def test_a_store_is_an_npz_that_numpy_reads_without_pickles(store):
    with np.load(store, allow_pickle=False) as arrays:
        assert sorted(arrays) == ["about", "lifetime", "site", "size", "version"]
        assert arrays["size"].tolist() == [5, 6, 7]
        about = json.loads(arrays["about"].tobytes())
    assert (about["events"], about["requests"], about["peak_live"]) == (5, 3, 13)


def test_a_store_is_a_workload(store):
    assert workload("trace", 64, path=str(store)).requests("test", 0, 1).length == 3


def test_writing_replaces_a_store_whole_or_not_at_all(store, monkeypatch):
    before = store.read_bytes()

    def interrupted(file, **arrays):
        file.write(b"half a fil")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez_compressed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_store(store, recording_of([1], [1]))
    assert store.read_bytes() == before
    assert list(store.parent.iterdir()) == [store]


def altered(store: Path, **arrays: np.ndarray) -> Path:
    """The store with other arrays in it."""
    with np.load(store) as kept:
        np.savez(store, **{**dict(kept), **arrays})  # pyright: ignore[reportArgumentType]
    return store


def other_about(store: Path, **entries) -> Path:
    with np.load(store) as kept:
        about = {**json.loads(kept["about"].tobytes()), **entries}
    return altered(store, about=np.frombuffer(json.dumps(about).encode(), np.uint8))


def test_a_store_from_before_that_says_nothing_of_what_was_reserved_is_read(store):
    with np.load(store) as kept:
        about = json.loads(kept["about"].tobytes())
    del about["reserved"]
    altered(store, about=np.frombuffer(json.dumps(about).encode(), np.uint8))
    assert read_trace(store).about == ABOUT


FAULTS = {
    "another version": (lambda s: altered(s, version=np.array([3])), r"version.npy: version \[3\]"),
    "no integers": (lambda s: altered(s, size=np.ones(3)), r"size.npy: float64 of shape \(3,\)"),
    "a matrix": (lambda s: altered(s, size=np.ones((3, 1), int)), r"of shape \(3, 1\)"),
    "lengths differ": (lambda s: altered(s, size=np.ones(4, int)), "one of each for each"),
    "sites differ": (lambda s: altered(s, site=np.ones(4, "i4")), "call sites .4,. of requests"),
    "size zero": (lambda s: altered(s, size=np.zeros(3, int)), "a size out of range"),
    "other events": (lambda s: other_about(s, events=6), "it says events '6' and has 5"),
    "no name": (lambda s: other_about(s, name=None), "about.npy: name missing or of a wrong kind"),
    "notes no list": (lambda s: other_about(s, notes="x"), "about.npy: notes are no list of texts"),
    "reserved a text": (lambda s: other_about(s, reserved="x"), "reserved is no number of bytes"),
    "reserved below 0": (lambda s: other_about(s, reserved=-1), "reserved is no number of bytes"),
    "objects": (lambda s: altered(s, size=np.array([{}, 1, 2], object)), "object of shape"),
    "no JSON": (lambda s: altered(s, about=np.ones(9, "u1")), "damaged, or another zip file"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_store_with_other_arrays_is_refused(store, fault):
    alter, message = FAULTS[fault]
    path = alter(store)
    with pytest.raises(TraceError, match=message) as caught:
        read_trace(path)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value).splitlines()) == 1


def test_any_changed_or_missing_byte_is_noticed(store):
    whole = store.read_bytes()
    kept = read_trace(store)
    for position in range(4, len(whole), 7):
        for damaged in (
            whole[:position],
            whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :],
        ):
            store.write_bytes(damaged)
            with suppress(TraceError):
                read = read_trace(store)
                # It was in the times and flags of the zip file, which say nothing of the recording.
                assert (read.name, read.about) == (kept.name, kept.about)
                np.testing.assert_array_equal(read.size, kept.size)
                np.testing.assert_array_equal(read.lifetime, kept.lifetime)


def test_another_zip_file_is_refused(tmp_path):
    path = tmp_path / "other.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme", "text")
    with pytest.raises(TraceError, match="a zip file, of 'readme'; unzip it"):
        read_trace(path)


def test_a_header_that_claims_gigabytes_takes_no_memory(store):
    members: dict[str, bytes] = {}
    with zipfile.ZipFile(store) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    # 2^28 requests would be 2 GiB; the length of the header stays.
    claim = members["size.npy"].replace(b"(3,), }         ", b"(268435456,), } ")
    assert len(claim) == len(members["size.npy"]) != claim.count(b"(3,)")
    with zipfile.ZipFile(store, "w") as archive:
        for name, content in {**members, "size.npy": claim}.items():
            archive.writestr(name, content)
    tracemalloc.start()
    try:
        with pytest.raises(TraceError, match="header says 2,147,483,648 bytes and it has 24"):
            read_trace(store)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_a_strangers_store_is_bounded(store):
    write_store(store, recording_of([1] * 50, [1] * 50))
    with pytest.raises(TraceError, match=r"size.npy: too long: 50 entries; at most 49"):
        read_trace_bytes(store.read_bytes(), "upload", 49)


def test_text_that_would_break_a_line_is_quoted(store):
    kept = read_trace(store)
    write_store(store, replace(kept, about=replace(kept.about, program="one\ntwo")))
    assert read_trace(store).about.program == r"'one\ntwo'"
