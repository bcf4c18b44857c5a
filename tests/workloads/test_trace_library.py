"""The recordings in the package are the ones we made, whole, and described as they are."""

import gzip
from pathlib import Path

import numpy as np
import pytest

import jaxmem.workloads.traces as traces
from jaxmem.workloads.traces import library_names, load_library, read_trace

FOLDER = Path(traces.__file__).parent / "library"
RECORDED = Path(__file__).resolve().parents[3] / "shared/data/recorded"


def test_the_library_holds_eight_recordings_by_name():
    assert library_names() == (
        "memray_python_json_sqlite_pandas",
        "torch_cpu_mlp_train",
        "torch_cpu_transformer_varlen_train",
        "valgrind_gcc_cc1_O2",
        "valgrind_sqlite3",
        "xla_cpu_jax_convnet_infer",
        "xla_cpu_jax_convnet_train",
        "xla_cpu_jax_transformer_train",
    )


def test_the_readme_describes_every_recording_as_it_is():
    table = [
        [field.strip() for field in line.split("|")[1:-1]]
        for line in (FOLDER / "README.md").read_text().splitlines()
        if line.startswith("| `")
    ]
    assert [row[0].strip("`") for row in table] == list(library_names())
    for name, _, events, requests, peak, licence in table:
        recording = load_library(name.strip("`"))
        assert recording.name == name.strip("`")
        assert f"{recording.events:,}" == events
        assert f"{recording.requests:,}" == requests
        assert f"{recording.peak_live:,}" == peak
        assert licence == "ours, MIT with the project"


def test_the_files_are_small_and_carry_no_time_of_packing():
    for path in FOLDER.glob("*.csv.gz"):
        packed = path.read_bytes()
        assert len(packed) < 500_000
        assert packed[3:8] == bytes(5)  # no flags (no file name), time 0


@pytest.mark.skipif(not RECORDED.exists(), reason="no ../shared with the originals")
def test_the_library_agrees_with_the_originals():
    originals = {path.name.split(".")[0]: path for path in RECORDED.iterdir()}
    assert sorted(originals) == list(library_names())
    for name, path in originals.items():
        raw = path.read_bytes()
        shipped = gzip.decompress((FOLDER / f"{name}.csv.gz").read_bytes())
        assert shipped == (gzip.decompress(raw) if path.suffix == ".gz" else raw)
        ours, theirs = load_library(name), read_trace(path)
        assert ours.name == theirs.name
        np.testing.assert_array_equal(ours.size, theirs.size)
        np.testing.assert_array_equal(ours.lifetime, theirs.lifetime)


def test_an_unknown_name_brings_the_nearest_ones():
    with pytest.raises(ValueError, match="did you mean torch_cpu_mlp_train"):
        load_library("torch_mlp_train")
    with pytest.raises(ValueError, match=r"known: memray_.*, xla_cpu_jax_transformer_train"):
        load_library("qqq")
    with pytest.raises(ValueError, match=r"no recording '../library/README\.md'"):
        load_library("../library/README.md")
