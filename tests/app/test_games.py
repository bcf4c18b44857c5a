"""A game on the page has the figures of `jaxmem compare`, whatever is typed."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import jaxmem
from jaxmem.app import choices, fits, games
from jaxmem.app.text_fields import Unclear, sizes_of
from jaxmem.evaluation.compare import compare
from jaxmem.evaluation.question import MEASURES
from jaxmem.policies.policy_file import read_policy
from jaxmem.rules import CLASSICAL, FITS, ORDERED
from jaxmem.settings.workload import ScenarioSettings
from jaxmem.workloads.registry import workload


@pytest.fixture(scope="module")
def example():
    return games.typed_game(100, ScenarioSettings.layout, ScenarioSettings.sizes)


def test_the_example_has_the_figures_of_the_command_line(example):
    compared = compare(CLASSICAL, "scenario", measures=MEASURES)
    for name in CLASSICAL:
        played = games.play(example, games.player(name, example.source))
        assert played.start.tolist() == compared.starts[name][0].tolist()
        for measure, found in compared.results["policies"][name].items():
            assert played.figures[measure] == pytest.approx(found["mean"], abs=1e-9), measure


def test_a_scenario_with_frees_has_the_figures_of_the_command_line():
    sizes = (4, 12, 4, 12, "free:2", 16, 3, "free:1", 11, "free:3")
    compared = compare(["best"], "scenario", cells=40, layout=[], sizes=sizes, measures=MEASURES)
    game = games.typed_game(40, (), sizes)
    played = games.play(game, games.player("best", game.source))
    found = compared.results["policies"]["best"]
    assert {name: row["mean"] for name, row in found.items()} == pytest.approx(played.figures)


def test_a_drawn_game_is_the_beginning_of_a_test_sequence():
    whole = workload("memoryless").requests("test", 3, 1)
    game = games.drawn_game("memoryless", None, (), 50, 3)
    assert game.size.tolist() == np.asarray(whole.size[0, :50]).tolist()
    assert game.task.cells == 108


def test_every_step_of_a_game_shows_its_memory(example):
    played = games.play(example, games.player("first", example.source))
    assert (played.live[0], played.holes[0], played.largest[0]) == (50, 6, 10)
    assert (played.live[-1], played.holes[-1], played.largest[-1]) == (82, 4, 10)
    assert played.fragmentation(7, 100) == pytest.approx(1 - 10 / 18)


def test_a_person_who_places_as_a_rule_does_has_its_figures(example):
    rule = games.play(example, games.player("best", example.source))
    mine = games.replay_starts(example, rule.start.tolist())
    assert mine.name == "you"
    assert mine.figures == rule.figures


def test_an_illegal_placement_is_no_game(example):
    with pytest.raises(ValueError, match="cannot start at cell 5"):
        games.replay_starts(example, [5, -1, -1, -1, -1, -1, -1])


def test_what_a_learned_policy_thinks_explains_what_it_does(example):
    who = games.player("generalist", example.source)
    played = games.play(example, who)
    mind = games.think(example, who, played)
    for request, start in enumerate(played.start):
        candidates, values = mind.seen.start[request], mind.seen.value[request]
        assert np.isnan(values[candidates < 0]).all()
        assert np.isfinite(values[candidates >= 0]).all()
        if start < 0:
            assert (candidates < 0).all()
            continue
        best = np.nanargmax(values)
        base_start = candidates == mind.seen.base_start[request]
        leaves = values[best] > np.nanmax(values[base_start]) + who.card.margin
        assert start == (candidates[best] if leaves else mind.seen.base_start[request])
    assert "where its base policy, tuned two-ended, would" in mind.says(0, int(played.start[0]))
    assert "log of how often" in mind.scale


def test_the_page_begins_where_the_fits_fail_and_the_learned_policy_does_not():
    preset = next(iter(choices.presets().values()))
    failed = failures_of(preset, (*CLASSICAL, "generalist"))
    assert [failed[name] for name in CLASSICAL] == [[preset.step]] * len(CLASSICAL)
    assert failed["generalist"] == []


def test_where_best_fit_loses_the_learned_policy_wins():
    preset = choices.presets()["Where best-fit loses"]
    failed = failures_of(preset, ("best", "first", "generalist", "large-short-lived"))
    assert failed == {
        "best": [preset.step], "first": [], "generalist": [], "large-short-lived": [],
    }  # fmt: skip


def failures_of(preset, names):
    """The requests, from 0, that each policy does not place."""
    cells = int(preset.cells)
    game = games.typed_game(cells, (), sizes_of(preset.sizes, cells))
    played = {name: games.play(game, games.player(name, game.source)) for name in names}
    return {name: np.flatnonzero(run.start < 0).tolist() for name, run in played.items()}


def test_the_file_of_a_policy_that_was_trained_on_the_page_is_a_player():
    file = Path(jaxmem.__file__).parent / "policies" / "shipped" / "geometric.safetensors"
    found = games.player_of(file.read_bytes())
    assert found.policy.name == "learned"
    assert found.card == read_policy("geometric")[1]


def test_a_rule_does_not_think(example):
    who = games.player("first", example.source)
    assert games.think(example, who, games.play(example, who)) is None


@pytest.mark.slow
def test_the_pictures_of_the_rules_show_what_they_do():
    game = games.typed_game(fits.PICTURED_CELLS, fits.PICTURED_LAYOUT, fits.SIZES)
    drawn = [rule for rule in fits.TOLD if rule.example is not None]
    assert {rule.name for rule in drawn} >= {*FITS, *ORDERED}
    for rule in drawn:
        played = games.play(game, games.player(rule.name, game.source))
        assert played.start.tolist() == [fits.FIRST_START, rule.example], rule.name


def test_an_unknown_policy_or_workload_gets_a_sentence(example):
    with pytest.raises(Unclear, match="did you mean best"):
        games.player("bset", example.source)
    with pytest.raises(Unclear, match="unknown workload"):
        games.drawn_game("memorylos", None, (), 50, 0)


def test_a_policy_for_another_arena_gets_a_sentence(example):
    who = games.player("first", example.source)
    picky = dataclasses.replace(who, policy=who.policy.replace(arena=50))
    with pytest.raises(Unclear, match="50 cells"):
        games.play(example, picky)
