"""The accelerator script: its short form whole, what there is no room or time for, odd options."""

import importlib
import json
import sys
from pathlib import Path

import jax
import pytest

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
ROW = {"steps_per_second": 2e6, "made_in": 3.0}
RESULTS = {
    "device": "a device",
    "form": "whole",
    "options": {"seconds": 0.3},
    "environment": [
        {"cells": 100, "arenas": 1024, "observation": "none", **ROW},
        {"cells": 100, "arenas": 4096, "observation": "none", **ROW, "steps_per_second": None},
    ],
    "training": [{"learner": "pqn", "arenas": 128, "members": 32, **ROW}],
    "replay": {"recording": "a program", "events": 1000, "seconds": 2.0},
    "evaluation": {"policy": "a policy", **ROW},
    "answers": [{"what": "starts of first", "differing": 3, "agrees": False}],
    "peak_bytes": 3 * 2**29,
    "skipped": ["pqn, 8,192 arenas, 1 member"],
    "command": "python experiments/accelerator.py out=x",
}


@pytest.fixture
def accelerator(monkeypatch):
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    yield importlib.import_module("accelerator")
    sys.modules.pop("accelerator")


@pytest.mark.slow
def test_the_short_form_leaves_figures_a_table_and_a_picture(accelerator, tmp_path):
    accelerator.main(["seconds=0.03", f"out={tmp_path}"])
    found = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert found["form"] == "short"
    assert {row["observation"] for row in found["environment"]} == {"none", "bitmap"}
    assert {row["learner"] for row in found["training"]} == {"pqn", "branching"}
    rates = [row["steps_per_second"] for row in found["environment"] + found["training"]]
    assert min(rates) > 0
    assert all(row["agrees"] for row in found["answers"])
    assert (tmp_path / "accelerator.png").stat().st_size > 1_000
    assert "best-fit, arena alone" in (tmp_path / "table.md").read_text(encoding="utf-8")


def test_the_table_says_what_had_no_room_what_had_no_time_and_what_is_wrong(accelerator):
    text = accelerator.table(RESULTS)
    assert "| 100 | 1,024 | best-fit, arena alone | 2,000,000 | 3 s |" in text
    assert "| 100 | 4,096 | best-fit, arena alone | no room | - |" in text
    assert "starts of first: NOT as on the CPU (differing: 3)" in text
    assert "at most: 1.50 GiB" in text
    assert "No time was left for: pqn, 8,192 arenas, 1 member." in text


def test_a_picture_is_drawn_of_what_had_room(accelerator, tmp_path):
    accelerator.draw(tmp_path / "accelerator.png", RESULTS)
    assert (tmp_path / "accelerator.png").stat().st_size > 1_000


def test_what_has_no_room_is_told_and_other_faults_are_raised(accelerator):
    def fail(reason):
        raise jax.errors.JaxRuntimeError(reason)

    full = accelerator.timed(lambda: fail("RESOURCE_EXHAUSTED: out of memory"), 0.1)
    assert full == {"steps_per_second": None, "made_in": None}
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        accelerator.timed(lambda: fail("INTERNAL: a fault"), 0.1)


def test_nothing_new_is_begun_once_the_time_is_over(accelerator):
    clock = accelerator.Clock(budget=-1.0)
    assert not clock.allows("this")
    assert accelerator.environment(accelerator.SHORT, accelerator.Options(), clock, print) == []
    assert len(clock.skipped) == 3  # this, and the first of either kind of step


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["seconds=0"], "seconds is 0, budget 330"),
        (["seconds=nan"], "seconds is nan"),
        (["budget=-1"], "budget -1"),
        (["cores=2"], "options: seconds=0.5"),
        (["seconds=x"], "options: seconds=0.5"),
    ],
)
def test_odd_options_are_refused(accelerator, words, said):
    with pytest.raises(SystemExit, match=said):
        accelerator.options_of(words)
