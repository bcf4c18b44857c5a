"""What `train` refuses, before anything is drawn or compiled."""

import re
from dataclasses import replace

import pytest

from jaxmem.configuration import configure
from jaxmem.environment.environment import Environment
from jaxmem.learning.config import train_config
from jaxmem.learning.train import train
from jaxmem.policies.q_functions import CandidateQ
from jaxmem.settings.learner import EvaluationConfig, PQNConfig
from jaxmem.workloads.registry import Workload, workload

TASK = Workload(name="made", cells=36, draw=lambda *_: None, length=40)
CHECKED = {"learner": "pqn", "seed": 0, "holes": 8, "reward": "failures"}


def test_what_training_accepts_is_an_environment_and_a_configuration():
    run = train_config(TASK, **CHECKED, steps=500, hidden_sizes=[16, 8])
    assert run.env == Environment(
        cells=TASK.cells, horizon=40, observation="packed", holes=8, keep_last=False
    )
    assert run.settings == PQNConfig(steps=500, hidden_sizes=(16, 8))
    assert isinstance(run.settings.hidden_sizes, tuple)


def test_what_a_network_is_blind_to_is_given_as_a_list():
    run = train_config(TASK, **CHECKED, hidden_feature_groups=["place", "segments"])
    assert run.settings == PQNConfig(hidden_feature_groups=("place", "segments"))
    assert run.q == CandidateQ(8, run.settings.hidden_sizes, ("place", "segments"))


def test_the_game_is_the_one_that_the_network_reads():
    run = train_config(TASK, **{**CHECKED, "learner": "dqn"}, network="mlp")
    assert (run.env.actions, run.env.observation) == ("address", "bitmap")
    assert run.settings.network == "mlp"
    run = train_config(TASK, **{**CHECKED, "learner": "dqn"})
    assert (run.env.actions, run.env.observation) == ("holes", "packed")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"learner": "dqm"}, "unknown learner 'dqm'; did you mean dqn"),
        ({"network": "mlp"}, "network.name is 'mlp'; this learner trains scorer"),
        ({"seed": -1}, "seed is -1; a whole number from 0 to 2^32 - 1"),
        ({"seed": 2**32}, "seed is 4294967296"),
        ({"seed": 1.0}, "seed is 1.0"),
        ({"seed": True}, "seed is True"),
        ({"holes": 0}, "holes must be a whole number of at least 1, not 0"),
        ({"reward": "score"}, "reward must be one of failures, bytes, classic, not 'score'"),
        ({"step": 1000}, "learner pqn has no setting 'step'; did you mean steps?"),
        ({"lambda": 0.5}, "did you mean lambda_"),
        ({"steps": 0}, "learner.steps is 0"),
        ({"minibatches": 7}, "learner.minibatches is 7"),
        ({"hidden_sizes": []}, "network.hidden_sizes is []"),
        ({"hidden_sizes": [0]}, "network.hidden_sizes is [0]"),
        ({"hidden_sizes": 64}, "network.hidden_sizes is 64"),
        (
            {"hidden_feature_groups": ["places"]},
            "network.hidden_feature_groups is ['places']; a list of any of hole, place, neigh",
        ),
        (
            {"hidden_feature_groups": "place"},
            "network.hidden_feature_groups is 'place'; a list of groups of features",
        ),
        (
            {"hidden_feature_groups": [["place"]]},
            "network.hidden_feature_groups is [['place']]; a list of groups of",
        ),
        (
            {"learner": "dqn", "network": "mlp", "hidden_feature_groups": ["place"]},
            "network.hidden_feature_groups is ['place']; only a scorer reads features, of net",
        ),
        ({"holes": 2.5}, "holes"),
        ({"holes": "8"}, "holes"),
    ],
)
def test_a_wrong_run_is_refused_before_it_begins(wrong, message, monkeypatch):
    def drawn(*_):
        raise AssertionError("sequences were drawn")

    monkeypatch.setattr(Workload, "requests", drawn)
    question = {**CHECKED, **wrong}
    with pytest.raises(ValueError, match=re.escape(message)):
        train_config(TASK, **question)
    learner = question.pop("learner")
    with pytest.raises(ValueError, match=re.escape(message)):
        train(TASK, learner, **question)


def test_one_fixed_sequence_is_not_trained_on():
    message = "workload scenario is one fixed sequence: nothing to train on"
    with pytest.raises(ValueError, match=message):
        train_config(workload("scenario"), **CHECKED)
    with pytest.raises(ValueError, match=message):
        train(replace(TASK, name="scenario", fixed=True))


def test_an_unknown_workload_is_refused_with_the_nearest_names():
    with pytest.raises(ValueError, match="unknown workload 'combs'; did you mean comb"):
        train("combs")


@pytest.mark.parametrize("verb", ["train", "search"])
def test_the_configuration_files_say_what_is_chosen_on_as_python_does(verb):
    assert configure(verb, []).evaluation == EvaluationConfig()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"training_sequences": 0}, "evaluation.training_sequences is 0; a whole number of at"),
        ({"validations": 2.5}, "evaluation.validations is 2.5"),
        ({"late": 1.5}, "evaluation.late is 1.5; a number from 0 to 1"),
        ({"margins": []}, "evaluation.margins is []"),
        ({"margins": 0.1}, "evaluation.margins is 0.1"),
        ({"margins": ["a"]}, "evaluation.margins is ['a']; a list of numbers of at least 0"),
        ({"margins": [float("nan")]}, "evaluation.margins is [nan]"),
        ({"sequences": 1}, "it has training_sequences, tuning_sequences"),
    ],
)
def test_what_cannot_be_chosen_on_is_refused(wrong, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        EvaluationConfig.read({**EvaluationConfig().plain(), **wrong})


@pytest.mark.parametrize("given", [5, None, [], "all", {}])
def test_an_evaluation_that_is_none_is_refused(given):
    with pytest.raises(ValueError, match="it has training_sequences, tuning_sequences"):
        EvaluationConfig.read(given)
