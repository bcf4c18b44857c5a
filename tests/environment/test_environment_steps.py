"""Single claims about resetting and stepping, on requests short enough to follow by hand."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem.arena.arena import NEVER
from jaxmem.arena.making import new_arena
from jaxmem.environment.ending import Ending
from jaxmem.environment.environment import Environment, Params
from jaxmem.environment.rewards import REWARDS, Outcome
from jaxmem.environment.situation import serve, situation_at
from jaxmem.workloads.requests import requests_of

CELLS, HORIZON = 10, 4
SIZES = np.array([[4, 4, 1, 1], [3, 8, 2, 1], [9, 9, 9, 2]])
ENV = Environment(CELLS, HORIZON, observation="bitmap", holes=2, history=1)
LOW, REFUSE = jnp.int32(0), jnp.int32(4)
KEY = jax.random.key(0)
STEP, STEP_ENV = jax.jit(ENV.step), jax.jit(ENV.step_env)
RESET, RESET_AT = jax.jit(ENV.reset), jax.jit(ENV.reset_at)


def assert_same(one, other):
    """Equal, but for the last bit of a float, which two programs may round differently."""
    chex.assert_trees_all_equal_shapes_and_dtypes(one, other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        tolerance = 1e-6 if jnp.issubdtype(a.dtype, jnp.floating) else 0
        np.testing.assert_allclose(a, b, rtol=tolerance)


def params(cells=CELLS, stop_at_failure=False, stop_above=2.0) -> Params:
    """Three sequences of four requests, never freed."""
    return Params(
        requests=requests_of(SIZES, np.full(SIZES.shape, NEVER)),
        initial=new_arena(jnp.int32(cells), CELLS, HORIZON),
        ending=Ending(jnp.bool_(stop_at_failure), jnp.float32(stop_above)),
    )


def endings(sequence: int, actions, **options) -> list[tuple[bool, bool]]:
    """(terminated, truncated) after each of the actions."""
    here = params(**options)
    _, state = RESET_AT(jnp.int32(sequence), jnp.int32(0), here)
    found = []
    for action in actions:
        _, state, _, terminated, truncated, _ = STEP_ENV(KEY, state, action, here)
        found.append((bool(terminated), bool(truncated)))
    return found


def test_the_end_of_a_sequence_is_truncation():
    assert endings(0, [LOW] * 4) == [(False, False)] * 3 + [(False, True)]


def test_a_failure_terminates_only_where_it_is_told_to():
    assert endings(1, [LOW, REFUSE]) == [(False, False)] * 2
    assert endings(1, [LOW, REFUSE], stop_at_failure=True) == [(False, False), (True, False)]


def test_an_episode_goes_on_at_the_limit_and_ends_above_it():
    """4, then 8, then 9 of 10 cells are live; the limit is 80 %."""
    assert endings(0, [LOW] * 3, stop_above=0.8) == [(False, False)] * 2 + [(True, False)]


def test_a_failure_of_the_last_request_is_both_ends():
    ends = endings(0, [LOW, LOW, LOW, jnp.int32(-1)], stop_at_failure=True)
    assert ends[-1] == (True, True)


def test_step_resets_where_step_env_does_not():
    here = params()
    _, state = RESET_AT(jnp.int32(2), jnp.int32(0), here)
    for _ in range(HORIZON - 1):
        _, state, *_ = STEP(KEY, state, LOW, here)
    last, ended, *outcome = STEP_ENV(KEY, state, LOW, here)
    observation, after, *outcome_of_step = STEP(KEY, state, LOW, here)
    first, fresh = RESET_AT(jnp.int32(0), jnp.int32(0), here)
    assert (int(ended.arena.now), int(ended.sequence)) == (HORIZON, 2)
    assert ended.mask.any()
    assert_same(outcome_of_step, outcome)
    assert_same(ended.last_observation, last)
    assert_same(observation, first)
    assert_same(after, fresh.replace(last_observation=last))
    assert not np.array_equal(first, last)


def test_within_an_episode_step_and_step_env_are_the_same():
    here = params()
    _, state = RESET_AT(jnp.int32(0), jnp.int32(0), here)
    for action in (LOW, jnp.int32(1), REFUSE):
        stepped = STEP(KEY, state, action, here)
        assert_same(stepped, STEP_ENV(KEY, state, action, here))
        state = stepped[1]


def test_without_keeping_the_last_observation_all_else_stays_the_same():
    here = params()
    light = dataclasses.replace(ENV, keep_last=False)
    step = jax.jit(light.step)
    _, state = RESET_AT(jnp.int32(0), jnp.int32(0), here)
    _, light_state = jax.jit(light.reset_at)(jnp.int32(0), jnp.int32(0), here)
    for _ in range(HORIZON + 1):
        assert light_state.last_observation is None
        kept = state.replace(last_observation=None)
        assert_same(light_state, kept)
        observation, state, *outcome = STEP(KEY, state, LOW, here)
        light_observation, light_state, *light_outcome = step(KEY, light_state, LOW, here)
        assert_same(light_observation, observation)
        assert_same(light_outcome, outcome)


def test_an_arena_may_join_a_sequence_in_the_middle():
    _, state = RESET_AT(jnp.int32(1), jnp.int32(2), params())
    *_, truncated, info = STEP_ENV(KEY, state, LOW, params())
    assert (int(info["size"]), int(info["start"])) == (2, 0)
    assert not truncated
    assert int(state.arena.now) == 2


def test_raw_and_typed_keys_are_the_same():
    typed, raw = jax.random.key(7), jax.random.PRNGKey(7)
    assert_same(RESET(typed, params()), RESET(raw, params()))
    _, state = RESET(typed, params())
    stepped = (STEP(key, state, LOW, params()) for key in (typed, raw))
    assert_same(*stepped)


def test_the_key_of_a_reset_chooses_among_all_sequences_and_nothing_else():
    reset = jax.jit(jax.vmap(ENV.reset, in_axes=(0, None)))
    _, states = jax.device_get(reset(jax.random.split(KEY, 64), params()))
    assert set(states.sequence.tolist()) == {0, 1, 2}
    for sequence in range(3):
        here = jax.tree.map(lambda x, s=sequence: x[states.sequence == s][0], states)
        _, state = RESET_AT(jnp.int32(sequence), jnp.int32(0), params())
        assert_same(here, state)


def test_the_same_actions_give_the_same_game_whatever_the_key_of_the_step():
    _, state = RESET(KEY, params())
    stepped = (STEP(jax.random.key(seed), state, LOW, params()) for seed in (0, 1))
    assert_same(*stepped)


def test_arenas_of_several_sizes_play_in_one_program_that_is_traced_once():
    chex.clear_trace_counter()
    axes = Params(requests=None, initial=0, ending=0)
    step = jax.jit(jax.vmap(chex.assert_max_traces(ENV.step, n=1), in_axes=(None, 0, 0, axes)))
    lives = []
    reset = jax.jit(jax.vmap(ENV.reset_at, in_axes=(None, None, axes)))
    for sizes in ([3, 5, 10], [10, 9, 1]):
        here = [params(cells=cells) for cells in sizes]
        here = jax.tree.map(lambda *leaves: jnp.stack(leaves), *here)
        here = here.replace(requests=params().requests)
        _, state = reset(jnp.int32(0), jnp.int32(0), here)
        for _ in range(2):
            _, state, *_, info = step(KEY, state, jnp.zeros(3, jnp.int32), here)
        lives.append(info["live"].tolist())
    assert lives == [[0, 4, 8], [8, 8, 0]]


@pytest.mark.parametrize(
    ("reward", "worth"),
    [
        ("failures", {"placed": 0.0, "failed": -1.0, "placed, full": 0.0, "failed, full": -1.0}),
        ("bytes", {"placed": 0.0, "failed": -0.3, "placed, full": 0.0, "failed, full": -0.3}),
        ("classic", {"placed": 0.1, "failed": -1.0, "placed, full": -0.4, "failed, full": -1.5}),
    ],
)
def test_rewards_of_a_request_of_6_cells_in_an_arena_of_20(reward, worth):
    for outcome, value in worth.items():
        placed, full = jnp.bool_("placed" in outcome), jnp.bool_("full" in outcome)
        given = REWARDS[reward](Outcome(placed, jnp.int32(6), jnp.int32(20), full))
        assert float(given) == pytest.approx(value)
    assert len(REWARDS) == 3


@pytest.mark.parametrize(("hint", "remaining"), [(0.0, 0), (0.2, 1), (1.4, 1), (2.6, 3), (6.0, 6)])
def test_a_hint_is_a_whole_number_of_requests_and_at_least_one(hint, remaining):
    assert remaining_life(hint) == remaining


@pytest.mark.parametrize("hint", [float(HORIZON), 2.0 * HORIZON])
def test_a_hint_beyond_the_episode_is_seen_in_full(hint):
    assert remaining_life(hint) == hint


@pytest.mark.parametrize("hint", [1e10, 3e38, np.inf])
def test_a_hint_too_long_to_count_is_still_a_long_life(hint):
    assert remaining_life(hint) >= HORIZON


SERVE = jax.jit(serve)
FIRST_HOLE = jax.jit(lambda arena: arena.holes_that_fit(jnp.int32(1), 1))


def remaining_life(hint: float) -> int:
    """The predicted life of a block placed at time 0, from what is shown a request later."""
    size, lifetime = np.full((1, 1), 4), np.full((1, 1), NEVER)
    requests = requests_of(size, lifetime, np.full((1, 1), hint, np.float32))
    situation = situation_at(new_arena(CELLS, CELLS, HORIZON), requests, jnp.int32(0))
    arena = SERVE(situation, jnp.int32(0), requests.lifetime[0, 0])
    hole = FIRST_HOLE(arena)
    remaining = int(hole.below.remaining[0])
    return remaining + 1 if hint else remaining


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"actions": "hole"}, "actions must be one of holes, address, fit, not 'hole'"),
        ({"observation": "pixels"}, "one of candidates, packed, bitmap, not 'pixels'"),
        ({"reward": "none"}, "reward must be one of failures, bytes, classic, not 'none'"),
        ({"actions": "fit"}, "with actions 'fit' use observation 'bitmap'"),
        ({"holes": 0}, "holes must be a whole number of at least 1, not 0"),
        ({"horizon": 0}, "horizon must be a whole number of at least 1, not 0"),
        ({"history": -1}, "history must be a whole number of at least 0, not -1"),
        ({"cells": 0}, "an arena holds 1 to 4096 cells, not 0"),
        ({"cells": 2**31}, "an arena holds 1 to 2147483647 cells, not 2147483648"),
        ({"cells": 4097, "actions": "address", "observation": "bitmap"}, "up to 4096 cells"),
        ({"cells": 4097, "observation": "bitmap"}, "4097 cells need the actions 'holes'"),
    ],
)
def test_impossible_environments_are_refused(arguments, problem):
    with pytest.raises(ValueError, match=problem):
        Environment(**{"cells": CELLS, "horizon": HORIZON} | arguments)
