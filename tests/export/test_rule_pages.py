"""Pages of policies: what they say is what the policy does, and what an approximation costs."""

import re

import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem.arena.arena import NEVER
from jaxmem.carded_file import PolicyFileError
from jaxmem.export import approximation
from jaxmem.export.approximation import approximate, expected_lifetimes
from jaxmem.export.exported import Exported, read_exported
from jaxmem.export.rule_page import rule_page
from jaxmem.recordings import Recording
from jaxmem.recordings.class_rule import RuleNumbers
from jaxmem.recordings.hole_scorer import HOLE_FEATURES, PRIOR, HoleScorer
from jaxmem.recordings.profile import UNFORETOLD, Profile
from jaxmem.recordings.profiled_policy import ProfiledPolicy
from jaxmem.recordings.replay import events_of

PROFILE = Profile(np.arange(4, dtype=np.uint64), np.array([1, 40, 50, NEVER], np.int32))


def scorer(**weights: float) -> HoleScorer:
    given = [weights.get(name, 0.0) for name in HOLE_FEATURES]
    return HoleScorer(jnp.array(given), jnp.zeros(len(PRIOR)))


@pytest.fixture
def small(monkeypatch):
    """One short recording to learn from, and one to judge by."""
    monkeypatch.setattr(approximation, "LEARNED_FROM", ("xla_cpu_jax_convnet_train",))
    monkeypatch.setattr(approximation, "JUDGED_BY", ("xla_cpu_jax_recurrent_train",))


def test_a_rule_says_where_small_and_large_requests_go():
    page = rule_page(read_exported("two_ended", 64))
    small, large = "the lowest hole, at its low end", "the highest hole, at its high end"
    assert f"if size <= 64 units:\n    take {small}\nelse: take {large}\n" in page
    assert page.startswith("# two_ended\n")


def test_a_class_rule_has_a_row_and_a_line_for_each_class():
    policy = ProfiledPolicy(PROFILE, RuleNumbers(30, 64, (0, 1, 2, 3)))
    page = rule_page(Exported("mine", policy))
    rows = [line for line in page.splitlines() if line.startswith("| ")][2:]
    assert len(rows) == 4
    which = "lifetime > 30 requests, size > U / 64"
    assert f"| long and large | {which} | the shortest hole, at its high end |" in rows
    assert "if lifetime <= 30 requests:\n    if size <= U / 64: take the lowest hole" in page
    assert "4 contexts; 75 % foretell a long life" in page


def test_contexts_that_are_excepted_are_listed():
    rule = RuleNumbers(30, 64, (0, 1, 2, 3), ((2, 1),))
    page = rule_page(Exported("mine", ProfiledPolicy(PROFILE, rule)))
    assert "| 0x0000000000000002 | the highest hole, at its high end |" in page
    assert "if a context is excepted: take its place\n" in page


def test_what_lifetimes_do_not_change_is_said_of_sizes_alone():
    policy = ProfiledPolicy(PROFILE, RuleNumbers(NEVER - 1, 64, (0, 3, 0, 3)))
    page = rule_page(Exported("mine", policy))
    assert "| small | size <= U / 64 | the lowest hole, at its low end |" in page
    assert "never freed" not in page
    other = ProfiledPolicy(PROFILE, RuleNumbers(NEVER - 1, 64, (0, 3, 1, 3)))
    assert "| long and small | never freed, size" in rule_page(Exported("mine", other))


@pytest.mark.usefixtures("small")
def test_a_scorer_that_is_a_fit_is_found_to_be_that_fit():
    near = approximate(scorer(lowest=1.0))
    assert near.agrees == 1
    assert set(near.rule.fits) == {0}
    last = approximate(scorer(highest=1.0, **{"high end": 2.0}))
    assert last.agrees == 1
    assert set(last.rule.fits) == {1}
    assert last.costs[0].scorer == last.costs[0].rule


@pytest.mark.usefixtures("small")
def test_the_page_of_a_scorer_says_what_the_rule_costs_and_its_largest_terms():
    page = rule_page(Exported("mine", scorer(lowest=1.0, **{"left*life": -7.5, "wall": 0.25})))
    assert "It places 100 % of the blocks" not in page
    assert re.search(r"\| xla_cpu_jax_recurrent_train \| 97 \| \d+ \| \d+ \| \d+ \|", page)
    terms = re.findall(r"^\| ([+-]\d.*?) \| (.*) \|$", page, re.M)
    assert [weight for weight, _ in terms[:3]] == ["-7.50", "+1.00", "+0.25"]
    assert terms[0][1].startswith("each unit that is left over in the hole, over U, times l")


def test_the_lifetime_that_is_expected_is_drawn_from_the_prior_to_what_has_died():
    recording = Recording("made", np.full(40, 8), np.full(40, 5))
    alike = HoleScorer(jnp.zeros(len(HOLE_FEATURES)), jnp.array([np.log(100), 0, 0, 0, 0]))
    expected = expected_lifetimes(alike, events_of(recording, 1), 100)
    assert expected[0] in (99, 100)
    assert expected[-1] == int(np.exp((np.log(100) + 35 * np.log(5)) / 36))
    tiny = expected_lifetimes(alike, events_of(recording, 1), 10_000)
    assert tiny[0] != UNFORETOLD
    assert (tiny[1:] == UNFORETOLD).all()


def test_a_policy_in_cells_has_no_page():
    with pytest.raises(PolicyFileError, match="plays in cells; to=rule takes rules"):
        rule_page(read_exported("generalist"))
