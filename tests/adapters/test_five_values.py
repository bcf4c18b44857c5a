"""The game for trainers that know one `done`, and what an illegal action does."""

from importlib.util import find_spec

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_learner import TASK

from jaxmem.adapters.episode import Episode, legal_action

KEYS = jax.random.split(jax.random.key(5), 4)
SMALL = {"sequences": 3, "observation": "bitmap", "actions": "fit"}
REFUSE = 5  # the last action, not legal where the request fits


def test_an_illegal_action_counts_as_the_legal_one_of_its_number():
    mask = jnp.array([False, True, True, False, False])
    for action, meant in ((0, 1), (1, 1), (2, 2), (3, 2), (4, 1), (5, 2), (-1, 2)):
        assert legal_action(jnp.int32(action), mask) == meant


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"illegal": "dies"}, "illegal must be one of fails, wraps, not 'dies'"),
        ({"observation": "packed", "sequences": 1}, "observation 'packed' is no array"),
        ({"reward": "none"}, "reward must be one of"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(options, said):
    with pytest.raises(ValueError, match=said) as error:
        Episode(TASK, **options)
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def game():
    if find_spec("gymnax") is None:
        pytest.skip("needs the extra gymnax")
    from jaxmem.adapters.five_values import make

    return make(TASK, **SMALL)


def test_a_step_has_five_values_and_begins_the_next_episode(game):
    env, params = game
    params = params.replace(max_steps_in_episode=2)
    seen, state = jax.jit(jax.vmap(env.reset, in_axes=(0, None)))(KEYS, params)
    assert seen.shape[1:] == env.observation_space(params).shape == (TASK.cells + 1,)
    assert seen.dtype == jnp.float32
    step = jax.jit(jax.vmap(env.step, in_axes=(0, 0, 0, None)))
    for ended in (False, True, False):
        seen, state, reward, done, info = step(KEYS, state, jnp.full(4, REFUSE), params)
        assert (np.asarray(done) == ended).all()
        assert (np.asarray(state.time) == 0).all() == ended
        assert {value.shape for value in info.values()} == {(4,)}
        assert info["placed"].all(), "it wraps to an action that is legal"
        assert (reward == 0).all()


def test_an_illegal_action_fails_where_that_is_asked_for(game):
    env, params = game
    _, state = jax.jit(env.reset)(KEYS[0], params)
    strict = Episode(TASK, illegal="fails", **SMALL)
    _, _, reward, _, info = jax.jit(strict.step)(state, jnp.int32(REFUSE), params)
    assert reward == -1.0
    assert not info["placed"]
