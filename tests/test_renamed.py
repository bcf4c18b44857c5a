"""Old names: the command line says the new ones, and old files are read by them."""

import dataclasses
import json

import numpy as np
import pytest
import yaml
from flax.traverse_util import flatten_dict
from networks import scorer_weights
from safetensors.numpy import save_file

from jaxmem import renamed
from jaxmem.cli import main
from jaxmem.environment.observations import FEATURES
from jaxmem.policies.policy_file import Card, load_policy, read_policy
from jaxmem.run_folder import CONFIG
from jaxmem.runs import runs_below
from jaxmem.settings.fields import hints_of
from jaxmem.settings.learner import LEARNERS


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "learner.guide=best"], "learner.guide is called learner.base_policy now"),
        (["train", "network.widths=[8]"], "network.widths is called network.hidden_sizes now"),
        (["train", "sweep.kept=[8,9]"], "sweep.kept is called grid.buffer_updates now"),
        (["train", "sweep={}"], "sweep is called grid now"),
        (["train", "-m", "learner.pool=1,2"], "learner.pool is called learner.oversampling now"),
        (["search", "space.passes=[4.0]"], "space.passes is called space.epochs now"),
        (["compare", "workload.hints=true"], "workload.hints is called workload.lifetime_hints="),
        (["compare", "workload.foretell=true"], "workload.lifetime_hints=estimated now"),
        (["compare", "policies=[best,segregated]"], "segregated is called two_ended_tuned now"),
        (["compare", "reference=segregated"], "segregated is called two_ended_tuned now"),
        (["train", "learner.base_policy=segregated"], "segregated is called two_ended_tuned now"),
        (["sweep", "trials=4"], "sweep is called search now"),
        (["sweep", "--help"], "sweep is called search now"),
    ],
)
def test_an_old_name_is_answered_with_the_new_one_in_one_line(words, said, capsys):
    assert main(words) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""


def test_new_names_are_settings_and_old_ones_are_not():
    known = {name for learner in LEARNERS for name in hints_of(LEARNERS[learner])}
    assert set(renamed.SETTINGS.values()) <= known
    assert not set(renamed.SETTINGS) & known
    assert renamed.new_key("workload.slack") is renamed.new_key("seed") is None
    assert renamed.new_key("learner.epsilon") is None


OLD_CARD = {
    "holes": 3,
    "widths": [8, 4],
    "network": "scorer",
    "cells": None,
    "blind": ["place"],
    "guide": "segregated",
    "choice": [3, 1, 1],
    "margin": 0.5,
    "foretells": True,
    "features": list(FEATURES),
    "format": "jaxmem-policy-1",
    "training": {
        "workload": "call-sites",
        "hinted": True,
        "settings": {"guide": "strongest", "kept": 256, "passes": 6.0, "widths": [8, 4]},
    },
}
NEW_CARD = Card(
    holes=3,
    hidden_sizes=(8, 4),
    hidden_feature_groups=("place",),
    base_policy="two_ended_tuned",
    choice=(3, 1, 1),
    margin=0.5,
    estimates_lifetimes=True,
    training={
        "workload": "call-sites",
        "lifetime_hints": "class",
        "settings": {
            "base_policy": "strongest",
            "buffer_updates": 256,
            "epochs": 6.0,
            "hidden_sizes": [8, 4],
        },
    },
)


def test_a_policy_with_an_old_card_loads(tmp_path):
    network = scorer_weights((8, 4))
    arrays = {name: np.asarray(leaf) for name, leaf in flatten_dict(network, sep="/").items()}
    save_file(arrays, tmp_path / "old.safetensors", metadata={"card": json.dumps(OLD_CARD)})
    assert read_policy(tmp_path / "old.safetensors")[1] == NEW_CARD
    loaded = load_policy(tmp_path / "old.safetensors")
    assert loaded.estimates_lifetimes
    assert loaded.parameters.base_policy.rule.name == "two_ended_tuned"


def test_a_card_of_today_stays_as_it_is():
    card = json.loads(json.dumps(dataclasses.asdict(NEW_CARD)))
    assert renamed.new_card(card) == card


OLD_CONFIG = {
    "workload": {"source": "training-step", "hints": True, "foretell": False},
    "learner": {"name": "dqn", "minimum": 64, "target_rate": 0.01},
    "network": {"name": "mlp", "widths": [8]},
    "sweep": {},
    "seed": 0,
}


def test_the_configuration_of_an_old_run_is_read():
    assert renamed.new_config(OLD_CONFIG) == {
        "workload": {"source": "training-step", "lifetime_hints": "oracle"},
        "learner": {"name": "dqn", "learning_starts": 64, "tau": 0.01},
        "network": {"name": "mlp", "hidden_sizes": [8]},
        "grid": {},
        "seed": 0,
    }


def test_an_old_run_is_summarized_by_the_names_of_today(tmp_path):
    means = {"best": {"failed_requests": {"mean": 4.0}}}
    results = {"workload": "training-step", "policies": means}
    (tmp_path / "results.json").write_text(json.dumps(results), encoding="utf-8")
    (tmp_path / CONFIG).write_text(yaml.safe_dump(OLD_CONFIG), encoding="utf-8")
    (run,), left_out = runs_below(tmp_path)
    assert not left_out
    assert run.config == renamed.new_config(OLD_CONFIG)


@pytest.mark.parametrize("verb", ["train", "search"])
def test_an_old_run_does_not_go_on_and_one_line_says_why(verb, tmp_path, capsys):
    (tmp_path / CONFIG).write_text(yaml.safe_dump(OLD_CONFIG), encoding="utf-8")
    assert main([verb, f"resume={tmp_path}"]) == 2
    said = capsys.readouterr().err
    assert "is of an earlier version of jaxmem, whose settings had other names" in said
    assert said.count("\n") == 1
