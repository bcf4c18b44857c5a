"""The live cap frees what would die soonest, and no more than it must."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from request_checks import live_cells

from jaxmem.arena.arena import NEVER
from jaxmem.workloads.live_cap import cap_live_cells, cap_sequences
from jaxmem.workloads.requests import requests_of

LENGTH = 24
CAPPED = {
    capacity: jax.jit(partial(cap_live_cells, capacity=capacity)) for capacity in (1, 6, 15, 40)
}


def capped_by_hand(sizes, lifetimes, capacity: int) -> list[int]:
    """The rule, word for word, one request and one block at a time."""
    expiry = [t + lifetime for t, lifetime in enumerate(lifetimes)]
    for t, size in enumerate(sizes):
        live = [block for block in range(t) if expiry[block] > t]
        while live and sum(sizes[block] for block in live) + size > capacity:
            soonest = min(live, key=lambda block: (expiry[block], block))
            live.remove(soonest)
            expiry[soonest] = t
    return [expiry[t] - t for t in range(len(sizes))]


def cap(sizes, lifetimes, capacity: int) -> list[int]:
    size, lifetime = jnp.array(sizes, jnp.int32), jnp.array(lifetimes, jnp.int32)
    return cap_live_cells(size, lifetime, capacity).tolist()


def test_blocks_that_fit_keep_their_lifetimes():
    assert cap([3, 4, 3], [5, NEVER, 1], 10) == [5, NEVER, 1]


def test_the_block_that_would_die_soonest_is_freed():
    assert cap([4, 4, 4], [9, 5, 9], 10) == [9, 1, 9]


def test_of_blocks_that_would_die_together_the_oldest_is_freed():
    assert cap([2, 2, 2, 2, 5], [8, 7, 6, 5, 4], 10) == [4, 3, 6, 5, 4]


def test_a_block_that_is_already_dead_makes_room():
    assert cap([6, 4, 6], [2, 9, 9], 10) == [2, 9, 9]


def test_a_request_larger_than_the_capacity_frees_everything():
    assert cap([2, 2, 11, 2], [9, 9, 9, 9], 10) == [2, 1, 1, 9]


def test_a_capacity_without_cells_is_refused():
    with pytest.raises(ValueError, match="capacity is 0; it must be at least 1 cell"):
        cap([1], [1], 0)


lifetimes = st.one_of(st.integers(1, 6), st.integers(1, 40), st.just(NEVER))


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(CAPPED)),
    st.lists(st.integers(1, 9), min_size=LENGTH, max_size=LENGTH),
    st.lists(lifetimes, min_size=LENGTH, max_size=LENGTH),
)
def test_the_cap_agrees_with_the_rule_played_by_hand(capacity, sizes, lifetimes):
    size, lifetime = jnp.array(sizes, jnp.int32), jnp.array(lifetimes, jnp.int32)
    assert CAPPED[capacity](size, lifetime).tolist() == capped_by_hand(sizes, lifetimes, capacity)


def test_long_crowded_sequences_agree_with_the_rule_and_stay_under_the_cap():
    rng = np.random.default_rng(0)
    size = rng.integers(1, 11, (6, 320), dtype=np.int32)
    lifetime = np.maximum(1, rng.exponential(30, (6, 320))).astype(np.int32)
    capped = np.asarray(cap_sequences(jnp.array(size), jnp.array(lifetime), 100))
    for sequence in range(6):
        by_hand = capped_by_hand(size[sequence].tolist(), lifetime[sequence].tolist(), 100)
        assert capped[sequence].tolist() == by_hand
    assert live_cells(requests_of(size, lifetime)).max() > 150
    assert live_cells(requests_of(size, capped)).max() == 100
