"""The ablation: what is finished is kept, and the table says what the runs did."""

import functools
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from jaxmem.environment.observations import GROUPS
from jaxmem.evaluation.run import failed_share
from jaxmem.policies import Policy, policy
from jaxmem.policies.learned import BaseRule, Parameters
from jaxmem.workloads.registry import workload

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
SEQUENCES = 8


@pytest.fixture
def ablation(monkeypatch):
    """The script, for one workload."""
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    import ablation

    monkeypatch.setattr(ablation, "WORKLOADS", {"leaks": ("stack-with-leaks", {})})
    yield ablation
    sys.modules.pop("ablation")


@functools.cache
def fails_as(name):
    """A learned policy that plays this rule, compiled once; its base policy is second-fit."""
    base_policy = BaseRule(policy("second"), np.float32(0.0))
    rule = lambda parameters, key, situation: policy(name)(key, situation)  # noqa: E731
    return Policy(Parameters(network=None, base_policy=base_policy), "learned", rule)


@pytest.fixture
def trainings(ablation, monkeypatch):
    """What each run is blind to; all learn first-fit, but without `place` they learn worst-fit."""
    asked = []

    def train(task, learner, *, seed, hidden_feature_groups, listeners, **settings):
        asked.append(hidden_feature_groups)
        training = {"settings": settings, "validation_failed": 1.0}
        return SimpleNamespace(
            policy=fails_as("worst" if hidden_feature_groups == ("place",) else "first"),
            card=SimpleNamespace(training=training, margin=0.0),
            seed=seed,
            base_policy="second",
            steps=9,
            seconds=1.0,
            note="",
        )

    monkeypatch.setattr(ablation, "train", train)
    return asked


def arguments(tmp_path, **options):
    return [f"{key}={value}" for key, value in {"out": tmp_path, "sequences": 8, **options}.items()]


@pytest.mark.slow
def test_a_table_says_how_much_more_fails_without_a_group(ablation, trainings, tmp_path, capsys):
    ablation.main(arguments(tmp_path))
    assert trainings == [(), *((group,) for group in GROUPS)]
    task = workload("stack-with-leaks")
    requests = task.requests("test", 2026, SEQUENCES)
    failed = {
        name: failed_share(policy(name), requests, task)
        for name in ("best", "second", "first", "worst")
    }
    assert failed["worst"] > failed["first"]
    results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    rows = results["rows"]["leaks"]
    assert set(rows) == set(ablation.ROWS)
    for row, name in {
        "best-fit": "best",
        "the base policy alone": "second",
        "place": "worst",
    }.items():
        found = rows[row]
        assert found["failed_requests"]["mean"] == pytest.approx(failed[name])
        expected = failed[name] - failed["first"]
        assert found["difference"]["mean"] == pytest.approx(expected)
        assert found["difference"]["low"] <= expected <= found["difference"]["high"]
    assert rows["hole"]["difference"] == {"mean": 0, "low": 0, "high": 0}
    assert rows["hole"]["seconds"] == 1.0
    assert "jax" in rows["hole"]["versions"]
    text = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert f"| everything | **{failed['first']:.2f}** |" in text
    assert f"| without hole (10) | {failed['first']:.2f}: +0.00 [+0.00, +0.00] |" in text
    assert f"| without place (3) | {failed['worst']:.2f}: +" in text
    assert "8 test sequences" in text
    assert "| without place" in capsys.readouterr().out


@pytest.mark.slow
def test_a_study_that_was_stopped_goes_on_where_it_was(ablation, trainings, tmp_path, monkeypatch):
    train = ablation.train

    def stopped(*given, hidden_feature_groups, **settings):
        result = train(*given, hidden_feature_groups=hidden_feature_groups, **settings)
        result.note = "interrupted after 9 steps" if hidden_feature_groups == ("place",) else ""
        return result

    monkeypatch.setattr(ablation, "train", stopped)
    with pytest.raises(SystemExit, match=r"leaks, place: interrupted .*; finished runs are kept"):
        ablation.main(arguments(tmp_path))
    before = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["rows"]["leaks"]
    assert set(before) == {"best-fit", "the base policy alone", "everything", "hole"}
    assert "| without place (3) |  |" in (tmp_path / "table.md").read_text(encoding="utf-8")
    monkeypatch.setattr(ablation, "train", train)
    trainings.clear()
    ablation.main(arguments(tmp_path))
    assert trainings == [(group,) for group in GROUPS if group != "hole"]
    after = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["rows"]["leaks"]
    assert {row: after[row] for row in before} == before
    assert after["place"]["difference"]["mean"] > 0
    trainings.clear()
    ablation.main(arguments(tmp_path))
    assert trainings == []


@pytest.mark.slow
def test_runs_with_other_settings_do_not_stand_in_one_table(ablation, trainings, tmp_path):
    ablation.main(arguments(tmp_path))
    kept = (tmp_path / "results.json").read_bytes()
    with pytest.raises(SystemExit, match="holds runs with other states, settings; take another"):
        ablation.main(arguments(tmp_path, states=1000))
    with pytest.raises(SystemExit, match="holds runs with other test_seed; take another out=DIR"):
        ablation.main(arguments(tmp_path, test_seed=1))
    assert (tmp_path / "results.json").read_bytes() == kept


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"stats": 3}, "Key 'stats' not in 'Options'; options: states=600000"),
        ({"states": "many"}, "Value 'many' .* could not be converted to Integer; options"),
        ({"states": 0}, "learner.states is 0; a whole number of at least 1"),
        ({"sequences": 1}, "sequences is 1; at least 2"),
    ],
)
def test_options_that_are_not_known_are_refused(option, message, ablation, trainings, tmp_path):
    with pytest.raises(SystemExit, match=message):
        ablation.main(arguments(tmp_path, **option))
    assert trainings == []
    assert list(tmp_path.iterdir()) == []
