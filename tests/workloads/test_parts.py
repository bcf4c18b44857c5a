"""The parts of generators: rounds follow each other, lists remember who is alive."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from request_checks import assert_mean, exponential_mean

from jaxmem.arena.arena import NEVER
from jaxmem.workloads.parts import (
    PARTS_AT_ONCE,
    Round,
    each_sequence,
    empty_list,
    exponential,
    lifetimes_of,
    one_after_another,
    operate,
    random_place,
    uniform,
)


def test_uniform_draws_both_ends_equally_often():
    values = np.asarray(uniform(jax.random.key(0), (30_000,), 3, 7))
    assert sorted(set(values.tolist())) == [3, 4, 5, 6, 7]
    for value in (3, 7):
        assert_mean(values == value, 1 / 5)


def test_exponential_is_rounded_and_at_least_one():
    values = np.asarray(exponential(jax.random.key(0), (30_000,), 8.0))
    assert values.min() == 1
    assert_mean(values, exponential_mean(8.0))


def test_sequences_are_independent_of_how_many_are_drawn():
    draw = lambda key: uniform(key, (4,), 0, 10**6)  # noqa: E731
    many = each_sequence(draw, jax.random.key(0), PARTS_AT_ONCE + 3, 4)
    few = each_sequence(draw, jax.random.key(0), 2, 4)
    assert many.shape == (PARTS_AT_ONCE + 3, 4)
    assert len(np.unique(np.asarray(many), axis=0)) == PARTS_AT_ONCE + 3
    np.testing.assert_array_equal(many[:2], few)


@pytest.mark.parametrize(("sequences", "length"), [(0, 5), (5, 0)])
def test_no_sequence_or_no_request_is_refused(sequences, length):
    with pytest.raises(ValueError, match="both must be at least 1"):
        each_sequence(lambda key: key, jax.random.key(0), sequences, length)


def test_rounds_are_played_one_after_another_and_cut_at_the_length():
    rounds = Round(
        size=jnp.array([[5, 6, 0], [7, 8, 9]]),
        death=jnp.array([[1, 2, 0], [3, 3, 3]]),
        count=jnp.array([2, 3]),
    )
    size, lifetime = one_after_another(rounds, 4)
    assert size.tolist() == [5, 6, 7, 8]
    assert lifetime.tolist() == [1, 1, 3, 2]


def test_a_list_fills_gaps_and_stops_at_its_last_request():
    operations = [  # frees, place, requests
        (False, 0, True),  # [0]
        (False, 0, True),  # [0, 1]
        (False, 0, True),  # [0, 1, 2]
        (True, 0, False),  # [2, 1]: the last fills the gap
        (True, 1, True),  # [2, 3]: the new one fills the gap
        (True, 0, False),  # nothing more: four requests were made
    ]
    live, ends = empty_list(4), []
    for frees, place, requests in operations:
        live, end = operate(live, jnp.bool_(frees), jnp.int32(place), jnp.bool_(requests))
        ends.append(end)
    assert (int(live.time), int(live.count)) == (4, 2)
    assert live.born[:2].tolist() == [2, 3]
    freed, lifetime = map(jnp.stack, zip(*ends, strict=True))
    assert lifetimes_of(freed, lifetime, 4).tolist() == [3, 2, NEVER, NEVER]


def test_a_random_place_is_always_in_the_list():
    largest_draw = jnp.float32(1 - 2**-24)
    for count in (1, 2, 3, 256, 511, 512):
        live = empty_list(512).replace(count=jnp.int32(count))
        assert int(random_place(live, jnp.float32(0))) == 0
        assert int(random_place(live, largest_draw)) == count - 1
