"""What a learned policy says of a place: its worth beside another, in the unit it was taught in."""

import numpy as np
import pytest

from jaxmem.app.explanations import in_unit, reason, scale
from jaxmem.learning.base_policies import ALONE
from jaxmem.policies.policy_file import Card

BRANCHING = {"learner": "branching", "reward": "failures", "settings": {"horizon": 40}}
PLACES = np.array([0, 7, -1, 20])
VALUES = np.array([0.5, 0.25, np.nan, 0.75])


def card(training=BRANCHING, margin=0.1, base_policy="best"):
    return Card(
        holes=8, hidden_sizes=(4,), base_policy=base_policy, margin=margin, training=training
    )


def test_a_place_that_is_left_for_another_is_told_with_what_that_saves_and_not_the_margin():
    said = reason(card(), PLACES, VALUES, start=20, base_start=7)
    assert (
        said
        == "not where its base policy, best-fit, would: 0.5 failed requests saved among the next 40"
    )
    assert "0.1 " not in said


def test_what_is_too_little_is_told_beside_the_margin():
    said = reason(card(margin=0.3), PLACES, VALUES, start=0, base_start=0)
    assert "the best other place: 0.25 failed requests saved among the next 40" in said
    assert said.endswith("(it leaves for more than 0.3)")


def test_a_policy_that_agrees_with_its_guide_says_so():
    assert reason(card(), PLACES, VALUES, 20, 20).endswith("and its network too")


def test_a_policy_without_a_guide_tells_what_the_next_place_lacks():
    said = reason(card(base_policy=None), PLACES, VALUES, 20, -1)
    assert said == "worth more than the next: 0.25 failed requests saved among the next 40"


def test_a_guide_that_is_never_left_is_told():
    assert "training found nothing better" in reason(card(margin=ALONE), PLACES, VALUES, 0, 0)


def test_a_place_that_the_network_does_not_see_is_told():
    assert "does not see" in reason(card(), PLACES, VALUES, 13, 13)


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ({"learner": "imitation"}, "1.6 times as often chosen by its teachers"),
        ({"learner": "pqn", "settings": {"gamma": 0.95}},
         "0.5 failed requests saved, discounted by 0.95 a request"),
        ({**BRANCHING, "reward": "bytes"},
         "0.5 of the memory's size saved in requests that fail among the next 40"),
    ],
)  # fmt: skip
def test_the_unit_is_what_was_learnt(training, said):
    assert in_unit(training, 0.5) == said


def test_the_scale_has_no_figure():
    assert scale(BRANCHING) == "failed requests saved among the next 40"
