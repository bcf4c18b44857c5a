"""comparison.png and fragmentation.png show the figures that there are."""

import io

import matplotlib.image
import numpy as np
import pytest

from jaxmem.render.comparison import draw_comparison
from jaxmem.render.fragmentation import POINTS, draw_fragmentation


def results(**changes):
    def row(mean, low=None, high=None):
        return {"failed_requests": {"mean": mean, "low": low, "high": high}}

    policies = {
        "first": row(6.5, 6.3, 6.7),
        "best": row(7.6, 7.4, 7.8),
        "learned": row(3.6, 3.5, 3.7),
    }
    return {
        "workload": "comb", "cells": 100, "sequences": 64, "reference": "first",
        "policies": policies, **changes,
    }  # fmt: skip


FAILED = {
    "first": np.linspace(5, 8, 64),
    "best": np.linspace(6, 9, 64),
    "learned": np.linspace(2, 5, 64),
}


def test_each_policy_stands_at_its_figure_fewest_failures_first():
    axes = draw_comparison(io.BytesIO(), results(), FAILED).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "learned", "first-fit", "best-fit",
    ]  # fmt: skip
    dots = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
    assert dots == [3.6, 6.5, 7.6]
    assert {text.get_text() for text in axes.texts} == {"3.60", "6.50", "7.60"}


def test_the_interval_is_drawn_where_there_is_one():
    axes = draw_comparison(io.BytesIO(), results(), FAILED).axes[0]
    ranges = [tuple(line.get_xdata()) for line in axes.lines if len(line.get_xdata()) == 2]
    assert (3.5, 3.7) in ranges


def test_the_profile_says_which_share_of_the_sequences_fails_at_most_so_much():
    axes = draw_comparison(io.BytesIO(), results(), FAILED).axes[1]
    (line,) = [line for line in axes.lines if line.get_label() == "learned"]
    at, share = line.get_xdata(), line.get_ydata()
    for value in (2.0, 3.5, 5.0):
        drawn = share[np.flatnonzero(at <= value)[-1]]
        assert drawn == pytest.approx((FAILED["learned"] <= value).mean(), abs=1 / 64)


def test_hindsight_stands_below_the_policies():
    known = {
        name: {"failed_requests": {"mean": value, "low": None, "high": None}}
        for name, value in {"best": 7.6, "clairvoyant": 3.1, "hindsight": 0.3}.items()
    }
    axes = draw_comparison(io.BytesIO(), results(hindsight=known), FAILED).axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[-2:] == ["greedy, lifetimes known", "best placements found"]


def test_one_sequence_has_no_profile_and_a_missing_figure_is_told():
    page = results(sequences=1)
    page["policies"]["best"] = {}
    figure = draw_comparison(io.BytesIO(), page, {"first": np.array([6.5])})
    assert len(figure.axes) == 1
    assert "  n/a" in {text.get_text() for text in figure.axes[0].texts}


def test_pictures_are_twice_as_dense_as_a_page(tmp_path):
    draw_comparison(tmp_path / "c.png", results(), FAILED)
    lines = {"first": np.zeros(9)}
    draw_fragmentation(tmp_path / "f.png", lines, {"first": np.zeros(8)})
    for name in ("c.png", "f.png"):
        assert matplotlib.image.imread(tmp_path / name).shape[1] == 2000


def test_fragmentation_and_failures_are_drawn_over_time_and_told_at_the_end():
    shares = {"first": np.array([0.0, 0.5, 0.25]), "best": np.array([0.0, 0.4, 0.6])}
    failed = {"first": np.array([0.0, 50.0]), "best": np.array([0.0, 0.0])}
    above, below = draw_fragmentation(io.BytesIO(), shares, failed).axes
    first = next(line for line in above.lines if line.get_label() == "first-fit")
    assert (first.get_xdata().tolist(), first.get_ydata().tolist()) == ([0, 1, 2], [0, 0.5, 0.25])
    assert {text.get_text() for text in above.texts} == {"first-fit 0.25", "best-fit 0.60"}
    first = next(line for line in below.lines if line.get_label() == "first-fit")
    assert first.get_xdata().tolist() == [1, 2]
    assert {text.get_text() for text in below.texts} == {"first-fit 50.00", "best-fit 0.00"}


def test_a_long_sequence_is_drawn_by_its_means():
    values = np.tile([0.0, 1.0], 5 * POINTS)
    axes = draw_fragmentation(io.BytesIO(), {"best": values}, {"best": values[1:]}).axes[0]
    (line,) = axes.lines
    assert len(line.get_xdata()) == POINTS
    assert line.get_ydata().mean() == pytest.approx(0.5)


@pytest.mark.parametrize("failed", [{}, {"best": np.zeros(2)}])
def test_both_are_needed_of_the_same_policies(failed):
    with pytest.raises(ValueError, match="both are needed"):
        draw_fragmentation(io.BytesIO(), {"first": np.zeros(3)}, failed)
