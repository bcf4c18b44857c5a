"""The comparison of trainers: what the table makes of rows, what is run again, and the race."""

import json
import shutil
import sys
from importlib import import_module
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxmem.arena.making import new_arena
from jaxmem.environment.situation import Situation

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
SCRIPTS = ("trainers_study", "trainers_report", "trainer_race", "raced_trainers")
LIMIT = 60.0


@pytest.fixture
def study(monkeypatch, tmp_path):
    """The script, in a folder to work in."""
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    monkeypatch.chdir(tmp_path)
    yield import_module("trainers_study")
    for name in SCRIPTS:
        sys.modules.pop(name, None)


def row(trainer, seed, *points, **others):
    """A row as trainer_race.py writes it; a point is seconds and what failed."""
    asked = import_module("trainer_race").question(trainer, seed, LIMIT)
    told = [
        {"cpu": at, "wall": 2 * at, "steps": int(1000 * at), "failed": failed}
        for at, failed in points
    ]
    return {**asked, "points": told, "preparing": 9.0, "judging": 3.0, "load": [0, 1], **others}


def written(*rows):
    Path("out/rows").mkdir(parents=True)
    for each in rows:
        name = f"out/rows/{each['trainer']}-{each['seed']}.json"
        Path(name).write_text(json.dumps(each), encoding="utf-8")


def run(study, monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["trainers_study.py", f"limit={LIMIT}", "out=out", *words])
    study.main()


def test_the_table_says_who_needs_how_long_and_who_never_comes_so_far(study, monkeypatch, capsys):
    written(
        row("branching", 0, (0, 12), (2, 5.0), (10, 3.6), (40, 3.9)),
        row("branching", 1, (0, 12), (4, 4.8), (20, 3.7)),
        row("branching", 2, (0, 12), (3, 6.5), (8, 4.9), (30, 4.0)),
        row("rejax_pqn", 0, (0, 70), (6, 6.6), (61, 6.2)),
        row("rejax_pqn", 1, (0, 70), (6, 6.4), (60, 6.7)),
        row("rejax_pqn", 2, (0, 70), (6, 6.6), (50, 6.6)),
    )
    trainers = "trainers=[branching,rejax_pqn,maskable_ppo]"
    run(study, monkeypatch, "seeds=3", trainers, "purejax=/somewhere/python")
    assert "SB3 MaskablePPO is left out: it needs sb3=PYTHON" in capsys.readouterr().out
    results = json.loads(Path("out/results.json").read_text(encoding="utf-8"))
    assert results["command"].endswith(f"seeds=3 {trainers} purejax=PYTHON")
    reached = results["trainers"]["branching"]["reached"]
    assert reached["6.5"]["cpu"] == {"median": 3, "least": 2, "most": 4}
    assert reached["3.7"] == {
        "seeds": 2, "trained": 20,
        "cpu": {"median": 20, "least": 10, "most": 20},
        "wall": {"median": 40, "least": 20, "most": 40},
        "steps": {"median": 20_000, "least": 10_000, "most": 20_000},
    }  # fmt: skip
    table = Path("out/table.md").read_text(encoding="utf-8")
    assert "6.5 % by jaxmem branching after 3.0 s and rejax PQN after 61.0 s" in table
    assert "to 3.7 % by jaxmem branching after 20.0 s, and 1 of 2 do not." in table
    assert "| 20.0 s [10.0, 20.0], 1 never; 40.0 s on the wall; 20 k steps |" in table
    assert "| > 50 s |" in table
    assert Path("out/time_to_quality.png").stat().st_size > 2000


