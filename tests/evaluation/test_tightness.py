"""Training stops where nothing can fail, and says what to set; of equal rules best-fit is taken."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem.cli import main
from jaxmem.evaluation import tightness, tuning
from jaxmem.evaluation.run import failed_share
from jaxmem.evaluation.tightness import check_tight
from jaxmem.evaluation.tuning import finalists, least_failing, strongest_rules, tuned
from jaxmem.learning.base_policies import base_policies_for, choose_base_policy
from jaxmem.learning.train import train
from jaxmem.policies import policy
from jaxmem.settings.learner import ALONE, EvaluationConfig
from jaxmem.workloads.registry import Workload, workload
from jaxmem.workloads.requests import requests_of

SEQUENCES, LENGTH = 16, 24


def drawn(split, key, sequences, length):
    """Sizes of 1 to 8 cells and lifetimes of 1 to 9 requests: at most 72 cells are live."""
    by_size, by_lifetime = jax.random.split(key)
    size = jax.random.randint(by_size, (sequences, length), 1, 9)
    return requests_of(size, jax.random.randint(by_lifetime, (sequences, length), 1, 10))


ROOMY = Workload(name="made", cells=120, draw=drawn, length=LENGTH, warmup=0)
TIGHT = dataclasses.replace(ROOMY, cells=20)
FEW = EvaluationConfig(tuning_sequences=SEQUENCES, selection_sequences=SEQUENCES)


@pytest.fixture(autouse=True)
def few_sequences(monkeypatch):
    monkeypatch.setattr(tightness, "PLAYED_SEQUENCES", SEQUENCES)
    monkeypatch.setattr(tuning, "TUNING_SEQUENCES", SEQUENCES)
    monkeypatch.setattr(tightness, "TRIED_SEQUENCES", SEQUENCES)
    tightness._fails.cache_clear()


def test_an_arena_in_which_best_fit_fails_is_tight():
    check_tight(TIGHT, 0)


def test_where_nothing_fails_the_arena_to_take_is_named_and_is_tight():
    message = r"workload made in an arena of 120 cells.*nothing to learn; take .*, as cells="
    with pytest.raises(ValueError, match=message) as told:
        check_tight(ROOMY, 0)
    cells = int(str(told.value).rpartition("=")[2])
    assert 8 <= cells < 120
    tighter = dataclasses.replace(ROOMY, cells=cells)
    check_tight(tighter, 0)
    requests = tighter.requests("train", 0, SEQUENCES)
    assert failed_share(policy("best"), requests, tighter) >= tightness.FAILS_ENOUGH


def test_a_workload_that_fails_in_no_arena_says_so():
    def ones(split, key, *shape):
        return requests_of(jnp.ones(shape, int), jnp.ones(shape))

    alone = Workload("alone", 9, ones)
    with pytest.raises(ValueError, match="nothing to learn; no smaller arena makes it fail either"):
        check_tight(dataclasses.replace(alone, length=6, warmup=0), 0)


def test_training_stops_before_its_first_step_where_nothing_fails():
    class Deaf:
        def started(self, *_):
            raise AssertionError("training began")

        report = started

    with pytest.raises(ValueError, match="there is nothing to learn"):
        train(ROOMY, "pqn", listeners=[Deaf()])


def test_training_on_a_recording_that_cannot_fail_ends_with_the_slack_to_take(tmp_path, capsys):
    draw = np.random.default_rng(0)
    size, events, live = draw.integers(1, 200, 400), ["op,id,size"], []
    for number, bytes_ in enumerate(size):
        if len(live) == 8:
            events.append(f"f,{live.pop(draw.integers(8))},0")
        events.append(f"a,{number},{bytes_}")
        live.append(number)
    path, out = tmp_path / "mine.csv", tmp_path / "run"
    path.write_text("\n".join(events) + "\n", encoding="utf-8")
    command = ["train", "workload=trace", f"workload.path={path}", "workload.slack=3"]
    assert main([*command, f"out={out}"]) == 2
    heard = capsys.readouterr()
    assert heard.err.count("\n") == 1
    assert "fails no request of workload trace with workload.slack=3, on training" in heard.err
    assert not out.exists()
    slack = float(heard.err.rpartition("workload.slack=")[2])
    task = workload("trace", path=str(path), slack=slack, episodes="windows")
    requests = task.requests("train", 0, SEQUENCES)
    assert failed_share(policy("best"), requests, task) > 0


def test_of_rules_that_fail_alike_best_fit_is_the_strongest_and_the_guide():
    names = [rule.name for rule, _ in strongest_rules(ROOMY, 0)]
    assert names[0] == "best"
    assert [rule.name for rule, _ in base_policies_for("strongest", ROOMY, 0, FEW)] == ["best"]


def test_two_ended_tuned_is_best_fit_where_it_does_no_better():
    rules = [
        np.array(rule.parameters).tolist() for rule, _ in finalists("two_ended_tuned", ROOMY, 0)
    ]
    assert rules[0] == [8, 1, 1]  # the largest size is small: all lie low, in best-fit's holes
    assert len(rules) == 4
    assert np.array(tuned("two_ended_tuned", ROOMY, 0)[0].parameters).tolist() == [8, 1, 1]


def test_best_fit_is_kept_where_nothing_does_better_on_validation_sequences():
    """The others are rules here, which a network never makes leave: worst-fit fails more."""
    rules = [policy("worst"), policy("best")]
    assert choose_base_policy(lambda rule, _: rule, rules, TIGHT, 0, FEW) == (1, ALONE)
    assert choose_base_policy(lambda rule, _: rule, rules, ROOMY, 0, FEW) == (1, ALONE)
    better = choose_base_policy(lambda rule, margin: policy("best"), rules[:1], TIGHT, 0, FEW)
    assert better[0] == 0
    assert better[1] < ALONE


@pytest.mark.parametrize(
    ("failed", "least"),
    [
        ({"first": 0.0, "second": 0.0, "best": 0.0}, "best"),
        ({"first": 0.0, "best": 0.1}, "first"),
        ({"worst": 2.0, "first": 2.0}, "worst"),
    ],
)
def test_the_least_failing_is_best_fit_where_it_is_among_the_least(failed, least):
    assert least_failing(failed) == least
