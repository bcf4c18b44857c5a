"""Cells are exact, slack is that after rounding up, and what is wrong is said."""

import math
from fractions import Fraction

import chex
import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_recordings import BLOCKS, recording_of, slow_peak

from jaxmem.arena.arena import NEVER
from jaxmem.workloads.cells import quantise, whole

slacks = st.integers(10, 1000).map(lambda hundredths: hundredths / 100)


@settings(deadline=None, max_examples=60)
@given(BLOCKS, st.integers(1, 2**31 - 1), slacks)
def test_a_block_takes_the_ceiling_of_bytes_over_cell_bytes(blocks, cells, slack):
    size, lifetime = map(list, zip(*blocks, strict=True))
    exact = Fraction(str(slack))
    try:
        quantised = quantise(recording_of(size, lifetime), cells, slack)
    except ValueError:
        number = slow_peak([1] * len(size), lifetime)
        assert exact * number > cells or max(size) > exact * slow_peak(size, lifetime)
        return
    assert quantised.cells == cells
    assert quantised.size.tolist() == [math.ceil(b / quantised.cell_bytes) for b in size]
    assert quantised.size.max() <= cells
    peak = slow_peak(quantised.size.tolist(), lifetime)
    assert quantised.peak_live == peak
    bytes_ = slow_peak(size, lifetime)
    assert quantised.rounding == pytest.approx(float(peak * quantised.cell_bytes / bytes_) - 1)


@settings(deadline=None, max_examples=60)
@given(BLOCKS, st.integers(30, 5000), slacks)
def test_slack_is_that_after_rounding_up_and_cells_are_as_small_as_it_allows(blocks, cells, slack):
    size, lifetime = map(list, zip(*blocks, strict=True))
    exact, peak = Fraction(str(slack)), slow_peak(size, lifetime)
    if exact * len(size) > cells or max(size) > exact * peak:
        return
    quantised = quantise(recording_of(size, lifetime), cells, slack)
    assert exact * quantised.peak_live <= cells
    finer = Fraction(peak, peak / quantised.cell_bytes + 1)
    assert exact * slow_peak([math.ceil(b / finer) for b in size], lifetime) > cells


@settings(deadline=None, max_examples=60)
@given(BLOCKS, slacks)
def test_cells_that_are_chosen_round_by_less_than_a_hundredth_at_the_peak(blocks, slack):
    size, lifetime = map(list, zip(*blocks, strict=True))
    exact = Fraction(str(slack))
    if max(size) > exact * slow_peak(size, lifetime):
        return
    quantised = quantise(recording_of(size, lifetime), None, slack)
    assert 0 <= quantised.rounding <= 0.01
    assert quantised.size.tolist() == [math.ceil(b / quantised.cell_bytes) for b in size]
    most = max(int(exact * quantised.peak_live), *quantised.size.tolist())
    assert quantised.cells == most


def test_many_blocks_far_smaller_than_a_cell_do_not_swell_the_peak():
    # In 2048 cells of 1.1 x peak bytes / 2048, 1000 bytes of 1,001,000 would take half the arena.
    recording = recording_of([1] * 1000 + [1_000_000])
    given, chosen = quantise(recording, 2048), quantise(recording)
    assert given.peak_live <= 2048 / 1.1 < given.peak_live + 2
    assert chosen.rounding <= 0.01
    assert "less than 1 % where cells is left to be chosen" in given.describe()
    assert "chosen" not in chosen.describe()


def test_fewer_cells_than_live_blocks_are_refused_with_the_number_that_does():
    recording = recording_of([1] * 50 + [950])
    message = r"demo has 51 blocks live at once, .* must have 57 cells or more, not 56"
    with pytest.raises(ValueError, match=message):
        quantise(recording, 56)
    assert quantise(recording, 57).size.tolist() == [1] * 51


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
        "2,048 cells of 603.4 bytes; peak live is 1,122,334 bytes, which take 1,861 cells; "
        "rounding up to cells adds 0.1 % at the peak"
    )


def test_describe_warns_when_even_compaction_would_fail():
    below = quantise(recording_of([50, 50]), 1000, 0.75).describe().splitlines()[1]
    assert below == (
        "Warning: slack is below 1. At the peak the blocks need 1,332 cells and the arena has "
        "1,000, so even a compacting allocator would fail."
    )
    assert "Warning" not in quantise(recording_of([50, 50]), 1000, 1.0).describe()


@pytest.mark.parametrize("cells", [0, -1, 1.5, True, "8", 2**31])
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
    assert quantise(recording, 16, 0.728).size.tolist() == [2, 15, 4]


def test_the_whole_recording_is_one_sequence():
    requests = whole(quantise(recording_of([10, 80, 20], [1, NEVER, 1]), 11, 1.1))
    chex.assert_shape(jax.tree.leaves(requests), (1, 3))
    assert requests.size.tolist() == [[1, 8, 2]]
    assert requests.lifetime.tolist() == [[1, NEVER, 1]]
    assert (requests.size.dtype, requests.lifetime.dtype) == (np.int32, np.int32)
