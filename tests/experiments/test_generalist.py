"""The generalist's script: it teaches, tests and ships what it says, with few requests."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from jaxmem.evaluation.run import failed_share
from jaxmem.policies import policy
from jaxmem.policies.policy_file import load_policy, read_policy
from jaxmem.workloads.registry import workload

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def generalist(monkeypatch, tmp_path):
    """The script, for one workload."""
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    import generalist

    monkeypatch.setattr(generalist, "ROWS", {"comb": ("comb", {}, ())})
    config = replace(
        generalist.CONFIG,
        iterations=3,
        arenas=32,
        buffer_updates=3,
        minibatch=128,
        hidden_sizes=(16,),
        sequences=8,
        capacity=128,
    )
    monkeypatch.setattr(generalist, "CONFIG", config)
    monkeypatch.setattr(generalist, "MARGINS", (0.0, 1e6))
    for name, few in (("TRIAL", 8), ("VALIDATION", 8), ("TEST", 8), ("TEST_OTHERS", 8)):
        monkeypatch.setattr(generalist, name, few)
    for name in ("OUT", "SHIPPED", "MEMBERS"):
        monkeypatch.setattr(generalist, name, tmp_path / name)
    yield generalist
    sys.modules.pop("generalist")


@pytest.mark.slow
def test_it_ships_what_it_tested(generalist, tmp_path):
    generalist.main()
    shipped = tmp_path / "SHIPPED" / "generalist.safetensors"
    results = json.loads((tmp_path / "OUT" / "results.json").read_text(encoding="utf-8"))
    assert results == json.loads(shipped.with_suffix(".json").read_text(encoding="utf-8"))
    _, card = read_policy(shipped)
    assert card.estimates_lifetimes
    assert card.base_policy == "two_ended_tuned"
    assert list(card.training["workloads"]) == list(results["tasks"])
    found = results["tasks"]["comb, 116 cells"]
    assert found["sequences"] == 8
    task = workload("comb")
    requests = task.requests("test", generalist.TEST_SEED, 8)
    for name, player in (("learned", load_policy(shipped)), ("best", policy("best"))):
        expected = failed_share(player, requests, task)
        np.testing.assert_allclose(found["failed_requests"][name], expected, atol=1e-9)
    text = (tmp_path / "OUT" / "table.md").read_text(encoding="utf-8")
    assert text.count("\n| comb, ") == 1


@pytest.mark.slow
def test_the_teacher_is_the_one_that_fails_less(generalist, monkeypatch):
    rule = generalist.task_of("comb", 0)
    assert rule.taught_by != "the study's policy"
    generalist.MEMBERS.mkdir()
    (generalist.MEMBERS / "comb-0.safetensors").touch()
    monkeypatch.setattr(generalist, "specialist", lambda row: policy("worst"))
    assert generalist.task_of("comb", 0).taught_by == rule.taught_by
    monkeypatch.setattr(generalist, "specialist", lambda row: rule.taught.teacher)
    weak = [(policy("worst"), "worst")]
    monkeypatch.setattr(generalist, "strongest_rules", lambda task, seed: weak)
    assert generalist.task_of("comb", 0).taught_by == "the study's policy"


def test_a_margin_that_costs_too_much_on_a_task_is_not_taken(generalist, monkeypatch):
    failed = {"best": 3.0, 0.0: 3.2, 1e6: 2.9}
    monkeypatch.setattr(generalist, "player", lambda network, margin: margin)
    monkeypatch.setattr(
        generalist, "failed_share", lambda one, *_: failed[getattr(one, "name", one)]
    )
    tasks = [SimpleNamespace(workload=workload("comb"))]
    assert generalist.chosen_margin(None, tasks) == 1e6
    failed[0.0] = 2.0
    assert generalist.chosen_margin(None, tasks) == 0.0
