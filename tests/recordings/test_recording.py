"""A recording is what a program asked for, and what is live at its peak is exact."""

import numpy as np
import pytest
from hypothesis import given, settings
from small_recordings import BLOCKS, recording_of, slow_peak

from jaxmem.arena.arena import NEVER
from jaxmem.recordings import Recording


@settings(deadline=None, max_examples=60)
@given(BLOCKS)
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
