"""The study of programs under our allocator: of one that is tiny, and what the table says."""

import json
import platform
import shutil
import sys
from importlib import import_module
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
UNSUITED = sys.platform != "linux" or platform.machine() != "x86_64" or not shutil.which("cc")


@pytest.fixture
def study(monkeypatch, tmp_path):
    """The script, whose one program and policies are few."""
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    script = import_module("allocator_study")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tiny = {"seed": 1, "lines": 900}
    program = script.Studied("sort", tiny, (tiny,), tiny)
    monkeypatch.setattr(script, "PROGRAMS", {"sort": program, "long": program._replace(other=())})
    monkeypatch.setattr(script, "GROWN", ("best",))
    monkeypatch.setattr(script, "BOUNDED", ("class rule",))
    yield script
    for name in ("allocator_study", "allocator_tables", "recorders", "record", "families"):
        sys.modules.pop(name, None)


def run(study, monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["allocator_study.py", "out=out", *words])
    study.main()
    return json.loads(Path("out", "results.json").read_text(encoding="utf-8"))


@pytest.mark.skipif(UNSUITED, reason="our allocator needs Linux on x86-64 and a C compiler")
def test_programs_are_played_again_and_timed_once(study, monkeypatch):
    found = run(study, monkeypatch, "rounds=1", "libraries=nowhere")
    rows = [(row["program"], row["policy"], row["arena"]) for row in found["equal"]]
    bounded = ("sort", "class rule", "1.05 x peak")
    assert rows == [("sort", "best", "grows"), bounded, ("long", "best", "grows")]
    for row in found["equal"]:
        assert (row["same_output"], row["differences"]) == (True, [])
        assert row["requests"] > 5
    assert [row["allocator"] for row in found["costs"]] == ["glibc", "best-fit, ours"] * 2
    assert all(min(row["seconds"] + row["peak_rss"]) > 0 for row in found["costs"])
    monkeypatch.setattr(study, "_equals", None)  # nothing is done again
    assert run(study, monkeypatch, "rounds=0")["equal"] == found["equal"]
    table = Path("out", "table.md").read_text(encoding="utf-8")
    assert "In 3 of 3 runs the output is that of the plain program" in table
    assert "| sort | best | grows |" in table


def test_a_program_that_is_not_there_is_refused(study, monkeypatch):
    with pytest.raises(SystemExit, match="no program 'sqlite' to study"):
        run(study, monkeypatch, "programs=[sqlite]")
