"""The study of the buffers' policy: folds, a second start, and what it ships."""

import json
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import safe_open

from jaxmem.evaluation.replay import events_of
from jaxmem.learning.evolution import EvolutionConfig
from jaxmem.policies.hole_scorer import FEATURES, PRIOR, HoleScorer
from jaxmem.policies.saved_scorer import load_scorer
from jaxmem.workloads.requests import NEVER
from jaxmem.workloads.traces import Recording

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
TINY = EvolutionConfig(generations=6, population=4, recordings=2, factors=(1.1,), slots=8)
NAMES = [f"program-{letter}" for letter in "abcde"]


def program(name: str) -> Recording:
    random = np.random.default_rng(NAMES.index(name))
    lifetime = random.integers(1, 9, 40)
    lifetime[::7] = NEVER
    return Recording(name, 64 * random.integers(1, 60, 40), lifetime)


class Evolved:
    """In place of evolution: hears what weights would learn from, and gives them at once."""

    def __init__(self):
        self.heard = []  # the names of the programs that streams are of, by call
        self.priors = []  # the names of those that the prior is of
        self.ends_at = None  # the call that is interrupted

    def prior_of(self, recordings):
        self.priors.append({recording.name for recording in recordings})
        return np.full(len(PRIOR), 0.5, np.float32)

    def evolve(self, streams, prior, config):
        if len(self.heard) == self.ends_at:
            raise KeyboardInterrupt
        self.heard.append({events.recording.name for events in streams})
        for turn in range(config.generations):
            # Around the number of the call in the last third, and far below before.
            about = len(self.heard) + (turn - 4.5 if turn >= 4 else -100)
            weights = jnp.zeros(len(FEATURES)).at[3].set(about)
            yield HoleScorer(weights, jnp.asarray(prior)), 0.5


@pytest.fixture
def study(monkeypatch, tmp_path):
    """The script, on five tiny programs of each family."""
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    import buffer_policy

    monkeypatch.setattr(buffer_policy, "OUT", tmp_path / "study")
    monkeypatch.setattr(buffer_policy, "SHIPPED", tmp_path / "package")
    monkeypatch.setattr(buffer_policy, "STREAMS", 12)
    monkeypatch.setattr(buffer_policy, "WINDOW", 16)
    monkeypatch.setattr(buffer_policy, "BEGINNING", 24)
    monkeypatch.setattr(buffer_policy, "CONFIG", {"accelerators": TINY, "tensors": TINY})
    programs = {name: program(name) for name in NAMES}
    monkeypatch.setattr(buffer_policy, "programs", lambda family: programs)
    yield buffer_policy
    sys.modules.pop("buffer_policy")


@pytest.fixture
def evolved(study, monkeypatch):
    evolved = Evolved()
    monkeypatch.setattr(study, "evolve", evolved.evolve)
    monkeypatch.setattr(study, "prior_of", evolved.prior_of)
    return evolved


def results_of(study, family):
    return json.loads((study.OUT / f"{family}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("family", "folds"),
    [
        ("accelerators", [[name] for name in NAMES]),
        ("tensors", [[NAMES[0], NAMES[3]], [NAMES[1], NAMES[4]], [NAMES[2]]]),
    ],
)
def test_a_fold_leaves_out_what_it_judges(study, evolved, monkeypatch, family, folds):
    judged = []

    def needed(events, scorer):
        judged.append((events.recording.name, int(scorer.weights[3])))
        return dict.fromkeys(("first", "best", "two_ended", "learned"), 1.0)

    monkeypatch.setattr(study, "needed", needed)
    study.main([family])
    assert evolved.heard == [set(NAMES) - set(left_out) for left_out in folds]
    assert evolved.priors == evolved.heard
    # Each by the weights of its own fold.
    assert judged == [(name, fold + 1) for fold, names in enumerate(folds) for name in names]
    rows = results_of(study, family)["programs"]
    assert {name: row["fold"] for name, row in rows.items()} == {
        name: fold for fold, names in enumerate(folds) for name in names
    }
    for fold in range(len(folds)):
        assert load_scorer(study.OUT / f"{family}-{fold}.safetensors").weights[3] == fold + 1


def test_a_second_start_goes_on_and_keeps_what_is_finished(study, evolved):
    evolved.ends_at = 1
    with pytest.raises(KeyboardInterrupt):
        study.main(["tensors"])
    before = results_of(study, "tensors")["programs"]
    assert set(before) == {NAMES[0], NAMES[3]}
    evolved.ends_at = None
    study.main(["tensors"])
    results = results_of(study, "tensors")
    assert {name: results["programs"][name] for name in before} == before
    assert set(results["programs"]) == set(NAMES)
    assert len(evolved.heard) == 3
    study.main(["tensors"])
    assert len(evolved.heard) == 3
    assert results_of(study, "tensors") == results
    learned = [row["learned"] for row in results["programs"].values()]
    assert min(learned) >= 1
    assert results["geometric_mean"]["learned"] == pytest.approx(np.prod(learned) ** (1 / 5))


def test_what_ships_has_learned_from_all_programs_of_a_family_and_can_be_loaded(study):
    study.ship("tensors", "learned")
    scorer = load_scorer(study.SHIPPED / "learned.safetensors")
    assert np.isfinite(scorer.weights).all()
    assert scorer.weights.any()
    with safe_open(study.SHIPPED / "learned.safetensors", framework="numpy") as file:
        training = json.loads(file.metadata()["card"])["training"]
    assert training["programs"] == NAMES
    assert training["config"]["generations"] == TINY.generations


def test_one_policy_ships_with_the_mean_of_the_last_weights(study, evolved):
    study.main(["ship"])
    assert evolved.heard == [set(NAMES)]
    assert load_scorer(study.SHIPPED / "learned.safetensors").weights[3] == 1
    assert [file.name for file in study.SHIPPED.iterdir()] == ["learned.safetensors"]


def test_a_family_that_is_not_there_is_left_out(study, evolved, monkeypatch):
    monkeypatch.setattr(study, "programs", lambda family: {})
    study.main([])
    assert evolved.heard == []
    assert list(study.OUT.iterdir()) == []
    assert not study.SHIPPED.exists()


def test_tensors_are_beginnings_in_turn_with_windows_of_what_is_live(study, monkeypatch):
    known = [program(name) for name in NAMES]
    monkeypatch.setattr(study, "STREAMS", 10)
    streams = list(study.streams_of("tensors", known))
    assert [events.recording.name for events in streams] == 2 * NAMES
    for number, events in enumerate(streams):
        if number < len(NAMES):
            assert events.given == 0
            assert 20 <= events.recording.requests <= study.BEGINNING
        else:
            assert events.recording.requests == events.given + study.WINDOW
    assert any(events.given for events in streams)
    again = list(study.streams_of("tensors", known))
    for one, two in zip(streams, again, strict=True):
        np.testing.assert_array_equal(one.recording.size, two.recording.size)


def test_what_is_needed_is_a_ratio_of_what_is_live(study):
    scorer = HoleScorer(jnp.zeros(len(FEATURES)), jnp.zeros(len(PRIOR)))
    stay = Recording("stay", np.full(20, 64), np.full(20, NEVER))
    assert study.needed(events_of(stay, 16), scorer) == {
        "first": 1.0,
        "best": 1.0,
        "two_ended": 1.0,
        "learned": 1.0,
    }
