"""Stacks found by annealing, against blocks dropped in plain Python and against all orders."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem.arena.arena import NEVER
from jaxmem.recordings import Recording, offline_packing, stacking_search
from jaxmem.recordings.offline_packing import _Stack
from jaxmem.recordings.packing import check_packing
from jaxmem.recordings.stacking_search import (
    ABOVE_ALL,
    LEAST_PARTS,
    PART,
    _heights,
    blocks_of,
    lowest_stack,
    rounds_for,
)


def random_blocks(seed: int, count: int, largest: int = 9, longest: int = 8):
    """size, birth, death: int64[count], one request each, those that die at the end included."""
    random = np.random.default_rng(seed)
    birth = np.arange(count)
    death = np.minimum(birth + random.integers(1, longest + 1, count), count)
    return random.integers(1, largest + 1, count), birth, death


def dropped(size, birth, death, order) -> int:
    """The height of a stack: every request has its own top."""
    top = [0] * int(max(death))
    for block in order:
        moments = range(birth[block], death[block])
        rests = max(top[moment] for moment in moments)
        for moment in moments:
            top[moment] = rests + int(size[block])
    return max(top)


def most_live(size, birth, death) -> int:
    return max(int(size[(birth <= now) & (death > now)].sum()) for now in range(len(size)))


@pytest.mark.parametrize("longest", [1, 3, 12, 100])
def test_sections_between_frees_have_the_heights_of_single_requests(longest):
    size, birth, death = random_blocks(longest, 40, longest=longest)
    blocks = blocks_of(size, birth, death)
    random = np.random.default_rng(0)
    orders = np.stack([random.permutation(40) for _ in range(20)])
    found = _heights(blocks, jnp.asarray(orders, jnp.int32)).tolist()
    assert found == [dropped(size, birth, death, order) for order in orders]
    assert blocks.sections <= 40


def test_requests_between_which_nothing_is_freed_are_one_section():
    # 0 and 1; 2 and 3, after 0 has been freed; 4, after 2 and 3.
    birth, death = np.arange(5), np.array([2, 5, 4, 4, 5])
    blocks = blocks_of(np.full(5, 3), birth, death)
    assert blocks.sections == 3
    assert blocks.first.tolist() == [0, 0, 1, 1, 2]
    assert blocks.end.tolist() == [1, 3, 2, 2, 3]


@pytest.mark.parametrize("seed", range(3))
def test_the_height_is_that_of_the_order_found_and_never_below_what_is_live(seed):
    _, birth, death = random_blocks(0, 30)  # one shape to compile
    size = random_blocks(seed, 30)[0]
    order = np.random.default_rng(seed).permutation(30)
    blocks = blocks_of(size, birth, death)
    heard = []
    height, found = lowest_stack(blocks, order, rounds=PART, seed=seed, report=heard.append)
    assert sorted(found.tolist()) == list(range(30))
    assert found.dtype == np.int64
    assert height == dropped(size, birth, death, found)
    start = stacking_search.dropped(blocks, found)
    check_packing(start, size, death)
    assert (start + size).max() == height
    begun = dropped(size, birth, death, order)
    assert most_live(size, birth, death) <= height < begun
    assert heard == [f"stacking offline: {begun / most_live(size, birth, death):.3f}, 0%"]


def test_no_order_of_a_few_blocks_is_lower():
    checked = 0
    for seed in range(20):
        size, birth, death = random_blocks(seed, 6, longest=4)
        blocks = blocks_of(size, birth, death)
        if blocks.sections != 4:  # one shape to compile
            continue
        heights = {
            order: dropped(size, birth, death, order) for order in itertools.permutations(range(6))
        }
        highest = max(heights, key=heights.get)
        found, order = lowest_stack(blocks, np.array(highest), rounds=PART)
        assert found == heights[tuple(order.tolist())] == min(heights.values())
        checked += found < heights[highest]
    assert checked > 2


@pytest.mark.parametrize("seed", range(3))
def test_the_stack_is_the_lowest_there_is_where_that_is_above_what_is_live(seed):
    # The blocks of `test_optimal` that no search places in 10 units.
    size = np.array([3, 3, 1, 3, 2, 2, 2, 3, 2, 3, 3])
    birth = np.arange(11)
    death = np.minimum(birth + np.array([8, 4, 1, 1, 6, 2, 3, 8, 2, 5, 1]), 11)
    assert most_live(size, birth, death) == 10
    order = np.random.default_rng(seed).permutation(11)
    begun = dropped(size, birth, death, order)
    found, _ = lowest_stack(blocks_of(size, birth, death), order, rounds=PART, seed=seed)
    assert found == 11 < begun


def test_the_same_seed_finds_the_same_stack():
    size, birth, death = random_blocks(0, 30)
    blocks = blocks_of(size, birth, death)
    one, two = (lowest_stack(blocks, np.arange(30), rounds=PART, seed=5) for _ in range(2))
    assert one[0] == two[0]
    np.testing.assert_array_equal(one[1], two[1])


def test_a_search_that_begins_with_a_perfect_stack_stops_at_once(monkeypatch):
    def searched(*_):
        raise AssertionError("there is nothing to look for")

    monkeypatch.setattr(stacking_search, "_searched", searched)
    size, birth, death = np.array([4, 2, 2]), np.arange(3), np.array([3, 2, 3])
    order = np.array([0, 1, 2])
    height, found = lowest_stack(blocks_of(size, birth, death), order, rounds=10**9)
    assert height == most_live(size, birth, death) == 6
    assert found.tolist() == [0, 1, 2]


def test_changed_orders_are_orders_and_most_have_changed():
    changed = np.asarray(jax.jit(stacking_search._with_changes)(jnp.arange(9), jax.random.key(0)))
    assert (np.sort(changed, axis=1) == np.arange(9)).all()
    assert (changed != np.arange(9)).any(axis=1).mean() > 0.8


def test_rounds_are_what_the_work_allows_for_and_none_where_it_is_too_little(monkeypatch):
    few = blocks_of(*random_blocks(0, 20))
    work = len(few.size) * few.sections * stacking_search.ORDERS_TRIED
    assert rounds_for(few) == PART * (1 + 20 * stacking_search.EACH // PART)
    monkeypatch.setattr(stacking_search, "EACH", 10**9)
    rounds = rounds_for(few)
    assert rounds % PART == 0
    assert rounds <= stacking_search.WORK_PER_SEARCH / work < rounds + PART
    many = 3000
    ladder = blocks_of(np.ones(many, np.int64), np.arange(many), np.arange(many) + 1)
    assert (
        stacking_search.WORK_PER_SEARCH / (many * many * stacking_search.ORDERS_TRIED * PART)
        < LEAST_PARTS
    )
    assert rounds_for(ladder) == 0


@pytest.mark.parametrize(
    "size", [[ABOVE_ALL - 1, 1], [2**30, 2**30], [2**32, 1], [2**31, 2**31], [2**62, 2]]
)
def test_there_is_no_search_where_heights_are_too_large_for_int32(size):
    birth, death = np.array([0, 1]), np.array([1, 2])
    assert rounds_for(blocks_of(np.array(size), birth, death)) == 0
    assert rounds_for(blocks_of(np.array([ABOVE_ALL - 2, 1]), birth, death)) > 0


def test_heights_beyond_int32_are_those_of_the_orders(monkeypatch):
    monkeypatch.setattr(offline_packing, "PLACED", 120)
    size, lifetime = np.array([3, 2**31, 2**32, 2]), np.array([2, 1, NEVER, NEVER])
    recording = Recording("huge", size, lifetime)
    packing = offline_packing.offline_packing(recording, size)
    assert (packing.height, packing.stacked) == (2**32 + 2, 4)


@pytest.mark.parametrize("seed", range(3))
def test_the_offline_height_is_between_what_is_live_and_what_the_orders_give(seed, monkeypatch):
    size, birth, death = random_blocks(seed, 40)
    monkeypatch.setattr(stacking_search, "WORK_PER_SEARCH", 5e8)
    monkeypatch.setattr(offline_packing, "PLACED", 1200)
    life = death - birth
    lifetime = np.where(death == 40, NEVER, life)
    packing = offline_packing.offline_packing(Recording("made", size, lifetime), size)
    assert packing.stacked == 40
    check_packing(packing.start, size, death)
    assert (packing.start + size).max() == packing.height
    orders = [np.argsort(-key, kind="stable") for key in (size * life, size, life)]
    rounds = offline_packing.PLACED // 120
    alone = [_Stack(size, birth, death, order).height for order in orders]
    again = [
        offline_packing._lowest(size, birth, death, order, rounds, 0).height for order in orders
    ]
    assert most_live(size, birth, death) <= packing.height <= min(again) <= min(alone)
