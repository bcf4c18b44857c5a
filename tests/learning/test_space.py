"""What a search may vary, and what it is told when it may not."""

import pytest

from jaxmem.learning.config import train_config
from jaxmem.learning.search import plan_search
from jaxmem.learning.space import USUAL, Choice, Range, about, space_of
from jaxmem.settings.learner import LEARNERS
from jaxmem.workloads.registry import Workload

TASK = Workload(name="made", cells=36, draw=lambda *_: None, length=40)


def plan_of(space, learner="pqn", seeds=2, **changes):
    return plan_search(train_config(TASK, learner, **changes), space, seeds)


def test_a_range_is_of_the_kind_of_its_setting():
    space = space_of("pqn", {"gamma": {"low": 0, "high": 1}, "arenas": {"low": 16, "high": 64}})
    assert space == {"gamma": Range(0.0, 1.0), "arenas": Range(16, 64, whole=True)}
    assert isinstance(space["gamma"].low, float)
    assert space_of("pqn", {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}) == {
        "learning_rate": Range(1e-4, 1e-2, log=True)
    }


def test_a_list_is_a_choice():
    assert space_of("branching", {"base_policy": ["best", "first"]}) == {
        "base_policy": Choice(("best", "first"))
    }


@pytest.mark.parametrize("learner", LEARNERS)
def test_every_learner_has_a_usual_space_whose_trials_are_one_program(learner):
    plan = plan_of({}, learner)
    assert about(plan.space) == about(space_of(learner, USUAL[learner]))
    assert set(plan.space) <= set(LEARNERS[learner].NUMBERS)
    # The settings that there are without a search are among those that it tries first.
    assert all(plan.space[name].holds(value) for name, value in plan.defaults.items())


def test_the_space_can_be_asked_for_again():
    given = {"arenas": [64, 128], "gamma": {"low": 0.9, "high": 0.99, "log": False}}
    assert about(space_of("pqn", given)) == given


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"gama": [0.9]}, r"space.gama: learner pqn has no such setting; did you mean gamma"),
        ({"gamma": []}, r"space.gamma is \[\]; a list of values"),
        ({"gamma": [0.9, 0.9]}, r"space.gamma has a value twice: \[0.9, 0.9\]"),
        ({"gamma": 0.9}, "space.gamma is 0.9; a list of values, or {low: A, high: B, log: true}"),
        ({"gamma": [[0.9]]}, r"space.gamma has \[0.9\]; only numbers, words"),
        ({"gamma": {"low": 0.9}}, "space.gamma has no high; a range is"),
        ({"gamma": {"low": 0.9, "hihg": 1}}, "space.gamma has no 'hihg'; did you mean high"),
        ({"gamma": {"low": 0.9, "high": 0.9}}, "goes from 0.9 to 0.9; low must be below high"),
        ({"gamma": {"low": 0.9, "high": 0.1}}, "goes from 0.9 to 0.1; low must be below high"),
        ({"gamma": {"low": 0, "high": 1, "log": True}}, "space.gamma.low is 0; above 0, where log"),
        ({"gamma": {"low": 0.1, "high": 1, "log": 1}}, "space.gamma.log is 1; true or false"),
        ({"gamma": {"low": "a", "high": 1}}, "space.gamma.low is 'a'; a number"),
        ({"gamma": {"low": 0.1, "high": float("inf")}}, "space.gamma.high is inf; a finite number"),
        ({"gamma": {"low": 0.5, "high": 1.5}}, "space.gamma has 1.5: learner.gamma is 1.5; a numb"),
        ({"arenas": {"low": 1.5, "high": 4}}, "space.arenas.low is 1.5; a whole number"),
        ({"minibatches": [4, 7]}, "space.minibatches has 7: learner.minibatches is 7; it must div"),
        ({"network": {"low": 1, "high": 2}}, "space.network is a range, and the setting no number"),
    ],
)
def test_a_space_that_is_none_is_refused(space, said):
    with pytest.raises(ValueError, match=said):
        plan_of(space)


def test_what_training_refuses_is_refused_first():
    with pytest.raises(ValueError, match="unknown learner 'pqm'"):
        plan_of({}, "pqm")
    with pytest.raises(ValueError, match="seeds is 0; a whole number"):
        plan_of({}, seeds=0)
    with pytest.raises(ValueError, match="devices is 99; all, or a number"):
        plan_of({}, devices=99)
