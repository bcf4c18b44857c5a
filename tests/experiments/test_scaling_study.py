"""The scaling study: what is timed, what is asked for, and what the table makes of it."""

import json
import sys
from pathlib import Path

import pytest
from toy_learner import in_place_of_pqn

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def study(monkeypatch, tmp_path):
    """The script, which trains a toy learner in this process."""
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    import scaling_study

    monkeypatch.chdir(tmp_path)
    measured = scaling_study._measured
    monkeypatch.setattr(scaling_study, "_in_its_own_process", lambda one: measured(**one))
    with in_place_of_pqn():
        yield scaling_study
    sys.modules.pop("scaling_study")


def run(study, monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["scaling_study.py", *words])
    study.main()
    return json.loads(Path("out", "results.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_devices_and_members_are_timed_and_drawn(study, monkeypatch):
    asked = ("devices=[1]", "members=[2]", "arenas=8", "rounds=2", "updates=3", "out=out")
    found = run(study, monkeypatch, *asked)
    assert [row["devices"] for row in found["devices"]] == [1]
    kinds = [(row["members"], row["vectorised"]) for row in found["members"]]
    assert kinds == [(2, True), (2, False)]
    for row in found["devices"] + found["members"]:
        assert len(row["steps_per_second"]) == 2
        assert min(row["steps_per_second"]) > 0
    assert found["runs"] is None
    assert found["command"] == " ".join(["python experiments/scaling_study.py", *asked])
    assert Path("out", "scaling.png").stat().st_size > 1_000


def test_the_same_members_are_run_as_one_command_and_as_many(study, monkeypatch):
    asked = []

    def seconds(commands, said):
        asked.append(commands)
        return 10.0 if len(commands) == 1 else 45.0

    def timed(one):
        return {"vectorised": True, **one, "compile_seconds": 1.0, "steps_per_second": [100.0]}

    monkeypatch.setattr(study, "_seconds", seconds)
    monkeypatch.setattr(study, "_in_its_own_process", timed)
    found = run(study, monkeypatch, "runs=true", "steps=7000", "out=out")
    assert found["runs"] == {"members": 32, "steps": 7000, "one": 10.0, "apart": 45.0}
    assert "4.5 times as long" in Path("out", "table.md").read_text(encoding="utf-8")
    [[together], apart] = asked
    assert {"seeds=8", "learner.steps=7000"} < set(together)
    assert len({tuple(words) for words in apart}) == 32
    for rate in study.RATES:
        assert str(rate) in next(word for word in together if word.startswith("grid."))
        assert sum(f"learner.learning_rate={rate}" in words for words in apart) == 8


@pytest.mark.parametrize("words", ["devices=[0]", "members=[]", "rounds=0", "updates=x", "cores=2"])
def test_what_cannot_be_timed_is_refused(words, study, monkeypatch):
    with pytest.raises(SystemExit, match=r"at least 1|^updates=x: |^cores=2: "):
        run(study, monkeypatch, words)
    assert not Path("out").exists()
