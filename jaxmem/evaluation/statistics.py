"""Intervals for means over request sequences, by bootstrap."""

from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
LEVEL = 0.95
TAILS = (50 * (1 - LEVEL), 50 * (1 + LEVEL))  # %, where an interval ends


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95 % interval; one sequence alone has none."""

    mean: float
    low: float | None
    high: float | None


def bootstrap_means(values: np.ndarray, seed: int) -> np.ndarray:
    """Averages `values` (float64[P, M]) over resampled sequences: float64[RESAMPLES, M].

    Every column sees the same resampled sequences, so differences of columns stay paired. (Efron
    and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13: percentile intervals.)
    """
    sequences = values.shape[0]
    generator = np.random.default_rng(seed)
    shares = np.full(sequences, 1.0 / sequences)
    weights = generator.multinomial(sequences, shares, size=RESAMPLES) / sequences
    return weights @ values


def estimates(values: np.ndarray, seed: int) -> list[Estimate]:
    """Averages each column of `values` (float64[P, M]), with its percentile interval."""
    means = values.mean(axis=0)
    if values.shape[0] < 2:
        return [Estimate(float(mean), None, None) for mean in means]
    low, high = np.percentile(bootstrap_means(values, seed), TAILS, axis=0)
    return [
        Estimate(float(mean), float(below), float(above))
        for mean, below, above in zip(means, low, high, strict=True)
    ]


def interquartile_mean(values: np.ndarray) -> np.ndarray:
    """Averages the middle half of `values` (float64[S, ...]) along its first axis.

    A quarter of the S, rounded down, is left out at each end: of five the middle three, of three
    none. (Agarwal et al. 2021, Deep Reinforcement Learning at the Edge of the Statistical
    Precipice.)
    """
    ordered = np.sort(values, axis=0)
    out = len(ordered) // 4
    return ordered[out : len(ordered) - out].mean(axis=0)


def estimate_over_seeds(values: np.ndarray, seed: int) -> Estimate:
    """Estimates the interquartile mean over seeds, of means over sequences (float64[S, P]).

    Its 95 % interval is by stratified bootstrap: each resample draws S of the seeds and P of the
    sequences, the same sequences for every seed, so that differences between policies on the same
    sequences stay paired.
    """
    mean = float(interquartile_mean(values.mean(axis=1)))
    if values.shape[1] < 2:
        return Estimate(mean, None, None)
    by_seed = bootstrap_means(values.T, seed)  # [RESAMPLES, S]
    members = np.random.default_rng(seed + 1).integers(len(values), size=by_seed.shape)
    resampled = np.take_along_axis(by_seed, members, axis=1)
    low, high = np.percentile(interquartile_mean(resampled.T), TAILS)
    return Estimate(mean, float(low), float(high))


def estimate_over_means(means: np.ndarray, seed: int) -> Estimate:
    """Estimates the interquartile mean over training seeds, of one mean for each (float64[S]).

    Its 95 % interval is by bootstrap over the seeds alone: what the sequences leave open is not in
    it. One seed has none.
    """
    mean = float(interquartile_mean(means))
    if len(means) < 2:
        return Estimate(mean, None, None)
    members = np.random.default_rng(seed).integers(len(means), size=(RESAMPLES, len(means)))
    low, high = np.percentile(interquartile_mean(means[members].T), TAILS)
    return Estimate(mean, float(low), float(high))


def ratio(part: np.ndarray, whole: np.ndarray, seed: int) -> Estimate:
    """Divides the mean of `part` by that of `whole` (float64[P] each), with percentile interval.

    Both are resampled in pairs; the mean of `whole` must be clearly positive.
    """
    mean = float(part.mean() / whole.mean())
    if len(part) < 2:
        return Estimate(mean, None, None)
    parts, wholes = bootstrap_means(np.stack([part, whole], axis=1), seed).T
    low, high = np.percentile(parts / wholes, TAILS)
    return Estimate(mean, float(low), float(high))
