"""Exceptions to class rules: what branches lose, against the oracle, and what is found by them."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from program_runs import mixed_run
from repetition import slow
from slow_classes import slow_starts

from jaxmem.recordings import Recording
from jaxmem.recordings.class_rule import BEST_FIT_RULE, CLASS_FITS, RuleNumbers, class_rule
from jaxmem.recordings.exceptions import (
    ExceptedRule,
    _ExceptionSearch,
    find_exceptions,
    is_better,
)
from jaxmem.recordings.headroom import units_needed
from jaxmem.recordings.profile import profile_of
from jaxmem.recordings.replay import events_of
from jaxmem.recordings.rollouts import units_lost_by_fit
from jaxmem.recordings.rule_search import foretold_by_others, sizes_varied
from jaxmem.settings.recordings import RuleSearchConfig

FIRST_LOW = "first, low end"
HORIZON, SLOTS = 30, 64
CONFIG = RuleSearchConfig(exceptions=3, candidates=12, branched=24, horizon=60, batch=64)


@pytest.mark.parametrize("seed", [0, *slow(1, 2)])
def test_a_branch_loses_what_the_oracle_loses_with_that_request_excepted(seed):
    random = np.random.default_rng(seed)
    size, lifetime = random.integers(1, 9, 60), random.integers(1, 30, 60)
    foretold = np.where(random.random(60) < 0.8, lifetime, 0).astype(np.int32)
    events = replace(events_of(Recording("made", size, lifetime), 1), foretold=foretold)
    rule = RuleNumbers(30, 16, (0, 1, 2, 3))
    cells = [int(share * events.peak_live) for share in (0.9, 1.0, 1.2)]
    asked = np.sort(random.choice(60, 6, replace=False))
    at = np.flatnonzero(~events.frees)[asked]
    length = len(events.frees) + HORIZON
    lost, ruled = units_lost_by_fit(
        class_rule(rule),
        jax.tree.map(jnp.asarray, events.padded(length, events.blocks)),
        jnp.asarray(cells, jnp.int32),
        jnp.asarray(at, jnp.int32),
        horizon=HORIZON,
        slots=SLOTS,
        blocks=events.blocks + 1,
    )
    for request, event, of_request, fits in zip(asked, at, lost, ruled, strict=True):
        contexts = [[0] if number == request else [-1] for number in range(60)]
        later = (~events.frees[: event + HORIZON + 1]).sum()
        for units, of_arena, fit_of_rule in zip(cells, of_request, fits, strict=True):
            columns = size.tolist(), lifetime.tolist(), foretold
            by_fit = [
                slow_starts(
                    rule._replace(exceptions=((0, fit),)), units, *columns, contexts=contexts
                )
                for fit in range(len(CLASS_FITS))
            ]
            expected = [
                sum(size[of] for of in range(request, later) if start[of] < 0) / units
                for start in by_fit
            ]
            np.testing.assert_allclose(of_arena, expected, rtol=1e-6)
            assert by_fit[int(fit_of_rule)] == slow_starts(rule, units, *columns)


def test_where_a_branch_has_too_many_holes_all_fits_are_worth_the_same():
    random = np.random.default_rng(1)
    size, lifetime = random.integers(1, 9, 90), random.integers(1, 40, 90)
    events = events_of(Recording("holes", size, lifetime), 1)
    lost = {}
    for slots in (SLOTS, 8):
        lost[slots], _ = units_lost_by_fit(
            class_rule(RuleNumbers(30, 16, (0, 1, 2, 3))),
            jax.tree.map(jnp.asarray, events.padded(len(events.frees) + HORIZON, events.blocks)),
            jnp.array([events.peak_live, int(1.1 * events.peak_live)], jnp.int32),
            jnp.asarray(np.flatnonzero(~events.frees)[:80], jnp.int32),
            horizon=HORIZON,
            slots=slots,
            blocks=events.blocks + 1,
        )
    same = (lost[8] == lost[SLOTS]).all(axis=-1)
    nothing = (lost[8] == 0).all(axis=-1)
    assert (same | nothing).all()
    assert (~same).any()
    assert (same & ~nothing).any()


@pytest.mark.parametrize(
    ("lost", "needed", "better"),
    [
        ([0.9, 0.9, 0.9, 0.9], 1.1, True),
        ([1.0, 1.0, 1.0, 1.0], 1.1, False),
        ([1.0, 1.0, 1.0, 1.0], 1.0995, True),
        ([0.5, 0.5, 0.5, 1.2], 1.1, True),  # one of four runs may lose more
        ([0.5, 0.5, 1.2, 1.2], 1.1, False),
        ([0.5, 0.5, 1.04, 1.04], 1.1, True),  # so little more is none
        ([0.5, 0.5, 0.5, 0.5], 1.102, False),  # fewer losses are worth no larger arena
        ([0.5, 0.5, 0.5, 0.5], 1.1005, True),
    ],
)
def test_a_further_exception_loses_less_or_needs_less_and_harms_few(lost, needed, better):
    now = ExceptedRule(BEST_FIT_RULE, np.full(4, 1.1), np.ones(4))
    assert is_better(now, np.full(4, needed), np.array(lost)) == better


def placed(runs):
    """Events with their contexts, as a profile of all runs has them."""
    profile = profile_of(runs)
    return [
        replace(events, contexts=profile.places(events.recording))
        for events in foretold_by_others(runs, 1)
    ]


@pytest.mark.parametrize("runs", [2, *slow(1)])
def test_what_best_fit_cannot_do_alone_it_does_with_exceptions(runs):
    streams = placed([mixed_run(seed) for seed in range(runs)])
    rule = find_exceptions(streams, BEST_FIT_RULE, CONFIG)
    assert 1 <= len(rule.exceptions) <= 3
    assert rule._replace(exceptions=()) == BEST_FIT_RULE
    context, fit = rule.exceptions[0]
    assert f"context {context} of the profile: {CLASS_FITS[fit]}" in rule.words
    for events in streams:
        needed = units_needed(events, class_rule(rule))
        assert needed < 1.1 * events.peak_live
        assert units_needed(events, class_rule(BEST_FIT_RULE)) > 1.2 * events.peak_live


@pytest.mark.slow
def test_the_same_runs_have_the_same_exceptions():
    streams = placed([mixed_run(seed) for seed in range(2)])
    first, again = (find_exceptions(streams, BEST_FIT_RULE, CONFIG) for _ in range(2))
    assert first.exceptions
    assert first == again


def test_of_exceptions_as_many_are_kept_as_hold_where_sizes_are_others(monkeypatch):
    search = _ExceptionSearch(placed([mixed_run(seed) for seed in range(2)]), BEST_FIT_RULE, CONFIG)
    contexts = search.runs[0].contexts
    assert contexts is not None
    stays = int(contexts[1, -1])  # the call site of the blocks that stay
    good = BEST_FIT_RULE._replace(exceptions=((stays, CLASS_FITS.index("last, high end")),))
    spoilt = good._replace(exceptions=(*good.exceptions, (stays, CLASS_FITS.index(FIRST_LOW))))
    assert search.holds_best([BEST_FIT_RULE, good, spoilt]) == good
    assert search.holds_best([good, good, BEST_FIT_RULE]) is good
    # The search may be sure of exceptions that do not hold, and then there are none.
    monkeypatch.setattr(
        "jaxmem.recordings.exceptions.arenas_needed",
        lambda rules, runs, *words: 1 + 0.01 * np.arange(len(rules))[:, None].repeat(len(runs), 1),
    )
    assert search.holds_best([BEST_FIT_RULE, good]) == BEST_FIT_RULE


def test_a_rule_that_needs_no_more_than_is_live_has_no_exceptions():
    lifetime = np.full(40, 4)
    events = placed([Recording("even", np.full(40, 7), lifetime)])
    assert find_exceptions(events, BEST_FIT_RULE, CONFIG) == BEST_FIT_RULE


def test_a_run_of_other_sizes_keeps_what_is_foretold():
    (events,) = placed([mixed_run(1)])
    other = sizes_varied(events, 0.1, 3)
    assert other.recording.size.tolist() != events.recording.size.tolist()
    alike = events.recording.size == 10
    assert len(np.unique(other.recording.size[alike])) == 1
    np.testing.assert_array_equal(other.foretold, events.foretold)
    np.testing.assert_array_equal(other.contexts, events.contexts)
