"""The study of the buffers' policy: folds, a second start, and what it ships."""

import json
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import safe_open

from jaxmem.arena.arena import NEVER
from jaxmem.recordings import Recording
from jaxmem.recordings.evolution import EvolutionConfig
from jaxmem.recordings.hole_scorer import HOLE_FEATURES, PRIOR, HoleScorer
from jaxmem.recordings.replay import events_of
from jaxmem.recordings.scorer_file import load_scorer

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
        self.seeds = []
        self.ends_at = None  # the call that is interrupted

    def prior_of(self, recordings):
        self.priors.append({recording.name for recording in recordings})
        return np.full(len(PRIOR), 0.5, np.float32)

    def evolve(self, streams, prior, config):
        if len(self.heard) == self.ends_at:
            raise KeyboardInterrupt
        self.heard.append({events.recording.name for events in streams})
        self.seeds.append(config.seed)
        for turn in range(config.generations):
            # Around the number of the call in the last third, and far below before.
            about = len(self.heard) + (turn - 4.5 if turn >= 4 else -100)
            weights = jnp.zeros(len(HOLE_FEATURES)).at[3].set(about)
            yield HoleScorer(weights, jnp.asarray(prior)), 0.5


@pytest.fixture
def study(monkeypatch, tmp_path):
    """The script, on five tiny programs of each family."""
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    import buffer_policy

    monkeypatch.setattr(buffer_policy, "OUT", tmp_path / "study")
    monkeypatch.setattr(buffer_policy, "SHIPPED", tmp_path / "package")
    monkeypatch.setattr(buffer_policy, "STREAMS", 12)
    monkeypatch.setattr(buffer_policy, "VARIATIONS", 2)
    monkeypatch.setattr(buffer_policy, "WINDOW", 16)
    monkeypatch.setattr(buffer_policy, "BEGINNING", 24)
    monkeypatch.setattr(buffer_policy, "CONFIG", {"accelerators": TINY, "tensors": TINY})
    monkeypatch.setattr(buffer_policy, "SEEDS", {"accelerators": (0, 1), "tensors": (0, 3, 1)})
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

    def needed(events, player):
        if isinstance(player, HoleScorer):
            judged.append((events.recording.name, int(player.weights[3])))
        return events.peak_live

    monkeypatch.setattr(study, "units_needed", needed)
    study.main([family])
    turns = [(seed, names) for seed in study.SEEDS[family] for names in folds]
    assert evolved.heard == [set(NAMES) - set(left_out) for _seed, left_out in turns]
    assert evolved.seeds == [seed for seed, _names in turns]
    assert evolved.priors == evolved.heard
    # Each by the weights of its own fold and seed.
    assert judged == [(name, turn + 1) for turn, (_, names) in enumerate(turns) for name in names]
    rows = results_of(study, family)["programs"]
    assert {name: row["fold"] for name, row in rows.items()} == {
        name: fold for fold, names in enumerate(folds) for name in names
    }
    for fold in range(len(folds)):
        assert load_scorer(study.OUT / f"{family}-{fold}.safetensors").weights[3] == fold + 1


@pytest.mark.slow
def test_a_second_start_goes_on_and_keeps_what_is_finished(study, evolved):
    evolved.ends_at = 4  # the second fold of the second seed
    with pytest.raises(KeyboardInterrupt):
        study.main(["tensors"])
    before = results_of(study, "tensors")
    played = {name: len(row["learned"]) for name, row in before["programs"].items()}
    assert played == {name: 2 if name in (NAMES[0], NAMES[3]) else 1 for name in NAMES}
    assert len(before["geometric_mean"]["learned"]) == 1
    evolved.ends_at = None
    study.main(["tensors"])
    results = results_of(study, "tensors")
    for name, row in before["programs"].items():
        after = results["programs"][name]
        assert {**after, "learned": after["learned"][: played[name]]} == row
    assert len(evolved.heard) == 9
    study.main(["tensors"])
    assert len(evolved.heard) == 9
    assert results_of(study, "tensors") == results
    learned = np.array([row["learned"] for row in results["programs"].values()])
    assert learned.min() >= 1
    found = results["geometric_mean"]["learned"]
    np.testing.assert_allclose(found, np.prod(learned, axis=0) ** (1 / 5))
    best = [row["best"] for row in results["programs"].values()]
    assert results["geometric_mean"]["best"] == pytest.approx(np.prod(best) ** (1 / 5))


def test_variations_are_played_by_weights_that_have_not_seen_them(study, evolved, monkeypatch):
    study.main(["accelerators"])
    played = []

    def needed(events, player):
        if isinstance(player, HoleScorer):
            played.append((events.recording.name, int(player.weights[3])))
        return events.peak_live * (2 if isinstance(player, HoleScorer) else 3)

    monkeypatch.setattr(study, "units_needed", needed)
    study.main(["variations"])
    # Call n left out the program of that number.
    assert played == [(name, n + 1) for n, name in enumerate(NAMES) for _ in range(2)]
    results = results_of(study, "variations")
    assert {name: len(rows) for name, rows in results["programs"].items()} == dict.fromkeys(
        NAMES, 2
    )
    mean = results["geometric_mean"]
    for title, value in (("first", 3.0), ("learned", 2.0), ("learned / best", 2 / 3)):
        assert mean[title] == pytest.approx({"mean": value, "low": value, "high": value})


def test_a_comparison_of_variations_is_paired(study):
    def row(learned, rule):
        return {"first": rule, "best": rule, "two_ended": rule, "learned": learned}

    # Learned needs nine tenths of every rule, whatever the variation.
    rows = [[row(0.9 * value, value) for value in of] for of in ((1.2, 1.9, 1.4), (1.1, 1.3, 2.0))]
    found = study.compared({"a": rows[0], "b": rows[1]})
    share = found["learned / two_ended"]
    assert share == pytest.approx({"mean": 0.9, "low": 0.9, "high": 0.9})
    assert found["best"]["low"] < found["best"]["mean"] < found["best"]["high"]
    expected = (1.2 * 1.9 * 1.4 * 1.1 * 1.3 * 2.0) ** (1 / 6)
    assert found["best"]["mean"] == pytest.approx(expected)


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
    study.main(["variations"])
    assert list(study.OUT.iterdir()) == []
    assert not study.SHIPPED.exists()


def test_tensors_are_beginnings_in_turn_with_windows_of_what_is_live(study, monkeypatch):
    known = [program(name) for name in NAMES]
    monkeypatch.setattr(study, "STREAMS", 10)
    streams = list(study.streams_of("tensors", known, 0))
    assert [events.recording.name for events in streams] == 2 * NAMES
    for number, events in enumerate(streams):
        if number < len(NAMES):
            assert events.given == 0
            assert 20 <= events.recording.requests <= study.BEGINNING
        else:
            assert events.recording.requests == events.given + study.WINDOW
    assert any(events.given for events in streams)
    again = list(study.streams_of("tensors", known, 0))
    for one, two in zip(streams, again, strict=True):
        np.testing.assert_array_equal(one.recording.size, two.recording.size)


def test_what_rules_need_is_a_ratio_of_what_is_live(study):
    stay = Recording("stay", np.full(20, 64), np.full(20, NEVER))
    assert study.ruled(events_of(stay, 16)) == {"first": 1.0, "best": 1.0, "two_ended": 1.0}
