"""Windows stay inside their part, and start with what is live then."""

import math
from fractions import Fraction

import chex
import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_recordings import recording_of

from jaxmem.arena.arena import NEVER
from jaxmem.workloads.cells import QuantisedRecording, quantise
from jaxmem.workloads.windows import most_before, split_range, window_requests, window_starts


def numbered(requests: int) -> QuantisedRecording:
    """A recording in which request i has i + 1 cells, so that a window shows where it starts."""
    recording = recording_of([1] * requests, [1] * requests)
    return QuantisedRecording(
        recording, requests, Fraction(1), Fraction(1), np.arange(1, requests + 1, dtype=np.int32)
    )


def starts_of(requests) -> np.ndarray:
    """The first request of each window of a `numbered` recording, once windows are contiguous."""
    first = np.asarray(requests.size)[:, 0] - 1
    np.testing.assert_array_equal(
        np.asarray(requests.size) - 1, first[:, None] + np.arange(requests.length)
    )
    return first


@given(st.integers(1, 10**7))
def test_the_parts_follow_each_other_and_share_no_request(requests):
    train, validation, test = (split_range(requests, s) for s in ("train", "validation", "test"))
    assert train.start == 0
    assert train.stop == validation.start == math.floor(Fraction(60, 100) * requests)
    assert validation.stop == test.start == math.floor(Fraction(75, 100) * requests)
    assert test.stop == requests


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("length", [1, 7, 15])
def test_windows_lie_wholly_inside_their_part(split, length):
    quantised = numbered(100)
    part = split_range(100, split)
    for seed in range(5):
        requests = window_requests(quantised, split, jax.random.key(seed), 50, length)
        chex.assert_shape(jax.tree.leaves(requests), (50, length))
        first = starts_of(requests)
        assert first.min() >= part.start
        assert first.max() + length <= part.stop


def test_training_starts_are_uniform_over_every_possible_start():
    requests = window_requests(numbered(100), "train", jax.random.key(0), 51_000, 10)
    counts = np.bincount(starts_of(requests), minlength=51)
    assert counts.shape == (51,)
    # A count has mean 1000 and standard deviation 31.
    assert 850 < counts.min() <= counts.max() < 1150


def test_training_starts_are_drawn_independently():
    first = starts_of(window_requests(numbered(100), "train", jax.random.key(0), 51, 10))
    # 51 draws from 51 starts: about a third of the starts is never drawn.
    assert 22 <= len(set(first)) <= 42
    assert (np.diff(first) < 0).any()


@pytest.mark.parametrize("split", ["validation", "test"])
def test_judging_windows_are_all_different_and_spread_over_the_part(split):
    quantised = numbered(1000)
    starts = window_starts(quantised, split, 20)
    first = starts_of(window_requests(quantised, split, jax.random.key(3), 40, 20))
    assert len(set(first)) == 40
    position = (first - starts.start) * 40 // len(starts)
    np.testing.assert_allclose(position, np.arange(40), atol=1)
    other = starts_of(window_requests(quantised, split, jax.random.key(4), 40, 20))
    assert (first != other).any()


@pytest.mark.parametrize(("sequences", "times"), [(6, {1}), (12, {2}), (16, {2, 3})])
def test_when_windows_run_out_all_are_used_equally_often(sequences, times):
    quantised = numbered(100)
    assert window_starts(quantised, "test", 20) == range(75, 81)
    first = starts_of(window_requests(quantised, "test", jax.random.key(0), sequences, 20))
    starts, counts = np.unique(first, return_counts=True)
    assert starts.tolist() == list(range(75, 81))
    assert set(counts.tolist()) == times


def test_lifetimes_come_with_their_requests():
    lifetime = np.r_[np.arange(1, 100), NEVER]
    recording = recording_of([1] * 100, lifetime)
    quantised = QuantisedRecording(
        recording, 1, Fraction(1), Fraction(1), np.arange(1, 101, dtype=np.int32)
    )
    requests = window_requests(quantised, "test", jax.random.key(0), 6, 20)
    np.testing.assert_array_equal(requests.lifetime, lifetime[np.asarray(requests.size) - 1])
    assert requests.lifetime.dtype == np.int32


