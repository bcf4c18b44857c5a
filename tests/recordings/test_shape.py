"""Sizes, lifetimes and what is live, against figures computed by hand."""

import numpy as np
import pytest

from jaxmem.arena.arena import NEVER
from jaxmem.recordings import Recording
from jaxmem.recordings.shape import CURVE_POINTS, live_curve, rank_correlation, size_histogram


def recording_of(size, lifetime) -> Recording:
    return Recording("made", np.array(size, np.int64), np.array(lifetime, np.int64))


def test_requests_are_counted_by_powers_of_two():
    rows = size_histogram(recording_of([1, 16, 31, 32, 17], [1, 2, NEVER, NEVER, 8]))
    assert [(row["from"], row["to"]) for row in rows] == [(1, 2), (16, 32), (32, 64)]
    assert [row["requests"] for row in rows] == [1, 3, 1]
    assert [row["bytes"] for row in rows] == [1, 64, 32]
    assert [row["lifetime"] for row in rows] == [[1, 1, 1], [2, 8, 8], [None] * 3]
    assert [row["never_freed"] for row in rows] == pytest.approx([0, 1 / 3, 1])


def test_the_largest_sizes_stay_in_their_bin():
    rows = size_histogram(recording_of([2**60 - 1, 2**60], [1, 1]))
    assert [(row["from"], row["requests"]) for row in rows] == [(2**59, 1), (2**60, 1)]


def test_rank_correlation_by_hand():
    assert rank_correlation(recording_of([1, 2, 3], [1, 5, NEVER])) == pytest.approx(1)
    assert rank_correlation(recording_of([1, 2, 3], [9, 5, 1])) == pytest.approx(-1)
    # Ranks 0.5 0.5 2 3 and 1 0 2 3, less their mean 1.5.
    found = rank_correlation(recording_of([4, 4, 6, 8], [2, 1, 3, 4]))
    assert found == pytest.approx(4.5 / (4.5 * 5) ** 0.5)
    assert rank_correlation(recording_of([4, 4], [2, 1])) is None


def test_the_live_curve_keeps_the_peak_of_every_stretch():
    live = np.array([1, 5, 2])
    assert live_curve(live) == {"request": [0, 1, 2], "bytes": [1, 5, 2]}
    long = np.zeros(10 * CURVE_POINTS, np.int64)
    long[4321] = 7
    curve = live_curve(long)
    assert len(curve["request"]) == CURVE_POINTS
    assert curve["request"][432:434] == [4320, 4330]
    assert curve["bytes"][431:434] == [0, 7, 0]
