"""What `make` takes, and where `reset` joins a sequence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem
from jaxmem.arena.arena import NEVER
from jaxmem.arena.making import new_arena
from jaxmem.environment.ending import Ending
from jaxmem.environment.environment import Environment, Params
from jaxmem.workloads.registry import workload
from jaxmem.workloads.requests import requests_of

CELLS, HORIZON, ARENAS = 10, 4, 256
SIZES = np.array([[4, 4, 1, 1], [3, 8, 2, 1], [9, 9, 9, 2]])
PARAMS = Params(
    requests=requests_of(SIZES, np.full(SIZES.shape, NEVER)),
    initial=new_arena(CELLS, CELLS, HORIZON),
    ending=Ending(jnp.bool_(False), jnp.float32(2.0)),
)
KEYS = jax.random.split(jax.random.key(0), ARENAS)


def test_an_environment_can_be_made_of_a_workload_that_is_no_name():
    task = workload("comb", 60, capacity=50)
    (env, params), (named, same) = (
        jaxmem.make(task, sequences=3),
        jaxmem.make("comb", cells=60, sequences=3, capacity=50),
    )
    assert env == named
    np.testing.assert_array_equal(params.requests.size, same.requests.size)
    with pytest.raises(ValueError, match="cells, capacity cannot be changed: comb is a workload"):
        jaxmem.make(task, cells=70, capacity=50)


@pytest.mark.parametrize("start", ["first", "random"])
def test_arenas_join_their_sequences_where_they_are_told_to(start):
    env = Environment(CELLS, HORIZON, observation="bitmap", holes=2, start=start)
    _, state = jax.jit(jax.vmap(env.reset, (0, None)))(KEYS, PARAMS)
    times, sequences = np.array(state.arena.now), np.array(state.sequence)
    assert set(sequences) == {0, 1, 2}
    assert set(times) == ({0} if start == "first" else {0, 1, 2, 3})
    if start == "random":  # 12 pairs, about 21 times each
        counts = np.bincount(3 * times + sequences, minlength=12)
        assert counts.min() > 5
    np.testing.assert_array_equal(state.situation.size, SIZES[sequences, times])


def test_arenas_that_start_apart_stay_apart_after_an_auto_reset():
    env = Environment(CELLS, HORIZON, observation="bitmap", holes=2, start="random")
    reset, step = jax.vmap(env.reset, (0, None)), jax.vmap(env.step, (0, 0, 0, None))

    @jax.jit
    def play(keys):
        def one(state, _):
            _, state, _, _, truncated, _ = step(keys, state, state.mask.argmax(-1), PARAMS)
            return state, (state.arena.now, truncated)

        return jax.lax.scan(one, reset(keys, PARAMS)[1], length=2 * HORIZON)[1]

    now, truncated = (np.array(column) for column in play(KEYS))
    for at in range(2 * HORIZON):
        assert set(now[at]) == set(range(HORIZON))
    assert (truncated.sum(axis=0) == 2).all()


def test_the_last_observation_at_truncation_is_that_of_the_memory_that_lives_on():
    env = Environment(CELLS, HORIZON, observation="bitmap", holes=2)
    step = jax.jit(env.step)
    observation, state = jax.jit(env.reset_at)(jnp.int32(0), jnp.int32(0), PARAMS)
    for _ in range(HORIZON):
        observation, state, _, _, truncated, _ = step(None, state, state.mask.argmax(), PARAMS)
    assert truncated
    taken = np.array(state.last_observation)[:CELLS]
    assert taken.sum() == 10  # 4 + 4 + 1 + 1 cells, none of them freed
    assert np.array(observation)[:CELLS].sum() == 0  # the next episode begins empty


def test_an_unknown_start_is_refused():
    with pytest.raises(ValueError, match="start must be one of first, random, not 'any'"):
        jaxmem.make("comb", start="any")
