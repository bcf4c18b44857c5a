"""The search for a class rule, on programs of which is known what is to be found."""

from dataclasses import replace

import numpy as np
import pytest
from program_runs import APART, SITES, mixed_run

from jaxmem.arena.arena import NEVER
from jaxmem.recordings import Recording
from jaxmem.recordings.class_rule import BEST_FIT_RULE, RuleNumbers, class_rule
from jaxmem.recordings.headroom import units_needed
from jaxmem.recordings.learning import CLASS_RULE, learn_from_runs
from jaxmem.recordings.orders import order_of
from jaxmem.recordings.profile import profile_of
from jaxmem.recordings.replay import events_of, replay
from jaxmem.recordings.rule_search import (
    arenas_needed,
    around_the_peak,
    find_rule,
    foretold_by_others,
)
from jaxmem.settings.recordings import RuleSearchConfig

FIRST, LAST, BEST, BEST_HIGH = range(4)
# That rule, and next to it some that part by size alone.
RULES = [
    APART,
    *(RuleNumbers(30, parts, (FIRST, LAST, FIRST, LAST)) for parts in (16, 128)),
    *(RuleNumbers(30, 16, (fit,) * 4) for fit in (FIRST, BEST)),
]
CONFIG = RuleSearchConfig(semifinalists=4, finalists=3, batch=64, exceptions=0)


@pytest.fixture(scope="module")
def streams():
    return foretold_by_others([mixed_run(seed, rounds) for seed, rounds in ((1, 8), (2, 10))], 1)


def test_a_run_is_foretold_by_the_others_and_a_run_alone_by_itself():
    runs = [mixed_run(seed) for seed in (1, 2, 3)]
    for at, events in enumerate(foretold_by_others(runs, 1)):
        others = profile_of([run for number, run in enumerate(runs) if number != at])
        np.testing.assert_array_equal(events.foretold, others.foretold(runs[at]))
    (alone,) = foretold_by_others(runs[:1], 1)
    np.testing.assert_array_equal(alone.foretold, profile_of(runs[:1]).foretold(runs[0]))


def test_the_only_good_rule_is_found_where_only_lifetimes_differ(streams):
    found = find_rule(streams, CONFIG, rules=RULES)
    assert found.rule == APART
    assert (found.needed < found.by_best_fit - 0.02).all()
    assert found.ranked[0][1] == APART
    means = [mean for mean, _ in found.ranked]
    assert means == sorted(means)
    assert means[0] == pytest.approx(np.exp(np.log(found.needed).mean()))
    expected = [units_needed(events, order_of("best")) / events.peak_live for events in streams]
    assert found.by_best_fit.tolist() == expected


def test_arenas_needed_are_those_of_replays_to_the_step(streams):
    needed = arenas_needed(RULES, streams, 64, CONFIG)
    for (player, stream), found in np.ndenumerate(needed):
        events = streams[stream]
        step = max(1, int(CONFIG.precision * events.peak_live))
        units = units_needed(events, class_rule(RULES[player]))
        assert units <= round(found * events.peak_live) < max(units, events.peak_live) + step
    wide = replace(CONFIG, widest=1.01)
    assert arenas_needed(RULES[-1:], streams, 64, wide).max() < needed[-1].max()


def test_where_best_fit_needs_next_to_nothing_no_rule_is_looked_for(streams, monkeypatch):
    monkeypatch.setattr("jaxmem.recordings.rule_search.events_served", None)
    monkeypatch.setattr("jaxmem.recordings.rule_search._events_served", None)
    content = replace(CONFIG, nothing_to_gain=1.5)
    found = find_rule(streams, content)
    assert (found.rule, found.ranked) == (BEST_FIT_RULE, [])
    assert found.needed.tolist() == found.by_best_fit.tolist()
    assert found.needed.max() > 1.02


def test_best_fit_plays_where_no_rule_does_better(streams):
    found = find_rule(streams, CONFIG, rules=[RuleNumbers(30, 16, (BEST_HIGH,) * 4)])
    assert found.rule == BEST_FIT_RULE
    assert found.needed.tolist() == found.by_best_fit.tolist()


def test_without_runs_there_is_nothing_to_learn_from():
    with pytest.raises(ValueError, match="no runs to learn from; at least one is needed"):
        find_rule([], CONFIG)


def long_run(requests: int = 900):
    """Blocks that come and go, and are most around request 500."""
    random = np.random.default_rng(4)
    lifetime = random.integers(1, 60, requests)
    lifetime[480:500] = 30
    lifetime[::50] = NEVER
    size = np.where(np.abs(np.arange(requests) - 490) < 10, 40, random.integers(1, 9, requests))
    foretold = np.arange(1, requests + 1, dtype=np.int32)
    return replace(events_of(Recording("long", size, lifetime), 1), foretold=foretold)


