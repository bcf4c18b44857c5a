"""Where blocks lie: overlaps are found, and what is written can be read back."""

import numpy as np
import pytest

from jaxmem.arena.arena import NEVER
from jaxmem.recordings import Recording, read_trace_bytes
from jaxmem.recordings.packing import check_packing, deaths_of, packing_lines


def overlapping(start, size, death) -> bool:
    """Whether any two blocks share a moment and an address, pair by pair."""
    return any(
        late < death[early]
        and start[early] < start[late] + size[late]
        and start[late] < start[early] + size[early]
        for late in range(len(start))
        for early in range(late)
    )


@pytest.mark.parametrize("seed", range(60))
def test_a_packing_is_refused_exactly_where_two_blocks_overlap(seed):
    random = np.random.default_rng(seed)
    count = int(random.integers(2, 12))
    size = random.integers(1, 5, count)
    start = random.integers(0, 6 * count, count)
    death = np.minimum(np.arange(count) + random.integers(1, 6, count), count)
    if overlapping(start, size, death):
        with pytest.raises(ValueError, match="overlap while both are live"):
            check_packing(start, size, death)
    else:
        check_packing(start, size, death)


def test_random_packings_are_of_both_kinds():
    kinds = set()
    for seed in range(60):
        random = np.random.default_rng(seed)
        count = int(random.integers(2, 12))
        size, start = random.integers(1, 5, count), random.integers(0, 6 * count, count)
        death = np.minimum(np.arange(count) + random.integers(1, 6, count), count)
        kinds.add(overlapping(start, size, death))
    assert kinds == {True, False}


def test_a_block_without_a_place_is_no_packing():
    with pytest.raises(ValueError, match="block 1 has no place"):
        check_packing(np.array([0, -1]), np.array([1, 1]), np.array([2, 2]))


def test_an_address_may_be_used_again_as_soon_as_its_block_is_freed():
    check_packing(np.array([0, 0, 5]), np.array([5, 9, 1]), np.array([1, 2, 3]))
    with pytest.raises(ValueError, match="blocks 0 and 1 overlap"):
        check_packing(np.array([0, 0]), np.array([5, 9]), np.array([2, 2]))


def test_the_lines_of_a_packing_are_a_recording_in_minimallocs_columns():
    recording = Recording("made", np.array([5, 20, 7]), np.array([1, NEVER, 1]))
    lines = list(packing_lines(recording, np.array([0, 1, 0]), 16))
    assert lines == ["id,lower,upper,size,offset", "0,0,1,5,0", "1,1,3,20,16", "2,2,3,7,0"]
    columns = "\n".join(line.rpartition(",")[0] for line in lines).encode()
    again = read_trace_bytes(columns, "offsets", 10)
    assert again.size.tolist() == recording.size.tolist()
    assert deaths_of(again).tolist() == deaths_of(recording).tolist()


def test_offsets_may_be_larger_than_64_bits():
    recording = Recording("made", np.array([2**61]), np.array([NEVER]))
    assert list(packing_lines(recording, np.array([2**60]), 64))[1].endswith(f",{2**66}")