def test_rows_of_another_question_do_not_stand_in_the_table(study, monkeypatch):
    written(row("pqn", 0, (1, 9.0), settings={"learner": "pqn", "steps": 1}))
    with pytest.raises(SystemExit, match="is of another settings; take another out=DIR"):
        run(study, monkeypatch, "trainers=[pqn]")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trainers=[pqm]"], "unknown trainer 'pqm'; did you mean pqn"),
        (["seeds=0"], "seeds must be at least 1"),
        (["trainers=[maskable_ppo]"], "nothing was run"),
        (["trainers=[maskable_ppo]", "sb3=/no/python"], "/no/python: No such file"),
        (
            ["trainers=[maskable_ppo]", f"sb3={shutil.which('false')}"],
            "exit status 1; finished rows are kept",
        ),
    ],
)
def test_what_cannot_be_run_is_told(study, monkeypatch, words, said):
    with pytest.raises(SystemExit, match=said):
        run(study, monkeypatch, *words)


def test_a_study_that_is_stopped_reports_what_it_has(study, monkeypatch):
    written(row("pqn", 0, (1, 9.0), (2, 4.0)))

    def stop(title, command):
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "_run", stop)
    with pytest.raises(KeyboardInterrupt):
        run(study, monkeypatch, "trainers=[pqn,dqn]")
    assert "4.9 % by jaxmem PQN after 2.0 s" in Path("out/table.md").read_text(encoding="utf-8")


class Paced:
    """A trainer that needs 0.25 s for a unit, whatever the clock says."""

    unit, units = 100, 40

    def __init__(self, clock):
        self.clock, self.done = clock, 0

    def advance(self, units):
        self.clock.cpu += 0.25 * units
        self.done += units

    def player(self):
        return self.done

    def compiled(self, units):
        return lambda: self.advance(units) or units


def test_a_race_is_validated_ever_more_seldom_to_the_end_of_the_steps_or_the_limit(study):
    race = import_module("trainer_race")
    clock = race.Clock()
    points = race.race(Paced(clock), clock, lambda done: done, limit=60.0)
    assert [point.failed * 100 for point in points] == [point.steps for point in points]
    assert [point.cpu for point in points] == pytest.approx(
        [point.steps / 400 for point in points], abs=0.1
    )
    assert points[-1].steps == 4000
    assert 8 < len(points) < 16
    clock = race.Clock()
    assert race.race(Paced(clock), clock, lambda done: done, limit=3.0)[-1].steps == 1200


def test_a_script_that_trains_in_one_call_trains_anew_for_each_point(study, monkeypatch):
    race = import_module("trainer_race")
    monkeypatch.setattr(Paced, "player", lambda self, trained: trained)
    clock = race.Clock()
    points = race.ladder(Paced(clock), clock, lambda units: units, limit=5.1)
    assert [point.failed for point in points] == [1, 2, 10, 20]
    assert points[-1].cpu == pytest.approx(5.0, abs=0.1)


def test_the_legal_action_worth_most_is_taken(study, monkeypatch):
    trainers = import_module("raced_trainers")
    monkeypatch.setattr(trainers, "pack", lambda situation, found: None)
    monkeypatch.setattr(trainers, "candidates", lambda packed: np.zeros((17, 65), np.float32))
    none = np.int32(0)
    arena = new_arena(40, 40, 9, "auto", 1, ages=True)
    situation = Situation(arena=arena, size=none + 7, hint=np.float32(0), kind=none)
    rule = trainers.greedy_rule(lambda worth, seen: worth)
    choose = jax.jit(lambda worth: rule(worth, none, situation))
    low, high, elsewhere = (np.eye(17, dtype=np.float32)[at] for at in (0, 1, 5))
    # One hole, the whole memory: of the other actions none is legal.
    assert [int(choose(of)) for of in (low, high, 2 * elsewhere + high)] == [0, 33, 33]


def test_layers_are_joined_by_tanh(study):
    layers = [(np.array([[1.0, -1.0]]), np.array([0.5])), (np.array([[2.0]]), np.array([-1.0]))]
    found = import_module("raced_trainers").tanh_layers(layers, np.array([3.0, 2.5]))
    assert float(found[0]) == pytest.approx(2 * np.tanh(1.0) - 1)
