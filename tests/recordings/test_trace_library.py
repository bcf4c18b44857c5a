"""The recordings in the package are the ones we made, whole, and described as they are."""

import gzip
import sys
from importlib import import_module
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

import jaxmem.recordings as traces
from jaxmem.app import choices
from jaxmem.recordings import library_names, load_library, read_trace

FOLDER = Path(traces.__file__).parent / "library"
RECORDED = Path(__file__).resolve().parents[3] / "shared/data/recorded"
SCRIPTS = Path(__file__).resolve().parents[2] / "experiments" / "traces"
OLDER = (
    "memray_python_json_sqlite_pandas",
    "torch_cpu_mlp_train",
    "torch_cpu_transformer_varlen_train",
    "valgrind_gcc_cc1_O2",
    "valgrind_sqlite3",
    "xla_cpu_jax_convnet_infer",
    "xla_cpu_jax_convnet_train",
    "xla_cpu_jax_transformer_train",
)


@pytest.fixture(scope="module")
def record():
    """The script that records the programs beside it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        yield import_module("record")
        sys.modules.pop("record")


def test_the_library_holds_what_was_recorded_here_and_eight_older_recordings(record):
    own = {file.name.removesuffix(".npz") for file in FOLDER.glob("*.npz")}
    assert sorted(own) == sorted(record.PROGRAMS)
    assert sorted(own | set(OLDER)) == list(library_names())
    assert choices.recordings() == library_names()


def test_the_readme_describes_every_recording_as_it_is(record):
    table = [
        [field.strip() for field in line.split("|")[1:-1]]
        for line in (FOLDER / "README.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| `")
    ]
    assert sorted(row[0].strip("`") for row in table) == list(library_names())
    for row in table:
        name, _, _, script, *described = row
        recording = load_library(name.strip("`"))
        counts = (recording.events, recording.requests, recording.peak_live)
        assert described == [*(f"{count:,}" for count in counts), record.LICENCE]
        assert recording.name == name.strip("`")
        if script == "older":
            assert recording.name in OLDER
            continue
        assert (Path(record.__file__).parent / script.strip("`")).is_file()
        assert record.row(recording) == f"| {' | '.join(row)} |"
        assert recording.about.licence == record.LICENCE


def test_the_files_are_small_and_carry_no_time_of_packing():
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 5_000_000
    for path in FOLDER.glob("*.csv.gz"):
        packed = path.read_bytes()
        assert len(packed) < 500_000
        assert packed[3:8] == bytes(5)  # no flags (no file name), time 0
    for path in FOLDER.glob("*.npz"):
        with ZipFile(path) as archive:
            assert {member.date_time[0] for member in archive.infolist()} == {1980}


@pytest.mark.skipif(not RECORDED.exists(), reason="no ../shared with the originals")
def test_the_library_agrees_with_the_originals():
    originals = {path.name.split(".")[0]: path for path in RECORDED.iterdir()}
    assert sorted(originals) == list(OLDER)
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
