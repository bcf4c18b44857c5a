"""The game as a gymnax 1.x environment: its own smoke test, an auto-reset, and its wrappers."""

from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_learner import TASK

import jaxmem

SMALL = {"sequences": 3, "observation": "bitmap", "actions": "fit"}
SHAPE = (TASK.cells + 1,)
KEYS = jax.random.split(jax.random.key(5), 4)


@pytest.fixture(scope="module")
def gymnax():
    """It imports pandas and scipy: only a process that runs these tests pays for that."""
    if find_spec("gymnax") is None:  # where it is there, it is to be imported
        pytest.skip("needs the extra gymnax")
    found = import_module("gymnax")
    if not hasattr(found, "register"):
        pytest.skip("needs gymnax 1")
    from gymnax import wrappers  # noqa: F401  gymnax.wrappers is there after that

    return found


@pytest.fixture(scope="module")
def placement(gymnax):
    """The class of environments, which has registered one for each task."""
    from jaxmem.adapters.gymnax import MemoryPlacement

    return MemoryPlacement


@pytest.fixture(scope="module")
def small(placement):
    """A game with little to compile."""
    env = placement(TASK, **SMALL)
    return env, env.default_params


def check_smoke(gymnax, env, params):
    """Resets and steps as gymnax's own matrix of registered environments does."""
    assert isinstance(env, gymnax.environments.environment.Environment)
    observation, state = jax.jit(env.reset)(KEYS[0], params)
    action = env.action_space(params).sample(KEYS[1])
    step = jax.jit(env.step)
    after, _, reward, terminated, truncated, info = step(KEYS[2], state, action, params)
    space = env.observation_space(params)
    assert observation.shape == after.shape == info["final_observation"].shape == space.shape
    assert observation.dtype == after.dtype == space.dtype
    assert space.contains(observation)
    assert space.contains(after)
    assert (reward.shape, reward.dtype) == ((), jnp.float32)
    assert terminated.shape == truncated.shape == ()
    assert info["terminated"] == terminated
    assert info["truncated"] == truncated
    assert env.num_actions == env.action_space(params).n == state.mask.size


@pytest.mark.usefixtures("placement")
def test_every_task_has_a_name(gymnax):
    assert {f"{name}-jaxmem" for name in jaxmem.tasks()} <= set(gymnax.registered_envs)


def test_a_small_game_passes_gymnax_own_smoke_test(gymnax, small):
    check_smoke(gymnax, *small)
    assert small[0].name == "toy"


@pytest.mark.slow
@pytest.mark.usefixtures("placement")
@pytest.mark.parametrize("name", jaxmem.tasks())
def test_every_registered_task_passes_gymnax_own_smoke_test(gymnax, name):
    check_smoke(gymnax, *gymnax.make(f"{name}-jaxmem"))


def test_an_episode_that_ends_is_followed_by_another_and_keeps_its_last_observation(small):
    env, params = small
    params = params.replace(max_steps_in_episode=2)
    every = (0, 0, 0, None)
    step = jax.jit(jax.vmap(env.step, in_axes=every))
    step_env = jax.jit(jax.vmap(env.step_env, in_axes=every))
    observe = jax.jit(jax.vmap(env.observe, in_axes=(0, 0, None, None)))
    _, state = jax.jit(jax.vmap(env.reset, in_axes=(0, None)))(KEYS, params)
    for ended in (False, True, False, True):
        action = state.mask.argmax(-1)
        alone = step_env(KEYS, state, action, params)
        observation, state, reward, terminated, truncated, info = step(KEYS, state, action, params)
        np.testing.assert_array_equal(info["final_observation"], alone[0])
        np.testing.assert_array_equal(reward, alone[2])
        np.testing.assert_array_equal(observation, observe(KEYS, state, 0, params))
        assert not terminated.any()
        assert (truncated == ended).all()
        assert (state.time == (0 if ended else alone[1].time)).all()
        assert (observation == alone[0]).all() != ended


def test_a_failure_that_ends_episodes_terminates_them(placement):
    env = placement(replace(TASK, stop_at_failure=True), **SMALL)
    _, state = jax.jit(env.reset_env)(KEYS[0], env.default_params)
    refused = env.num_actions - 1  # not legal: the request fits, so it has failed
    _, after, reward, terminated, _ = jax.jit(env.step_env)(
        KEYS[0], state, refused, env.default_params
    )
    assert terminated
    assert reward == -1.0
    assert env.is_terminated(after, env.default_params)
    assert not env.is_terminated(state, env.default_params)


def in_gym(gymnax, env, params):
    game = gymnax.wrappers.GymnaxToGymWrapper(env, params)
    return game.reset(seed=1)[0], game.step(0)[0], game.observation_space.shape


def in_vector_gym(gymnax, env, params):
    game = gymnax.wrappers.GymnaxToVectorGymWrapper(env, 2, params)
    return game.reset(seed=1)[0], game.step(np.zeros(2, int))[0], game.observation_space.shape


def in_dm_env(gymnax, env, params):
    game = gymnax.wrappers.GymnaxToDmEnvWrapper(env)
    begun = game.reset(KEYS[0], params)
    return begun.observation, game.step(KEYS[1], begun, 0, params).observation, SHAPE


def in_a_rollout(gymnax, env, params):
    from gymnax.experimental.rollout import RolloutWrapper

    seen, _, _, after, *_ = RolloutWrapper(env=env, num_env_steps=3).batch_rollout(KEYS[:2], None)
    return seen, after, (2, 3, *SHAPE)


def in_brax(gymnax, env, params):
    pytest.importorskip("brax", reason="brax is not here")
    game = import_module("gymnax.wrappers.brax").GymnaxToBraxWrapper(env)
    begun = game.reset(KEYS[0], params)
    return begun.obs, game.step(begun, 0).obs, SHAPE


def in_evojax(gymnax, env, params):
    pytest.importorskip("evojax", reason="evojax is not here")
    kind = import_module("gymnax.wrappers.evojax").GymnaxToEvoJaxTask
    game = kind("memoryless-jaxmem", max_steps=3)
    begun = game.reset(KEYS[:2])
    after, *_ = game.step(begun, jnp.zeros(2, jnp.int32))
    env, params = gymnax.make("memoryless-jaxmem")
    return begun.obs, after.obs, (2, *env.observation_space(params).shape)


def pure(*names):
    def run(gymnax, env, params):
        for name in names:
            env = getattr(gymnax.wrappers, name)(env)
        begun, state = env.reset(KEYS[0], params)
        return begun, env.step(KEYS[1], state, 0, params)[0], SHAPE

    return run


@pytest.mark.parametrize(
    "run",
    [
        pure("FlattenObservationWrapper", "LogWrapper"),
        pytest.param(pure("StickyActionWrapper"), marks=pytest.mark.slow),
        pytest.param(pure("LegacyStepAPIWrapper"), marks=pytest.mark.slow),
        pytest.param(in_dm_env, marks=pytest.mark.slow),
        pytest.param(in_gym, marks=pytest.mark.slow),
        pytest.param(in_vector_gym, marks=pytest.mark.slow),
        pytest.param(in_a_rollout, marks=pytest.mark.slow),
        pytest.param(in_brax, marks=[pytest.mark.slow, pytest.mark.filterwarnings("default")]),
        pytest.param(in_evojax, marks=pytest.mark.slow),
    ],
)
def test_every_wrapper_of_gymnax_works(gymnax, run, small):
    begun, after, shape = run(gymnax, *small)
    assert begun.shape == after.shape == shape
    assert (np.asarray(begun) != np.asarray(after)).any()
