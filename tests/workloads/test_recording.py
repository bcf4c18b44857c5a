"""Cells are exact, windows stay inside their part, and what is wrong is said."""

import math
from fractions import Fraction

import chex
import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxmem.workloads.requests import NEVER
from jaxmem.workloads.traces import (
    QuantisedRecording,
    Recording,
    quantise,
    split_range,
    whole,
    window_requests,
    window_starts,
)


def recording_of(size, lifetime=None) -> Recording:
    lifetime = [NEVER] * len(size) if lifetime is None else lifetime
    return Recording("demo", np.array(size, np.int64), np.array(lifetime, np.int64))


def numbered(requests: int) -> QuantisedRecording:
    """A recording in which request i has i + 1 cells, so that a window shows where it starts."""
    recording = recording_of([1] * requests, [1] * requests)
    return QuantisedRecording(
        recording, requests, Fraction(1), np.arange(1, requests + 1, dtype=np.int32)
    )


def starts_of(requests) -> np.ndarray:
    """The first request of each window of a `numbered` recording, once windows are contiguous."""
    first = np.asarray(requests.size)[:, 0] - 1
    np.testing.assert_array_equal(
        np.asarray(requests.size) - 1, first[:, None] + np.arange(requests.length)
    )
    return first


def slow_peak(size: list[int], lifetime: list[int]) -> int:
    return max(
        sum(size[block] for block in range(request + 1) if block + lifetime[block] > request)
        for request in range(len(size))
    )


blocks = st.lists(
    st.tuples(st.integers(1, 2**50), st.one_of(st.integers(1, 12), st.just(NEVER))),
    min_size=1,
    max_size=25,
)


@settings(deadline=None, max_examples=60)
@given(blocks)
def test_peak_live_is_the_largest_sum_of_live_sizes(blocks):
    size, lifetime = map(list, zip(*blocks, strict=True))
    assert recording_of(size, lifetime).peak_live == slow_peak(size, lifetime)


def test_peak_live_is_exact_where_partial_sums_pass_int64():
    recording = recording_of([2**62, 2**62 - 3, 1, 2**61 + 7], [1, 1, 1, NEVER])
    assert recording.peak_live == 2**62
    assert recording_of([2**61 + 1, 2**60 + 1]).peak_live == 2**61 + 2**60 + 2


def test_events_count_allocations_and_frees():
    assert recording_of([5, 6, 7], [1, NEVER, 1]).events == 5


@pytest.mark.parametrize(
    ("size", "lifetime", "message"),
    [
        ([], [], "at least one request"),
        ([1, 2], [1], "one of each for each request"),
        ([[1]], [[1]], "one of each for each request"),
        ([0], [1], "a size out of range"),
        ([2**62 + 1], [1], "a size out of range"),
        ([1], [0], "a lifetime out of range"),
        ([1], [NEVER + 1], "a lifetime out of range"),
        ([2**62, 2**62], [2, 1], "more than 2\\^62 bytes are live at once"),
    ],
)
def test_a_recording_out_of_range_is_refused(size, lifetime, message):
    with pytest.raises(ValueError, match=message):
        Recording("demo", np.array(size, np.int64), np.array(lifetime, np.int64))


@settings(deadline=None, max_examples=60)
@given(blocks, st.integers(1, 2**31 - 1), st.integers(100, 10_000))
def test_a_block_takes_the_ceiling_of_bytes_over_cell_bytes(blocks, cells, hundredths):
    size, lifetime = map(list, zip(*blocks, strict=True))
    quantised = quantise(recording_of(size, lifetime), cells, hundredths / 100)
    arena = Fraction(hundredths, 100) * slow_peak(size, lifetime)
    assert quantised.arena_bytes == arena
    assert quantised.cell_bytes == arena / cells
    assert quantised.size.tolist() == [math.ceil(Fraction(b) / (arena / cells)) for b in size]
    assert quantised.peak_live == slow_peak(quantised.size.tolist(), lifetime)
    taken = quantised.cell_bytes * sum(quantised.size.tolist())
    assert quantised.rounding == pytest.approx(float((taken - sum(size)) / taken))


def test_slack_is_the_decimal_as_written():
    # The float 1.4 is a little less than 14/10: taken as it is, every block would need a cell more.
    quantised = quantise(recording_of([10, 11, 79]), 140, 1.4)
    assert (quantised.cell_bytes, quantised.size.tolist()) == (1, [10, 11, 79])
    for slack in (np.float32(1.1), np.float64(1.1), Fraction(11, 10)):
        assert quantise(recording_of([5]), 10, slack).slack == Fraction(11, 10)
    assert quantise(recording_of([5]), 10, 2).slack == 2


def test_describe_says_what_the_cells_mean_in_bytes():
    text = quantise(recording_of([1_000_000, 122_334]), 2048).describe()
    assert text == (
        "arena 1,234,567 bytes = 1.1 x peak live 1,122,334 bytes; 2048 cells of 602.8 bytes; "
        "peak live after rounding up: 1,862 cells (91 %); "
        "rounding is 0.0 % of the bytes that blocks take"
    )


def test_describe_warns_when_even_compaction_would_fail():
    tiny = quantise(recording_of([1] * 50 + [950]), 20)
    assert tiny.peak_live == 68
    first, warning = tiny.describe().splitlines()
    assert "68 cells (340 %)" in first
    assert "the blocks need 68 cells and the arena has 20, so even a compacting" in warning
    assert warning.endswith("take more cells or more slack.")
    below = quantise(recording_of([50, 50]), 1000, 0.75)
    assert below.describe().splitlines()[1].endswith("would fail; take more slack.")


@pytest.mark.parametrize("cells", [0, -1, 1.5, True, None, "8", 2**31])
def test_a_bad_number_of_cells_is_refused(cells):
    with pytest.raises(ValueError, match=r"cells .*from 1 to 2147483647"):
        quantise(recording_of([5]), cells)


@pytest.mark.parametrize("slack", [0, -1.0, 100.5, math.nan, math.inf, True, None, "1.1"])
def test_a_bad_slack_is_refused(slack):
    with pytest.raises(ValueError, match=r"slack .*above 0, at most 100"):
        quantise(recording_of([5]), 8, slack)


def test_a_block_larger_than_the_arena_is_named_with_the_slack_it_needs():
    recording = recording_of([10, 80, 20])
    message = "request 1 of demo asks for 80 bytes .* arena of 55 bytes; slack must be at least 0.7"
    with pytest.raises(ValueError, match=message):
        quantise(recording, 16, 0.5)
    assert quantise(recording, 16, 0.728).size.max() == 16


def test_the_whole_recording_is_one_sequence():
    requests = whole(quantise(recording_of([10, 80, 20], [1, NEVER, 1]), 11, 1.1))
    chex.assert_shape(jax.tree.leaves(requests), (1, 3))
    assert requests.size.tolist() == [[1, 8, 2]]
    assert requests.lifetime.tolist() == [[1, NEVER, 1]]
    assert (requests.size.dtype, requests.lifetime.dtype) == (np.int32, np.int32)


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
    quantised = QuantisedRecording(recording, 1, Fraction(1), np.arange(1, 101, dtype=np.int32))
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
