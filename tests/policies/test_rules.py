"""The registry of rules: what stands where, in files and pictures, has not moved."""

import subprocess
import sys

import pytest

from jaxmem import rules
from jaxmem.rules import RULES, Place

NUMBERED = ["first", "second", "best", "worst", "next"]
DEFAULT = [*NUMBERED, "two_ended", "two_ended_tuned", "hint_fit"]


def known(names):
    """Those that stood there from the beginning; newer ones may stand among them."""
    return [name for name in names if name in (*DEFAULT, "random")]


def test_rows_and_choices_keep_their_order():
    assert known(rules.NAMES) == [*DEFAULT, "random"]
    assert known(rule.name for rule in rules.default_rules(has_hints=True)) == DEFAULT
    assert known(rule.name for rule in rules.default_rules(has_hints=False)) == DEFAULT[:-1]
    assert known(rules.ORDERED) == [
        "first",
        "best",
        "next",
        "worst",
        "two_ended",
        "two_ended_tuned",
    ]
    assert known(rules.BOUNDED) == ["two_ended", "two_ended_tuned"]


def test_actions_and_saved_choices_keep_their_numbers():
    assert list(rules.FITS[:5]) == NUMBERED
    assert {name: rules.TUNED[name] for name in known(rules.TUNED)} == {
        "two_ended": 1,
        "two_ended_tuned": 3,
    }


def test_a_learned_policy_is_judged_beside_the_textbook_fits_and_the_heuristics():
    assert list(rules.CLASSICAL) == ["first", "second", "best", "worst"]
    judged = [*rules.CLASSICAL, "two_ended", "two_ended_tuned"]
    assert known(rule.name for rule in rules.rivals(has_hints=False)) == judged
    assert known(rule.name for rule in rules.rivals(has_hints=True)) == [*judged, "hint_fit"]


@pytest.mark.parametrize(
    ("name", "small", "large"),
    [
        *((name, Place(name), Place(name)) for name in ("first", "best", "worst", "next")),
        ("two_ended", Place("first"), Place("last", high=True)),
        ("two_ended_tuned", Place("best"), Place("best", high=True)),
    ],
)
def test_orders_of_the_rules(name, small, large):
    assert RULES[name].order == (small, large)


def test_every_rule_has_a_name_a_title_and_a_colour_of_its_own():
    for told in ("name", "title", "colour"):
        assert len({getattr(rule, told) for rule in RULES.values()}) == len(RULES)


def test_every_rule_but_random_is_told_on_the_page_with_its_source():
    for rule in RULES.values():
        assert bool(rule.words) == bool(rule.sources) == (rule.name != "random")
        assert rule.example is not None or rule.order is None


@pytest.mark.parametrize("rule", [rule for rule in RULES.values() if rule.tuning])
def test_kinds_of_a_rule_have_as_many_numbers_each(rule):
    assert {len(kind) + 1 for kind in rule.tuning.kinds} == {rule.tuning.count}
    assert rule.tuning.untuned in rule.tuning.kinds


def test_titles_and_colours_are_known_without_jax():
    asked = "import sys, jaxmem.render.palette, jaxmem.rules; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asked], check=False).returncode == 0
