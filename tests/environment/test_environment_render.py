"""What an arena looks like in a terminal."""

import jax
import pytest

import jaxmem


@pytest.fixture(scope="module")
def started():
    env, params = jaxmem.make("scenario")
    return env, params, jax.jit(env.reset)(jax.random.key(0), params)[1]


def test_the_memory_and_the_request_that_waits_are_shown(started):
    env, _, state = started
    assert env.render(state, colour=False).splitlines() == [
        " 0 .....1111111111..........22222..........3333333333",
        "50 33333..........44444..........555555555555555.....",
        "request 1: 8 cells; 50 cells free in 6 holes, largest 10",
    ]


def test_colours_change_no_character(started):
    env, _, state = started
    assert "\x1b[" in env.render(state, colour=True)
    assert "\x1b[" not in env.render(state)  # a test has no terminal


def test_many_arenas_are_not_one_picture(started):
    env, params, _ = started
    keys = jax.random.split(jax.random.key(0), 2)
    _, states = jax.jit(jax.vmap(env.reset, in_axes=(0, None)))(keys, params)
    with pytest.raises(ValueError, match="one arena"):
        env.render(states)
