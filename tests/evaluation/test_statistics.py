"""Intervals by bootstrap: that they cover, that pairs stay pairs, and what one sequence gives."""

import numpy as np
import pytest

from jaxmem.evaluation.statistics import (
    RESAMPLES,
    bootstrap_means,
    estimate_over_means,
    estimate_over_seeds,
    estimates,
    interquartile_mean,
)

SEQUENCES, TRIALS = 100, 200


@pytest.mark.parametrize(
    ("draw", "truth"),
    [
        (lambda random, shape: random.normal(3.0, 2.0, shape), 3.0),
        (lambda random, shape: random.exponential(5.0, shape), 5.0),
        (lambda random, shape: random.binomial(20, 0.1, shape).astype(float), 2.0),
    ],
    ids=["normal", "exponential", "binomial"],
)
def test_95_percent_intervals_cover_the_truth_in_about_95_percent_of_trials(draw, truth):
    columns = draw(np.random.default_rng(1), (SEQUENCES, TRIALS))
    covering = [one.low <= truth <= one.high for one in estimates(columns, seed=0)]
    # Four standard deviations of a binomial share around 95 %, and a percent for the percentiles.
    assert 0.88 <= np.mean(covering) <= 0.995


def test_an_interval_misses_on_both_sides_equally():
    columns = np.random.default_rng(2).normal(0.0, 1.0, (SEQUENCES, 2000))
    found = estimates(columns, seed=0)
    above = np.mean([one.low > 0 for one in found])
    below = np.mean([one.high < 0 for one in found])
    assert 0.012 < above < 0.045
    assert 0.012 < below < 0.045


def test_the_mean_lies_inside_and_is_the_plain_mean():
    columns = np.random.default_rng(3).exponential(1.0, (30, 8))
    for one, column in zip(estimates(columns, seed=0), columns.T, strict=True):
        assert one.mean == pytest.approx(sum(column) / 30)
        assert one.low < one.mean < one.high


def test_resampled_means_spread_like_the_standard_error():
    column = np.random.default_rng(4).normal(0.0, 1.0, (50, 1))
    means = bootstrap_means(column, seed=0)
    assert means.shape == (RESAMPLES, 1)
    assert means.mean() == pytest.approx(column.mean(), abs=0.02)
    assert means.std() == pytest.approx(column.std() / np.sqrt(50), rel=0.1)


def test_columns_are_resampled_together():
    random = np.random.default_rng(5)
    column = random.normal(0.0, 1.0, 40)
    means = bootstrap_means(np.stack([column, column + 2.5], axis=1), seed=0)
    np.testing.assert_allclose(means[:, 1] - means[:, 0], 2.5)


def test_paired_intervals_are_narrower_for_columns_that_go_together():
    random = np.random.default_rng(6)
    base = random.normal(0.0, 3.0, 60)
    other = base + 0.5 + random.normal(0.0, 0.3, 60)
    paired = estimates((other - base)[:, None], seed=0)[0]
    one, two = estimates(np.stack([base, other], axis=1), seed=0)
    assert (paired.high - paired.low) < 0.2 * ((one.high - one.low) + (two.high - two.low))
    assert paired.low > 0 > one.low - two.high


def test_equal_columns_differ_by_exactly_nothing():
    column = np.random.default_rng(7).normal(0.0, 1.0, (50, 1))
    nothing = estimates(column - column, seed=0)[0]
    assert (nothing.mean, nothing.low, nothing.high) == (0.0, 0.0, 0.0)


def test_one_sequence_alone_has_a_mean_and_no_interval():
    assert [vars(one) for one in estimates(np.array([[4.0, 7.0]]), seed=0)] == [
        {"mean": 4.0, "low": None, "high": None},
        {"mean": 7.0, "low": None, "high": None},
    ]


def test_a_seed_gives_the_same_interval_and_another_seed_nearly_the_same():
    columns = np.random.default_rng(8).normal(0.0, 1.0, (50, 2))
    again, same, other = (estimates(columns, seed) for seed in (0, 0, 1))
    assert again == same
    assert again != other
    assert again[0].low == pytest.approx(other[0].low, abs=0.05)


@pytest.mark.parametrize(
    ("values", "middle"),
    [([4.0], 4.0), ([9.0, 1.0, 2.0], 4.0), ([100.0, 3.0, 1.0, 2.0, -50.0], 2.0)],
)
def test_the_interquartile_mean_leaves_a_quarter_out_at_each_end(values, middle):
    assert interquartile_mean(np.array(values)) == pytest.approx(middle)


def test_intervals_over_seeds_cover_what_both_seeds_and_sequences_add():
    random = np.random.default_rng(5)
    covering, alone = [], []
    for trial in range(100):
        by_seed, by_sequence = random.normal(0, 1, (5, 1)), random.normal(0, 5, (1, 100))
        one = estimate_over_seeds(by_seed + by_sequence + 3.0, trial)
        covering.append(one.low <= 3.0 <= one.high)
        alone.append(one.high - one.low)
    # Five seeds are few for a bootstrap: its intervals are somewhat short.
    assert 0.82 <= np.mean(covering) <= 0.99
    assert np.mean(alone) > 2 * 1.96 * 0.5  # more than the sequences give by themselves


def test_what_seeds_share_cancels_in_a_paired_difference():
    random = np.random.default_rng(6)
    luck = random.normal(0, 10, 200)
    ours = luck - 0.5 + random.normal(0, 0.1, (5, 200))
    difference = estimate_over_seeds(ours - luck, seed=0)
    assert difference.mean == pytest.approx(-0.5, abs=0.02)
    assert difference.high < -0.45


def test_over_means_alone_an_interval_is_of_resampled_interquartile_means():
    means = np.array([4.0, 1.0, 2.0, 100.0])
    found = estimate_over_means(means, seed=0)
    assert found.mean == 3.0  # of 2 and 4
    members = np.random.default_rng(0).integers(4, size=(RESAMPLES, 4))
    middle = np.sort(means[members], axis=1)[:, 1:3].mean(axis=1)
    assert (found.low, found.high) == tuple(np.percentile(middle, (2.5, 97.5)))


def test_one_mean_has_no_interval():
    assert vars(estimate_over_means(np.array([2.5]), 0)) == {"mean": 2.5, "low": None, "high": None}


def test_two_means_span_the_interval():
    found = estimate_over_means(np.array([1.0, 3.0]), seed=0)
    assert (found.mean, found.low, found.high) == (2.0, 1.0, 3.0)