@pytest.mark.parametrize("split", ["train", "test"])
def test_windows_are_a_pure_function_of_the_key_traced_once(split):
    quantised = numbered(200)
    chex.clear_trace_counter()

    @jax.jit
    @chex.assert_max_traces(n=1)
    def draw(key):
        return window_requests(quantised, split, key, 9, 10)

    for seed in (0, 1):
        chex.assert_trees_all_equal(
            draw(jax.random.key(seed)),
            window_requests(quantised, split, jax.random.PRNGKey(seed), 9, 10),
        )


def test_windows_that_do_not_fit_say_how_long_they_may_be():
    key = jax.random.key(0)
    message = "windows of 26 requests; the test part of demo has 25 of its 100 .*at most 25"
    with pytest.raises(ValueError, match=message):
        window_requests(numbered(100), "test", key, 4, 26)
    assert window_requests(numbered(100), "test", key, 4, 25).length == 25
    with pytest.raises(ValueError, match=r"has 0 of its 1 requests.*use the whole recording"):
        window_requests(numbered(1), "train", key, 4, 1)


@pytest.mark.parametrize(
    ("split", "sequences", "length", "message"),
    [
        ("dev", 4, 5, "split 'dev'; a split is one of train, validation, test"),
        ("train", 0, 5, "sequences 0; .*at least 1"),
        ("train", 2.0, 5, "sequences 2.0"),
        ("train", 4, 0, "length 0; .*at least 1"),
        ("train", 4, True, "length True"),
    ],
)
def test_a_bad_window_is_refused(split, sequences, length, message):
    with pytest.raises(ValueError, match=message):
        window_requests(numbered(100), split, jax.random.key(0), sequences, length)


def live_at(size, lifetime, request: int) -> list[tuple[int, int]]:
    """(size, requests left with this one) of every block that is live once `request` is served."""
    number = np.arange(request + 1)
    ends = np.minimum(number + lifetime[: request + 1], NEVER)
    alive = ends > request
    return list(zip(size[: request + 1][alive], (ends - request)[alive], strict=True))


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_window_with_live_blocks_is_the_recording_from_there_on(split):
    """At every request of a window just those blocks live that live at it in the recording."""
    draw = np.random.default_rng(1)
    lifetime = np.where(draw.random(100) < 0.2, NEVER, draw.integers(1, 30, 100))
    recording = recording_of(draw.integers(1, 10**6, 100), lifetime)
    quantised, before = quantise(recording), most_before(recording)
    requests = window_requests(quantised, split, jax.random.key(0), 12, 8, before)
    chex.assert_shape(jax.tree.leaves(requests), (12, before + 8))
    plain = window_requests(quantised, split, jax.random.key(0), 12, 8)
    np.testing.assert_array_equal(requests.size[:, before:], plain.size)
    starts = window_starts(quantised, split, 8)
    windows = np.lib.stride_tricks.sliding_window_view(quantised.size, 8)[starts.start :]
    for sizes, lifetimes in zip(np.array(requests.size), np.array(requests.lifetime), strict=True):
        offset = np.flatnonzero((windows == sizes[before:]).all(axis=1))[0]
        first = starts.start + int(offset)
        for at in range(8):
            there = live_at(quantised.size, lifetime, first + at)
            here = live_at(sizes, lifetimes, before + at)
            assert sorted(min(left, 1000) for _, left in here) == sorted(
                min(left, 1000) for _, left in there
            )
            assert [cells for cells, _ in here] == [cells for cells, _ in there]


def test_requests_that_fill_up_die_before_the_first_live_block_is_placed():
    recording = recording_of([7, 5, 3, 2] * 25, [1] * 99 + [NEVER])
    quantised = quantise(recording, 70, 10)
    requests = window_requests(quantised, "train", jax.random.key(0), 3, 5, 4)
    assert (np.array(requests.size)[:, :4] == 1).all()
    assert (np.array(requests.lifetime)[:, :4] == 1).all()


def test_most_before_is_the_most_blocks_that_a_window_starts_with():
    assert most_before(recording_of([1] * 5, [NEVER] * 5)) == 4
    assert most_before(recording_of([1] * 5, [1] * 5)) == 0
    assert most_before(recording_of([1] * 4, [3, 2, 1, 1])) == 2