@pytest.mark.parametrize("requests", [30, 200, 899])
def test_of_a_long_run_the_tightest_moment_is_cut_out_with_what_lives_then(requests):
    events = long_run()
    cut = around_the_peak(events, requests)
    assert cut.peak_live == events.peak_live
    run, part = events.recording, cut.recording
    before = part.requests - requests
    assert before >= 0
    assert cut.foretold is not None
    # Here what is foretold says which request it was.
    number = cut.foretold - 1
    np.testing.assert_array_equal(part.size, run.size[number])
    np.testing.assert_array_equal(np.diff(number[before:]), 1)
    first = number[before]
    alive = [of for of in range(first) if of + run.lifetime[of] > first]
    assert number[:before].tolist() == alive
    assert first <= int(np.argmax(events.live)) <= number[-1]


def test_a_run_that_is_not_longer_stays_as_it_is():
    events = long_run()
    assert around_the_peak(events, 900) is events


def test_long_runs_are_ranked_by_a_part_and_the_last_rules_play_them_whole(streams):
    found = find_rule(streams, replace(CONFIG, most_requests=100), rules=RULES)
    assert len(found.ranked) == 3
    whole = arenas_needed([rule for _, rule in found.ranked], streams, 64, CONFIG)
    means = np.exp(np.log(whole).mean(axis=1))
    assert [mean for mean, _ in found.ranked] == pytest.approx(means.tolist())
    assert found.rule == APART


def test_of_runs_with_many_holes_rules_are_ranked_by_less(monkeypatch):
    streams = foretold_by_others([mixed_run(seed, 120) for seed in (1, 2)], 1)
    asked = []

    def cut(events, requests):
        asked.append(requests)
        return around_the_peak(events, requests)

    monkeypatch.setattr("jaxmem.recordings.rule_search.around_the_peak", cut)
    whole = streams[0].recording.requests
    find_rule(streams, CONFIG, rules=RULES)
    assert asked == [whole] * 2
    asked.clear()
    found = find_rule(streams, replace(CONFIG, ranked_slots=2), rules=RULES)
    assert asked == [whole, whole, whole // 2, whole // 2, whole // 4, whole // 4]
    assert found.rule == APART
    assert (found.needed < found.by_best_fit - 0.02).all()


def test_the_rule_is_chosen_on_the_runs_held_out(monkeypatch):
    runs = [mixed_run(seed) for seed in (1, 2, 3)]
    monkeypatch.setattr("jaxmem.recordings.rule_search.all_rules", lambda: RULES)
    learned = learn_from_runs(runs, 1, 1, CONFIG)
    assert learned.chosen == CLASS_RULE
    assert learned.policy.rule == APART
    assert learned.why.startswith("it needs less than best-fit on the runs learned from")
    assert len(learned.needed) == 3
    assert learned.known.tolist() == [1, 1, 1]
    best_fit_needs, needs = learned.needed[2].values()
    events = events_of(runs[2], 1)
    assert best_fit_needs * events.peak_live == units_needed(events, order_of("best"))
    told = replace(events, foretold=profile_of(runs[:2]).foretold(runs[2]))
    assert needs * events.peak_live == pytest.approx(units_needed(told, class_rule(APART)))
    # The run held out enters no profile: what plays is what it has chosen.
    assert learned.policy.profile.key.tolist() == profile_of(runs[:2]).key.tolist()


def test_a_rule_that_gains_nothing_on_the_run_held_out_gives_way_to_best_fit(monkeypatch):
    monkeypatch.setattr("jaxmem.recordings.rule_search.all_rules", lambda: RULES)
    # Of blocks that all go soon: best-fit needs no more than is live.
    size, site = np.full(200, 10), np.zeros(200, np.int32)
    easy = Recording("easy", size, np.full(200, 9), site, call_sites=SITES)
    learned = learn_from_runs([mixed_run(1), mixed_run(2), easy], 1, 1, CONFIG)
    assert learned.tried[CLASS_RULE].rule == APART
    best_fit_needs, needs = learned.needed[2].values()
    assert needs >= best_fit_needs == 1
    assert learned.policy.rule == BEST_FIT_RULE
    assert learned.why == "what did better on the runs learned from does not on those held out"


def test_a_policy_needs_one_run_to_learn_from():
    with pytest.raises(ValueError, match="1 runs, 1 held out; one is needed to learn from"):
        learn_from_runs([mixed_run(1)], 1, 1, CONFIG)


def test_a_found_rule_serves_in_the_arena_that_it_needs(streams):
    found = find_rule(streams, CONFIG, rules=RULES)
    for events, needed in zip(streams, found.needed, strict=True):
        cells = round(needed * events.peak_live)
        assert replay(events, cells, class_rule(found.rule)).served
