"""Call sites that compare: named where a format names them, kept in a store, never made up."""

from dataclasses import replace

import numpy as np
import pytest

from jaxmem.recordings import TraceError, read_trace, read_trace_bytes, write_store
from jaxmem.recordings.recording import Recording
from jaxmem.recordings.sites import CallSites, call_sites, named_sites, site_key

CSV = b"op,id,size,site\na,1,8,main:3\na,2,9,\na,3,7,load:9\na,4,7,main:3\n"


def test_a_key_is_the_same_in_every_run_and_machine():
    assert site_key("main:3") == 8202191253708914737
    assert len({site_key(f"main:{line}") for line in range(10_000)}) == 10_000


def test_numbers_differ_between_runs_and_keys_do_not():
    one = read_trace_bytes(CSV, "a.csv", 100)
    other = read_trace_bytes(b"op,id,size,site\na,1,7,load:9\na,2,8,main:3\n", "b.csv", 100)
    assert one.site.tolist() == [0, -1, 1, 0]
    assert other.site.tolist() == [0, 1]
    assert one.call_sites.name == ("main:3", "load:9")
    main, load = site_key("main:3"), site_key("load:9")
    assert one.site_key.tolist() == [main, 0, load, main]
    assert other.site_key.tolist() == [load, main]


def test_what_means_something_in_one_run_only_is_no_name():
    assert named_sites([17, 18]) is None
    assert named_sites(["a", 18]) is None
    assert named_sites([("f", "g"), (("h", "a.py", 3),)]).name == ("f\ng", "h:a.py:3")
    log = b"[0x4011aa] malloc(8) = 0x5500\n[0x4011bb] malloc(9) = 0x6600\n"
    found = read_trace_bytes(log, "a.ltrace", 100)
    assert found.site.tolist() == [0, 1]
    assert found.call_sites is None
    assert found.site_key is None


def test_mtrace_names_a_site_without_folders_and_where_it_was_loaded():
    def read(line: bytes):
        return read_trace_bytes(b"= Start\n" + line, "a.mtrace", 100).call_sites.name

    assert read(b"@ /usr/bin/a.out:(main+0x16)[0x5581d6] + 0x5500 0x8\n") == ("a.out:(main+0x16)",)
    assert read(b"@ ./a.out:[0x401136] + 0x5500 0x8\n") == ("a.out:[0x401136]",)


@pytest.mark.parametrize("names", [True, False])
def test_a_store_keeps_them(tmp_path, names):
    found = read_trace_bytes(CSV, "a.csv", 100)
    if not names:
        found = replace(found, call_sites=CallSites(found.call_sites.key))
    write_store(tmp_path / "a.npz", found)
    kept = read_trace(tmp_path / "a.npz")
    assert kept.site.tolist() == found.site.tolist()
    assert kept.site_key.tolist() == found.site_key.tolist()
    assert kept.call_sites.name == found.call_sites.name


def test_a_store_of_the_first_version_still_loads(tmp_path):
    file = tmp_path / "a.npz"
    write_store(file, read_trace_bytes(CSV, "a.csv", 100))
    with np.load(file) as store:
        arrays = {name: store[name] for name in store.files if name != "site_key"}
    np.savez_compressed(file, **{**arrays, "version": np.array([1])})
    kept = read_trace(file)
    assert kept.site.tolist() == [0, -1, 1, 0]
    assert kept.site_key is None


@pytest.mark.parametrize(
    ("sites", "reason"),
    [
        (call_sites(["a"]), "a call site without its key"),
        (CallSites(np.array([1, 2], np.uint64), ("a",)), "names of call sites and keys differ"),
    ],
)
def test_numbers_without_keys_are_refused(sites, reason):
    with pytest.raises(ValueError, match=reason):
        Recording(
            "a", np.array([8, 8]), np.array([1, 1]), np.array([0, 1], np.int32), call_sites=sites
        )


def test_names_that_become_much_more_than_they_are_packed_are_refused(tmp_path):
    file = tmp_path / "a.npz"
    write_store(file, read_trace_bytes(CSV, "a.csv", 100))
    with np.load(file) as store:
        arrays = {name: store[name] for name in store.files}
    np.savez_compressed(file, **{**arrays, "site_name": np.full(2**20, 32, np.uint8)})
    with pytest.raises(TraceError, match=r"site_name.npy: too long: 1,048,576 entries"):
        read_trace_bytes(file.read_bytes(), "a.npz", 100)
