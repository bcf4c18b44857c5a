"""The game for Gymnasium: its checker, many arenas in one step, and pictures."""

import warnings

import numpy as np
import pytest
from toy_learner import TASK

import jaxmem

gymnasium = pytest.importorskip("gymnasium", reason="needs the extra gymnasium")
from gymnasium.utils.env_checker import check_env  # noqa: E402

import jaxmem.adapters.gymnasium  # noqa: E402

SMALL = {"on": TASK, "sequences": 3, "observation": "bitmap", "actions": "fit"}
NAME = "jaxmem/memoryless-v0"


def first_legal(env):
    return env.unwrapped.action_masks().argmax(-1)


def test_every_task_has_a_name():
    assert {f"jaxmem/{name}-v0" for name in jaxmem.tasks()} <= set(gymnasium.registry)


def test_gymnasium_finds_nothing_to_say_about_it():
    env = gymnasium.make(NAME, render_mode="ansi", **SMALL)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)
    env.reset(seed=3)
    assert "request 1: " in env.render()
    assert "\x1b" not in env.render()


def test_an_arena_plays_to_the_end_of_its_sequence():
    env = gymnasium.make(NAME, render_mode="rgb_array", **SMALL)
    env.reset(seed=3)
    ends = [env.step(first_legal(env))[2:4] for _ in range(31)]
    assert ends == [(False, False)] * 30 + [(False, True)]
    picture = env.render()
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 3


def test_many_arenas_step_at_once_and_begin_anew():
    many = gymnasium.make_vec(NAME, num_envs=1000, **SMALL)
    seen, _ = many.reset(seed=3)
    again, _ = many.reset(seed=3)
    np.testing.assert_array_equal(seen, again)
    assert seen.shape == many.observation_space.shape == (1000, 25)
    assert many.observation_space.contains(seen)
    for time in range(32):
        seen, reward, terminated, truncated, info = many.step(first_legal(many))
        assert (truncated == (time == 30)).all()
        assert not terminated.any()
        assert ("final_obs" in info) == (time == 30)
        if time == 30:
            assert info["_final_obs"].all()
            assert (info["final_obs"] != seen).any()
            assert (seen[:, :24] == 0).all(), "a fresh arena is empty"
    assert reward.shape == info["placed"].shape == (1000,)


def test_what_cannot_be_is_said_in_one_line():
    with pytest.raises(ValueError, match="render_mode must be one of rgb_array, ansi, or None"):
        jaxmem.adapters.gymnasium.MemoryPlacementEnv("memoryless", render_mode="human")
    with pytest.raises(gymnasium.error.ResetNeeded):
        jaxmem.adapters.gymnasium.MemoryPlacementEnv(**SMALL).step(0)
