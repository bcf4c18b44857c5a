"""The programs of the trace library can be recorded again."""

import sys
from importlib import import_module
from pathlib import Path

import pytest

from jaxmem.recordings import load_library, read_trace

FOLDER = Path(__file__).parents[2] / "experiments" / "traces"


@pytest.fixture
def record(monkeypatch, tmp_path):
    """The script, which puts what it records into an empty folder."""
    monkeypatch.syspath_prepend(str(FOLDER))
    script = import_module("record")
    monkeypatch.setattr(script, "LIBRARY", tmp_path)
    yield script
    sys.modules.pop("record")


@pytest.mark.parametrize("names", [[], ["torch_cpu_unet", "nothing"]])
def test_a_name_that_is_not_there_is_refused_before_anything_is_recorded(names, record):
    with pytest.raises(SystemExit, match=r"name one or more of torch_cpu_adversaries, .*, or all"):
        record.main(names)
    assert list(record.LIBRARY.iterdir()) == []


def test_every_program_says_in_its_first_line_what_it_does(record):
    scripts = {program.script for program in record.PROGRAMS.values()}
    there = {file.relative_to(FOLDER).as_posix() for file in FOLDER.glob("*/*.*")}
    assert scripts == {name for name in there if not name.endswith(".pyc")}
    assert all(len(record.told(program)) > 20 for program in record.PROGRAMS.values())


def test_a_network_is_recorded_as_it_was(record, capsys):
    pytest.importorskip("torch", reason="torch is not here")
    record.main(["torch_cpu_graph"])
    kept = read_trace(record.LIBRARY / "torch_cpu_graph.npz")
    shipped = load_library("torch_cpu_graph")
    assert (kept.name, kept.about) == (shipped.name, shipped.about)
    assert capsys.readouterr().out == f"{record.row(kept)}\n"
    # Another version of torch may ask for a little more or less.
    assert 0.8 < kept.requests / shipped.requests < 1.25
    assert 0.8 < kept.peak_live / shipped.peak_live < 1.25


def test_a_program_is_recorded_by_the_command(record):
    pytest.importorskip("memray", reason="memray is not here")
    record.main(["memray_python_tables"])
    kept = read_trace(record.LIBRARY / "memray_python_tables.npz")
    shipped = load_library("memray_python_tables")
    assert kept.about.program == shipped.about.program
    assert 0.5 < kept.requests / shipped.requests < 2
