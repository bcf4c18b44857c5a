"""A comparison is fair: the same fresh sequences for all, and differences with intervals."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import scorer_weights, weights_of

from jaxmem.evaluation import decision_time, tuning
from jaxmem.evaluation.arena_needed import arena_needed
from jaxmem.evaluation.compare import compare
from jaxmem.evaluation.question import COSTLY_MEASURES, MEASURES, find_policy, question_of
from jaxmem.evaluation.run import failed_share, measure, run
from jaxmem.evaluation.tuning import finalists, strongest_rules, tuned
from jaxmem.policies import policy
from jaxmem.policies.learned import greedy
from jaxmem.policies.policy_file import Card, PolicyFileError, save_policy
from jaxmem.policies.q_functions import AddressQ, CandidateQ
from jaxmem.render.palette import policy_title
from jaxmem.rules import CLASSICAL, FITS
from jaxmem.settings.verbs import SHOWN
from jaxmem.workloads.peaks import peak_live
from jaxmem.workloads.registry import Workload, workload
from jaxmem.workloads.requests import requests_of

SEQUENCES, LENGTH, CELLS = 24, 40, 40


def draw(split, key, sequences, length):
    """Many small blocks that live long, and large ones that do not: low and high ends pay."""
    random = np.random.default_rng(np.asarray(jax.random.key_data(key)).tolist())
    shape = (sequences, length)
    small = random.random(shape) < 0.5
    return requests_of(
        np.where(small, random.integers(1, 4, shape), random.integers(8, 12, shape)),
        np.where(small, random.integers(12, 24, shape), random.integers(1, 3, shape)),
    )


TASK = Workload(name="made", cells=CELLS, draw=draw, length=LENGTH, warmup=4)


@pytest.fixture
def drawn(monkeypatch):
    """Which splits are drawn, with which seed, in order."""
    asked = []
    draw_requests = Workload.requests

    def spied(self, split, seed, sequences):
        asked.append((split, seed, sequences))
        return draw_requests(self, split, seed, sequences)

    monkeypatch.setattr(Workload, "requests", spied)
    monkeypatch.setattr(tuning, "TUNING_SEQUENCES", SEQUENCES)
    return asked


@pytest.fixture(scope="module")
def comparison():
    """Of two fits."""
    return compare(["first", "best"], TASK, sequences=SEQUENCES, seed=5, measures=MEASURES)


def test_all_play_the_same_sequences_and_none_that_tuned(drawn):
    found = compare([*FITS, "two_ended", "random"], TASK, sequences=SEQUENCES, seed=7)
    assert drawn == [("train", 7, SEQUENCES), ("test", 7, SEQUENCES)]
    expected = TASK.draw("test", jax.random.fold_in(jax.random.key(7), 2), SEQUENCES, LENGTH)
    np.testing.assert_array_equal(found.requests.size, expected.size)
    for name in (*FITS, "random"):
        start = run(policy(name), expected, TASK, seed=7).start
        np.testing.assert_array_equal(found.starts[name], start)


def test_means_and_differences_are_those_of_the_sequences(comparison):
    values = {
        name: measure(run(policy(name), comparison.requests, TASK), comparison.requests, TASK)
        for name in ("first", "best")
    }
    reference = comparison.results["reference"]
    for name in MEASURES:
        rows = {player: comparison.results["policies"][player][name] for player in values}
        for player, row in rows.items():
            assert row["mean"] == pytest.approx(values[player][name].mean())
            assert row["low"] <= row["mean"] <= row["high"]
            assert set(row["difference"]) == {"mean", "low", "high"}
            apart = (values[player][name] - values[reference][name]).mean()
            assert row["difference"]["mean"] == pytest.approx(apart)
        assert rows[reference]["difference"] == {"mean": 0.0, "low": 0.0, "high": 0.0}


def test_a_difference_is_resampled_in_pairs(comparison):
    """Identical policies under two names differ by nothing, in the interval too."""
    twin = replace(policy("first"), name="twin")
    found = compare(["first", twin], TASK, sequences=SEQUENCES, seed=5, reference="first")
    for row in found.results["policies"]["twin"].values():
        assert row["difference"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
        assert row["low"] <= row["mean"] <= row["high"]
    failed = found.results["policies"]["twin"]["failed_requests"]
    assert failed["low"] < failed["high"]


def failures(found):
    rows = found.results["policies"]
    return {name: row["failed_requests"]["mean"] for name, row in rows.items()}


def test_the_strongest_is_the_classical_fit_that_fails_least():
    stronger = policy("two_ended", jnp.int32(3))
    found = compare([stronger, "worst", "next", "second", "first"], TASK, sequences=SEQUENCES)
    failed = failures(found)
    assert failed["two_ended"] < failed["first"] < min(failed["second"], failed["worst"])
    assert found.results["reference"] == "first"


def test_without_a_classical_fit_the_strongest_is_the_policy_that_fails_least():
    stronger = policy("two_ended", jnp.int32(3))
    found = compare(["random", stronger, "next"], TASK, sequences=SEQUENCES)
    assert found.results["reference"] == min(failures(found), key=failures(found).get)
    assert found.results["reference"] == "two_ended"


def test_the_threshold_is_tuned_on_training_sequences_only(drawn):
    chosen, note = tuned("two_ended", TASK, seed=3)
    assert drawn == [("train", 3, SEQUENCES)]
    assert f"tuned on {SEQUENCES} training sequences" in note
    training = TASK.requests("train", 3, SEQUENCES)
    failed = {
        size: failed_share(policy("two_ended", jnp.int32(size)), training, TASK)
        for size in range(1, 12)
    }
    threshold = int(chosen.parameters)
    assert failed[threshold] == min(failed.values())
    assert failed[threshold] < min(failed[1], failed[11])
    assert f"up to {threshold} cells low" in note
    assert note in compare(["two_ended"], TASK, sequences=SEQUENCES, seed=3).results["notes"]


def test_two_ended_tuned_chooses_its_holes_too_and_does_not_fail_more(drawn):
    training = TASK.requests("train", 3, SEQUENCES)
    chosen, note = tuned("two_ended_tuned", TASK, seed=3)
    threshold, *holes = (int(number) for number in chosen.parameters)
    assert f"up to {threshold} cells low" in note
    failed = failed_share(chosen, training, TASK)
    two_ended = tuned("two_ended", TASK, seed=3)[0]
    assert failed <= failed_share(two_ended, training, TASK)
    others = [[threshold, 1 - holes[0], holes[1]], [threshold, holes[0], 1 - holes[1]]]
    for other in others:
        assert failed <= failed_share(policy("two_ended_tuned", jnp.array(other)), training, TASK)


def test_the_strongest_rule_fails_least_on_training_sequences(drawn):
    rules = strongest_rules(TASK, seed=3)
    rule, sentence = rules[0]
    training = TASK.requests("train", 3, SEQUENCES)
    fits = [failed_share(policy(name), training, TASK) for name in CLASSICAL]
    assert failed_share(rule, training, TASK) <= min(fits)
    assert sentence.startswith(policy_title(rule.name))
    assert {split for split, *_ in drawn} == {"train"}
    failed = [failed_share(rule, training, TASK) for rule, _ in rules]
    assert failed == sorted(failed)


def test_finalists_have_each_kind_of_holes_once_with_its_best_threshold(drawn):
    training = TASK.requests("train", 3, SEQUENCES)
    found = [rule for rule, _ in finalists("two_ended_tuned", TASK, seed=3)]
    assert sorted(tuple(rule.parameters[1:]) for rule in found) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    failed = [failed_share(rule, training, TASK) for rule in found]
    assert failed == sorted(failed)
    for rule, share in zip(found, failed, strict=True):
        for size in range(1, 12):
            other = policy("two_ended_tuned", jnp.array([size, *rule.parameters[1:]]))
            assert share <= failed_share(other, training, TASK)


def test_a_fixed_sequence_is_not_tuned_on(drawn):
    chosen, note = tuned("two_ended", workload("scenario"), seed=0)
    assert drawn == []
    assert int(chosen.parameters) == 100 // 16
    assert "not tuned" in note


@pytest.fixture
def saved(tmp_path):
    """A run folder with a policy in it."""
    parameters = scorer_weights((8,))
    save_policy(tmp_path / "policy.safetensors", parameters, Card(holes=3, hidden_sizes=(8,)))
    return tmp_path


def test_a_policy_is_found_by_name_by_file_and_by_run_folder(saved):
    assert find_policy("best") == (policy("best"), None)
    (by_file, card), (by_folder, _) = map(find_policy, (f"{saved}/policy.safetensors", str(saved)))
    assert card == Card(holes=3, hidden_sizes=(8,))
    assert by_file.name == by_folder.name == "learned"
    with pytest.raises(PolicyFileError, match="no such policy file"):
        find_policy(str(saved / "absent.safetensors"))


def test_a_registered_name_is_never_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "best").mkdir()
    assert find_policy("best") == (policy("best"), None)


def test_a_saved_policy_is_compared_like_any_other(saved):
    found = compare(["first", str(saved)], TASK, sequences=SEQUENCES)
    assert list(found.results["policies"]) == ["first", "learned"]
    assert found.results["reference"] == "first"
    assert (found.starts["learned"] != found.starts["first"]).any()


def test_results_follow_the_schema_and_are_strict_json(comparison):
    results = json.loads(json.dumps(comparison.results, allow_nan=False))
    assert results == comparison.results
    expected = {
        "workload": "made",
        "cells": CELLS,
        "sequences": SEQUENCES,
        "requests": LENGTH,
        "warmup": 4,
        "seed": 5,
    }
    assert {name: results[name] for name in expected} == expected
    assert {"command", "reference", "versions", "device", "policies", "notes"} <= set(results)
    assert {"python", "jaxmem", "jax", "numpy"} <= set(results["versions"])
    assert isinstance(results["device"], str)
    assert "starts" not in results
    for row in results["policies"].values():
        assert set(row) == set(MEASURES)
        for figure in row.values():
            assert set(figure) == {"mean", "low", "high", "difference"}
    assert set(SHOWN) <= set(MEASURES)


def test_the_measures_of_the_specification_are_shown():
    assert {
        "failed_requests",
        "failed_cells",
        "external_fragmentation",
        "holes_per_cell",
        "utilization",
        "high_water_mark",
    } <= set(SHOWN)


def test_a_scenario_tells_every_start_and_has_no_intervals():
    found = compare(["first", "best"], "scenario", cells=100, sizes=[6, 26, 3, "free:1", 4])
    assert found.results["starts"] == {"first": [15, None, 0, 15], "best": [15, None, 21, 0]}
    assert found.results["sequences"] == 1
    figure = found.results["policies"]["best"]["holes_per_cell"]
    assert (figure["low"], figure["high"]) == (None, None)
    json.dumps(found.results, allow_nan=False)


def test_costly_measures_come_when_asked_for(monkeypatch):
    monkeypatch.setattr(decision_time, "ARENAS", SEQUENCES)
    monkeypatch.setattr(decision_time, "ROUNDS", 3)
    asked = ["failed_requests", *COSTLY_MEASURES]
    found = compare(["first"], TASK, sequences=SEQUENCES, seed=5, measures=asked)
    row = found.results["policies"]["first"]
    assert list(row) == asked
    needed = arena_needed(policy("first"), found.requests, TASK, seed=5)
    assert row["arena_needed"]["mean"] == pytest.approx(needed.mean())
    per_peak = (needed / peak_live(found.requests)).mean()
    assert row["arena_needed_per_peak"]["mean"] == pytest.approx(per_peak)
    assert row["decision_nanoseconds"]["low"] > 0


def test_a_comparison_prints_its_table(comparison):
    assert "first" in str(comparison)
    assert "best" in str(comparison)


def test_a_comparison_shows_its_table_in_a_notebook(comparison):
    assert "first" in comparison._repr_markdown_()
    assert "best" in comparison._repr_markdown_()


ASKED = {
    "policies": ["first"],
    "sequences": 4,
    "seed": 0,
    "reference": "strongest",
    "measures": ["failed_requests"],
}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"policies": []}, "no policy to compare; known: first"),
        ({"policies": ["first", "wurst"]}, "unknown policy 'wurst'; did you mean worst"),
        ({"policies": ["generalst"]}, "unknown policy 'generalst'; did you mean generalist"),
        ({"policies": ["first", "best", "first"]}, "first is given twice"),
        ({"policies": ["two_ended", "two_ended"]}, "two_ended is given twice"),
        ({"policies": ["gone.safetensors"]}, "gone.safetensors: no such policy file"),
        ({"sequences": 0}, "sequences is 0; .* at least 1"),
        ({"sequences": True}, "sequences is True"),
        ({"sequences": 2.0}, "sequences is 2.0"),
        ({"seed": -1}, "seed is -1; .* from 0"),
        ({"seed": 2**32}, "seed is 4294967296; .* to 2\\^32 - 1"),
        ({"seed": None}, "seed is None"),
        ({"reference": "best"}, "reference 'best' is not compared; known: first"),
        ({"reference": "frist"}, "reference 'frist' is not compared; did you mean first"),
        ({"measures": ["failed_request"]}, "unknown measure 'failed_request'; did you mean failed"),
        ({"measures": ["utilization"]}, "must have failed_requests"),
        ({"measures": []}, "must have failed_requests"),
    ],
)
def test_a_wrong_question_is_refused_before_anything_is_drawn(wrong, message, drawn):
    with pytest.raises(ValueError, match=message):
        compare(on=TASK, **{**ASKED, **wrong})
    with pytest.raises(ValueError, match=message):
        question_of(task=TASK, **{**ASKED, **wrong})
    assert drawn == []


def test_a_training_run_brings_its_own_learned_policy(saved):
    learned = CandidateQ(3, (8,))
    asked = {**ASKED, "task": TASK}
    question_of(**{**asked, "reference": "learned"}, learned=learned)
    with pytest.raises(ValueError, match="reference 'learned' is not compared"):
        question_of(**{**asked, "reference": "learned"})
    with pytest.raises(ValueError, match="learned is given twice"):
        question_of(**{**asked, "policies": [str(saved)]}, learned=learned)


def test_a_policy_for_arenas_of_another_size_is_refused_before_anything_is_drawn(drawn):
    q = AddressQ(TASK.cells + 1, (8,))
    player = greedy(q, weights_of(q.init), "addresses")
    message = f"policy addresses was trained for arenas of {q.cells} cells .* has {TASK.cells}"
    with pytest.raises(ValueError, match=message):
        compare(["first", player], TASK)
    q = AddressQ(TASK.cells, (8,))
    needed = {**ASKED, "measures": ["failed_requests", "arena_needed"]}
    message = f"arena_needed: policy {{}} plays in arenas of {TASK.cells} cells only"
    with pytest.raises(ValueError, match=message.format("learned")):
        question_of(task=TASK, learned=q, **needed)
    player = greedy(q, weights_of(q.init), "addresses")
    with pytest.raises(ValueError, match=message.format("addresses")):
        compare(on=TASK, **{**needed, "policies": [player]})
    assert drawn == []


def test_an_unknown_workload_is_refused_with_the_nearest_names():
    with pytest.raises(ValueError, match="unknown workload 'comp'; did you mean comb"):
        compare(["first"], "comp")


def test_the_report_names_every_policy_that_plays():
    told = []
    compare([policy("first"), "best"], TASK, sequences=SEQUENCES, report=told.append)
    assert told == ["drawing test sequences", "playing first", "playing best"]


def test_a_second_saved_policy_goes_by_the_name_of_its_folder(tmp_path, saved):
    other = tmp_path / "another-run"
    other.mkdir()
    (other / "policy.safetensors").write_bytes((saved / "policy.safetensors").read_bytes())
    found = compare([str(saved), str(other)], TASK, sequences=SEQUENCES)
    assert list(found.results["policies"]) == ["learned", "another-run"]
    with pytest.raises(ValueError, match="policy another-run is given twice"):
        compare([str(saved), str(other), str(other)], TASK, sequences=SEQUENCES)


def test_a_policy_trained_without_hints_plays_with_them_and_says_so_once(saved, tmp_path):
    with_hints = tmp_path / "with.safetensors"
    card = Card(holes=3, hidden_sizes=(8,), training={"lifetime_hints": "class"})
    save_policy(with_hints, scorer_weights((8,)), card)
    hinted = replace(TASK, lifetime_hints="class")
    found = compare(["best", str(saved), str(with_hints)], hinted, sequences=SEQUENCES)
    said = [note for note in found.results["notes"] if "was trained without hints" in note]
    assert said == [f"{saved} was trained without hints: what they say here is new to it"]
    assert not any(
        "hints" in note for note in compare(["best"], TASK, sequences=SEQUENCES).results["notes"]
    )
