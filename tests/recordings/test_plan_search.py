"""The plan that is found on a program's own runs, and where none is."""

from dataclasses import replace

import numpy as np
import pytest
from program_runs import batches_run, buffers_run, mixed_run

from jaxmem.recordings import Recording
from jaxmem.recordings.class_rule import BEST_FIT_RULE, class_rule
from jaxmem.recordings.headroom import units_needed
from jaxmem.recordings.learning import BEST_FIT, CLASS_RULE, PLAN, chosen_of, learn_from_runs
from jaxmem.recordings.plan_search import find_plan, packed_plan, unpacked_plan
from jaxmem.recordings.profile import profile_of
from jaxmem.recordings.profiled_policy import ProfiledPolicy
from jaxmem.recordings.replay import events_of
from jaxmem.recordings.rule_search import foretold_by_others
from jaxmem.settings.recordings import RuleSearchConfig

CONFIG = RuleSearchConfig(margins=(0.0, 0.08))
BATCHES = [batches_run(batch, steps) for batch, steps in ((8, 5), (20, 4), (13, 6), (31, 7))]


def found_for(runs, config=CONFIG):
    """The plan for some runs, and what best-fit needs on them."""
    streams = foretold_by_others(runs, 1)
    player = class_rule(BEST_FIT_RULE)
    by_rule = [units_needed(events, player) / events.peak_live for events in streams]
    return find_plan(streams, BEST_FIT_RULE, by_rule, config), by_rule


def test_a_program_whose_batch_differs_from_run_to_run_is_planned():
    found, by_rule = found_for(BATCHES[:3])
    assert found is not None
    assert max(found.needed) < 1.02 < 1.2 < min(by_rule)
    assert found.plan.margin == 0
    assert np.unique(found.plan.group).size == 2


def test_a_run_that_is_alone_is_given_the_margin_that_its_variations_need():
    run = buffers_run(3, 80, 20)
    found, _ = found_for([run])
    assert found is not None
    assert found.plan.margin == 0.08
    size = np.rint(run.size * np.exp(np.random.default_rng(9).normal(0, 0.03, run.requests)))
    events = events_of(replace(run, size=size.astype(np.int64)), 1)
    needs = []
    for plan in (None, found.plan):
        policy = ProfiledPolicy(profile_of([run]), BEST_FIT_RULE, plan=plan)
        needs.append(units_needed(policy.foretold(events), policy.player) / events.peak_live)
    assert needs[1] < 1.15 < needs[0]
    fixed, _ = found_for([run], replace(CONFIG, sizes_vary=0.0))
    assert fixed is not None
    assert fixed.plan.margin == 0


def test_the_same_runs_have_the_same_slots_however_long_it_takes(monkeypatch):
    run = buffers_run(5, 60)
    drawn = unpacked_plan(run, [], 1)
    plan = packed_plan(drawn, 0.08)
    monkeypatch.setattr("time.monotonic", iter(range(0, 10**9, 100)).__next__)
    np.testing.assert_array_equal(packed_plan(drawn, 0.08).start, plan.start)
    monkeypatch.setattr("jaxmem.recordings.plan_search.why_not", lambda *words: "no compiler")
    stacks = packed_plan(drawn, 0.08)
    assert (stacks.start + stacks.size).max() >= (plan.start + plan.size).max()


def test_where_shapes_vary_within_a_run_there_is_no_plan():
    random = np.random.default_rng(4)
    runs = [
        replace(run, size=random.integers(9, 999, run.requests))
        for run in map(mixed_run, (1, 2, 3))
    ]
    assert found_for(runs)[0] is None


def test_where_nothing_is_to_be_gained_there_is_no_plan():
    stack = Recording("stack", np.full(40, 8), np.full(40, 1))
    assert found_for([stack, stack])[0] is None


@pytest.mark.parametrize(
    ("plan", "chosen"), [(1.0499, CLASS_RULE), (1.05, CLASS_RULE), (1.03, PLAN), (2.0, CLASS_RULE)]
)
def test_a_plan_is_taken_where_it_leads_by_a_percent(plan, chosen):
    judged = {BEST_FIT: [1.2, 1.2], CLASS_RULE: [1.05, 1.05], PLAN: [plan, plan]}
    assert chosen_of(judged)[0] == chosen


def test_what_is_learned_from_runs_may_be_a_plan(monkeypatch):
    monkeypatch.setattr("jaxmem.recordings.rule_search.all_rules", lambda: [BEST_FIT_RULE])
    for held_out in (1, 0):
        learned = learn_from_runs(BATCHES[held_out:], held_out, 1, CONFIG)
        assert learned.chosen == PLAN
        assert learned.policy.plan is not None
        needed = learned.held_out if held_out else learned.studied
        assert max(needed[PLAN]) < 1.02 < 1.2 < min(needed[BEST_FIT])
