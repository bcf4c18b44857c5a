"""What a user types becomes one sequence of requests, or one clear line."""

import json
from pathlib import Path

import numpy as np
import pytest

from jaxmem.arena.arena import NEVER
from jaxmem.workloads.scenario import scenario_requests

GOLDEN = Path(__file__).resolve().parents[3] / "shared/golden/fits.json"
LAYOUT = [[5, 10], [25, 5]]


def lifetimes(sizes) -> list[int]:
    return scenario_requests([], sizes, 100).requests.lifetime.tolist()[0]


def test_sizes_are_one_sequence_of_requests_that_stay():
    requests, layout = scenario_requests(LAYOUT, [8, 12, 5], 100)
    assert requests.size.tolist() == [[8, 12, 5]]
    assert requests.lifetime.tolist() == [[NEVER] * 3]
    assert requests.hint.tolist() == [[0.0] * 3]
    assert requests.kind.tolist() == [[0] * 3]
    assert (requests.size.dtype, requests.lifetime.dtype) == (np.int32, np.int32)
    assert layout == ((5, 10), (25, 5))


def test_a_free_ends_a_block_just_before_the_next_request():
    assert lifetimes([8, 12, "free:1", 5]) == [2, NEVER, NEVER]
    assert lifetimes([8, "free:1", 12, 5, "free:3", "free:2", 1]) == [1, 2, 1, NEVER]


def test_a_free_after_the_last_request_ends_the_block_at_the_end():
    assert lifetimes([8, 12, "free:1", "free:2"]) == [2, 1]


def test_requests_are_counted_without_the_frees():
    assert lifetimes([1, "free:1", 2, "free:2", 3, "free:3", 4]) == [1, 1, 1, NEVER]


def test_the_layout_keeps_its_order_and_blocks_may_touch_and_fill_the_arena():
    layout = [[50, 50], [0, 20], [20, 30]]
    assert scenario_requests(layout, [1], 100).layout == ((50, 50), (0, 20), (20, 30))


def test_numpy_integers_arrays_and_tuples_are_taken():
    scenario = scenario_requests(np.array(LAYOUT), (np.int64(8), "free:1"), np.int32(100))
    assert scenario.layout == ((5, 10), (25, 5))
    assert all(type(value) is int for block in scenario.layout for value in block)
    assert scenario.requests.size.tolist() == [[8]]


@pytest.mark.skipif(not GOLDEN.exists(), reason="no ../shared with golden files")
def test_every_golden_layout_is_accepted():
    for case in json.loads(GOLDEN.read_text())["cases"]:
        scenario = scenario_requests(case["blocks"], case["sizes"], case["memory_size"])
        assert [list(block) for block in scenario.layout] == case["blocks"]
        assert scenario.requests.size.tolist() == [case["sizes"]]


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ([[0, 10], [30, 5], [9, 3]], r"blocks 1, \[0, 10\], and 3, \[9, 3\], overlap"),
        ([[10, 2], [0, 50]], r"blocks 1, \[10, 2\], and 2, \[0, 50\], overlap"),
        ([[5, 5], [5, 5]], "blocks 1, .* and 2, .* overlap"),
        ([[95, 6]], r"block 1, \[95, 6\], leaves the arena; .* 0 to 99"),
        ([[-1, 6]], r"block 1, \[-1, 6\], leaves the arena"),
        ([[100, 1]], "leaves the arena"),
        ([[0, 1], [5, 0]], r"block 2 is \[5, 0\]; its size must be at least 1"),
        ([[5, -2]], "its size must be at least 1"),
        ([[5]], r"block 1 is \[5\]; a block is \[start, size\]"),
        ([[5, 2, 1]], "a block is"),
        ([5], "block 1 is 5; a block is"),
        (["5,2"], "block 1 is '5,2'; a block is"),
        ([{5: 1, 2: 3}], "block 1 is {5: 1, 2: 3}; a block is"),
        ([[5.0, 2]], "a block is"),
        ([[True, 2]], "a block is"),
        ([["5", 2]], "a block is"),
        ([[float("nan"), 2]], "a block is"),
        ([[None, 2]], "a block is"),
        ("[[5,2]]", "layout is .*; it must be a list"),
        (None, "layout is None; it must be a list"),
        ({5: 2}, "layout is {5: 2}; it must be a list"),
    ],
)
def test_a_bad_layout_is_one_line_that_names_the_block(layout, message):
    with pytest.raises(ValueError, match=message) as caught:
        scenario_requests(layout, [1], 100)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ([8, 0], "item 2 of sizes is 0; it must be a whole number from 1 to 100"),
        ([-3], "item 1 of sizes is -3"),
        ([101], "item 1 of sizes is 101"),
        ([2**70], "item 1 of sizes is"),
        ([True], "item 1 of sizes is True"),
        ([np.True_], "item 1 of sizes is"),
        ([8.0], "item 1 of sizes is 8.0"),
        ([float("nan")], "item 1 of sizes is nan"),
        ([None], "item 1 of sizes is None"),
        ([[8]], r"item 1 of sizes is \[8\]"),
        (["8"], "item 1 of sizes is '8'; text must be 'free:K'"),
        ([8, "free"], "item 2 of sizes is 'free'; text must be"),
        ([8, "free:x"], "text must be"),
        ([8, "free:1.0"], "text must be"),
        ([8, "Free:1"], "text must be"),
        ([8, "free:1\n"], "text must be"),
        ([8, "free:" + "9" * 5000], "text must be"),
        ([8, "free:0", 2], "item 2 of sizes is 'free:0'; K must be a request before it, 1 to 1"),
        ([8, "free:-1"], "item 2 of sizes is 'free:-1'; K must be"),
        ([8, "free:2", 5], "item 2 of sizes is 'free:2'; K must be a request before it, 1 to 1"),
        ([8, 5, "free:9"], "item 3 of sizes is 'free:9'; K must be a request before it, 1 to 2"),
        (["free:1", 8], "item 1 of sizes is 'free:1'; no request comes before it"),
        ([8, "free:1", "free:1"], "item 3 of sizes, 'free:1', is a double free; request 1"),
        ([8, "free:1", 5, "free:1"], "item 4 of sizes, .* double free"),
        ([], "sizes has no request"),
        ("[8, 12]", "sizes is .*; it must be a list"),
        (8, "sizes is 8; it must be a list"),
        (None, "sizes is None; it must be a list"),
    ],
)
def test_a_bad_size_is_one_line_that_names_the_item(sizes, message):
    with pytest.raises(ValueError, match=message) as caught:
        scenario_requests([], sizes, 100)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("cells", [0, -1, 1.5, True, None, "100", 2**31])
def test_a_bad_number_of_cells_is_refused(cells):
    with pytest.raises(ValueError, match=r"cells is .* from 1 to"):
        scenario_requests([], [1], cells)
