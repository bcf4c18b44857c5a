"""The programs of the trace library can be recorded again."""

import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from jaxmem.recordings import family, load_library, read_trace

FOLDER = Path(__file__).parents[2] / "experiments" / "traces"


@pytest.fixture
def record(monkeypatch, tmp_path):
    """The script, which puts what it records into an empty folder."""
    monkeypatch.syspath_prepend(str(FOLDER))
    script = import_module("record")
    monkeypatch.setattr(script, "LIBRARY", tmp_path)
    yield script
    for name in ("record", "families"):
        sys.modules.pop(name)


@pytest.mark.parametrize(
    "names", [[], ["torch_cpu_unet", "nothing"], ["families", "all", "nothing"]]
)
def test_a_name_that_is_not_there_is_refused_before_anything_is_recorded(names, record):
    with pytest.raises(SystemExit, match=r"name one or more of (torch_cpu_)?adver.*, or all"):
        record.main(names)
    assert list(record.LIBRARY.iterdir()) == []


def test_every_program_says_in_its_first_line_what_it_does(record):
    programs = [*record.PROGRAMS.values(), *record.FAMILY_PROGRAMS.values()]
    scripts = {program.script for program in programs}
    there = {file.relative_to(FOLDER).as_posix() for file in FOLDER.glob("*/*.*")}
    assert scripts == {name for name in there if not name.endswith(".pyc")}
    assert all(len(record.told(program, {})) > 20 for program in programs)


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


@pytest.mark.slow
def test_a_program_is_recorded_by_the_command(record):
    pytest.importorskip("memray", reason="memray is not here")
    record.main(["memray_python_tables"])
    kept = read_trace(record.LIBRARY / "memray_python_tables.npz")
    shipped = load_library("memray_python_tables")
    assert kept.about.program == shipped.about.program
    assert 0.5 < kept.requests / shipped.requests < 2


@pytest.mark.slow
@pytest.mark.parametrize("program", ["sqlite3", "perl"])
def test_a_family_is_recorded_run_by_run_with_its_settings(program, record, capsys, monkeypatch):
    if sys.platform != "linux" or not all(map(shutil.which, ("cc", program))):
        pytest.skip(f"our recorder works on Linux with a C compiler, and this needs {program}")
    name = {"sqlite3": "sqlite", "perl": "perl"}[program]
    monkeypatch.setitem(record.FAMILIES, name, record.FAMILIES[name][:2])
    record.main(["families", name])
    kept = [read_trace(record.LIBRARY / f"families/{name}/{number}.npz") for number in (1, 2)]
    assert capsys.readouterr().out == f"{record.family_row(name, kept)}\n"
    for recorded, shipped in zip(kept, family(name), strict=False):
        assert (recorded.name, recorded.about) == (shipped.name, shipped.about)
        assert recorded.call_sites is not None
        # Another version of the program, or other variables around it, may ask for other blocks.
        assert 0.5 < recorded.requests / shipped.requests < 2


def test_the_compiler_gets_a_file_that_its_settings_decide(record, tmp_path):
    if not shutil.which("gcc"):
        pytest.skip("gcc is not here")
    program, texts = record.FAMILY_PROGRAMS["cc1"], []
    for settings in (
        {"seed": 1, "functions": 2},
        {"seed": 1, "functions": 2},
        {"seed": 2, "functions": 2},
    ):
        *_, made = record.command_of(program, tmp_path, settings)
        texts.append(Path(made).read_text(encoding="utf-8"))
    assert texts[0] == texts[1] != texts[2]
    assert texts[0].count("long function_") == 2
    subprocess.run(["gcc", "-w", "-fsyntax-only", made], check=True)
