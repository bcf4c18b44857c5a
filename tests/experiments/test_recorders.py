"""What recorders cost: measured of two tiny programs, and what the table makes of it."""

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
    """The script, whose programs are tiny."""
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    script = import_module("recorders")
    monkeypatch.chdir(tmp_path)
    programs = {
        "perl": ("perl", {"seed": 1, "lines": 900}, {"seed": 1, "lines": 60}),
        "pages": (
            "pipeline",
            {"seed": 1, "rounds": 2, "rows": 9},
            {"seed": 1, "rounds": 2, "rows": 9},
        ),
    }
    others = {"perl": {"seed": 2, "lines": 50}, "pages": {"seed": 2, "rounds": 3, "rows": 9}}
    tiny = {name: script.Measured(*row, others[name], ()) for name, row in programs.items()}
    monkeypatch.setattr(script, "PROGRAMS", tiny)
    yield script
    for name in ("recorders", "recorder_tables", "record", "families"):
        sys.modules.pop(name, None)


def run(study, monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["recorders.py", *words])
    study.main()
    return json.loads(Path("out", "results.json").read_text(encoding="utf-8"))


@pytest.mark.skipif(UNSUITED, reason="our recorder needs Linux on x86-64 and a C compiler")
def test_programs_are_timed_in_turns_and_foretold(study, monkeypatch):
    names = ["perl", "pages"] if shutil.which("perl") else ["pages"]
    monkeypatch.setattr(study, "_deterministic", lambda folder: {})
    monkeypatch.setattr(study, "_counted", lambda *_: [study.Counted("bc", 5, 5)])
    found = run(study, monkeypatch, "rounds=2", "out=out", "programs=[perl,pages]")
    assert list(found["seconds"]) == names
    for kinds in found["seconds"].values():
        assert list(kinds) == ["plain", "preload"]
        assert all(len(of) == 2 and min(of) > 0 for of in kinds.values())
    for row in found["foretold"]:
        assert row["known_same"] == 1
        assert row["known_other"] > 0.95
        assert max(row["size"], row["site"], row["both"]) <= 1
        assert row["both"] > row["size"]
    assert found["command"].startswith("python experiments/recorders.py rounds=2 ")
    table = Path("out", "table.md").read_text(encoding="utf-8")
    assert "| bc | 5 | 5 |" in table
    assert f"of {len(names)} programs." in table
    assert Path("out", "recorders.png").stat().st_size > 1_000


@pytest.mark.skipif(UNSUITED, reason="our recorder needs Linux on x86-64 and a C compiler")
def test_what_is_counted_is_valgrinds_own_total(study, tmp_path):
    if not all(map(shutil.which, ("valgrind", "bc"))):
        pytest.skip("valgrind or bc is not here")
    commands = {
        "bc": ["bc", str(EXPERIMENTS / "traces/programs/digits.bc")],
        "no such": ["no such"],
    }
    [row] = study._counted(commands, tmp_path)
    assert row.program == "bc"
    assert row.preload == row.valgrind > 1_000


def test_the_table_says_what_each_costs(study):
    seconds = {
        "perl": {"plain": [1.0, 2.0, 4.0], "preload": [2.2, 2.2, 9.0], "valgrind": [44.0]},
        "pages": {"plain": [1.0], "preload": [1.5], "memray": [2.0]},
    }
    foretold = [study.Foretold("perl", 1234, 1.0, 0.995, 0.25, 0.5, 0.75)]
    reach = {"perl": 1.3, "pages": 1.3}
    lines = study.table(seconds, reach, [], foretold, (3, 1)).splitlines()
    assert lines[2] == (
        "Our own recorder costs 1.10 to 1.50 times the plain run: at most 1.3, or 1.6 where each "
        "object of Python is recorded, for 1 of 2 programs; valgrind costs 20 to 20 times as much."
    )
    assert "| perl | 2.00 | 1.10 |  | 22.00 | 20 |" in lines
    assert "| pages | 1.00 | 1.50 | 2.00 |  |  |" in lines
    assert lines[-1] == "| perl | 1,234 | 100.00 % | 99.50 % | 0.25 | 0.50 | 0.75 |"


@pytest.mark.parametrize(
    "words", ["rounds=0", "programs=[]", "slow=-1", "depth=2", "programs=[gcc]"]
)
def test_what_cannot_be_measured_is_refused(words, study, monkeypatch):
    with pytest.raises(
        SystemExit, match=r"at least|^depth=2: |^no program 'gcc' to record; known: "
    ):
        run(study, monkeypatch, words)
    assert not Path("out").exists()
