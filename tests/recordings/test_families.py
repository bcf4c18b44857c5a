"""The families of runs in the package: six of each program, that tell of each other, and splits."""

import sys
from importlib import import_module
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

import jaxmem.recordings as traces
from jaxmem.recordings import family, family_names, splits
from jaxmem.recordings.families import RUNS_A_FAMILY
from jaxmem.recordings.sites import UNKNOWN_KEY

LIBRARY = Path(traces.__file__).parent / "library"
SCRIPTS = Path(__file__).resolve().parents[2] / "experiments" / "traces"


@pytest.fixture(scope="module")
def record():
    """The script that records them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        yield import_module("record")
        for name in ("record", "families"):
            sys.modules.pop(name)


def test_every_family_of_the_table_is_there_with_all_its_runs(record):
    assert list(family_names()) == sorted(record.FAMILIES) == sorted(record.FAMILY_PROGRAMS)
    assert set(record.NETWORKS) < set(family_names())
    for name, settings in record.FAMILIES.items():
        assert [run["seed"] for run in settings] == list(range(1, RUNS_A_FAMILY + 1))
        files = {file.name for file in (LIBRARY / "families" / name).iterdir()}
        assert files == {f"{number}.npz" for number in range(1, RUNS_A_FAMILY + 1)}
        inputs = {tuple(value for key, value in run.items() if key != "seed") for run in settings}
        assert len(inputs) == RUNS_A_FAMILY, f"two runs of {name} differ in nothing but the seed"


@pytest.mark.parametrize("name", family_names())
def test_call_sites_of_the_first_run_are_those_of_the_others(name, record):
    runs = family(name)
    program, table = record.FAMILY_PROGRAMS[name], record.FAMILIES[name]
    for number, (run, settings) in enumerate(zip(runs, table, strict=True), 1):
        assert run.name == f"{name} {number}"
        assert run.about.program == record.told(program, settings)
        assert run.about.licence == record.LICENCE
        assert 1_000 < run.requests < 60_000
        assert run.site_key is not None
        sited = run.site_key != UNKNOWN_KEY
        assert sited.mean() > 0.97
        assert np.isin(run.site_key[sited], runs[0].site_key).mean() > 0.97
    assert len({run.size.tobytes() for run in runs}) == RUNS_A_FAMILY


def test_the_readme_describes_every_family_as_it_is(record):
    lines = (LIBRARY / "README.md").read_text(encoding="utf-8").splitlines()
    for name in family_names():
        assert record.family_row(name, family(name)) in lines


def test_splits_share_no_run_and_leave_none_out():
    assert list(splits()) == ["few", "some", "many"]
    for split in splits().values():
        numbers = [number for part in split for number in part]
        assert sorted(numbers) == list(range(1, RUNS_A_FAMILY + 1))
        assert all(split)
    learned = [len(split.learn) for split in splits().values()]
    assert learned == sorted(set(learned))
    assert learned[0] == 1


def test_the_files_are_small_and_carry_no_time_of_packing():
    files = list((LIBRARY / "families").glob("*/*.npz"))
    assert sum(file.stat().st_size for file in files) < 6_000_000
    for file in files:
        with ZipFile(file) as archive:
            assert {member.date_time[0] for member in archive.infolist()} == {1980}


def test_an_unknown_family_brings_the_nearest_ones():
    with pytest.raises(ValueError, match=r"no family of runs 'sqlite3'; did you mean sqlite\?"):
        family("sqlite3")
    with pytest.raises(ValueError, match=r"no family of runs '\.\./library'; known: adversaries, "):
        family("../library")
