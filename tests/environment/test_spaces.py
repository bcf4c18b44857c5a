"""Observations and actions are what the environment says that they can be."""

import dataclasses
import doctest
import re
from fnmatch import fnmatch

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem
from jaxmem.environment import environment
from jaxmem.environment.environment import Environment
from jaxmem.environment.observations import RANGES, ranges
from jaxmem.environment.spaces import Box

ARENAS, STEPS = 16, 200
WORD = {"cells": 32}  # a small arena compiles in a third of the time
CLASS, ORACLE = {"lifetime_hints": "class"}, {"lifetime_hints": "oracle"}
SETTINGS = {
    "candidates": ("classic", {}),
    "candidates, predictions": ("call-sites", {**WORD, "holes": 3, **CLASS}),
    "candidates, two holes": ("training-step", {**WORD, "holes": 2, **ORACLE}),
    "candidates, large": ("stack-with-leaks", {"cells": 300, "holes": 12}),
    "packed": ("training-step", {**WORD, "observation": "packed", **ORACLE}),
    "bitmap": ("classic", {"observation": "bitmap", "history": 3}),
    "bitmap, addresses": ("comb", {**WORD, "observation": "bitmap", "actions": "address"}),
    "bitmap, rules": ("mixed", {**WORD, "observation": "bitmap", "actions": "fit", "history": 2}),
}
AGAIN = (
    "candidates",
    "candidates, large",
    "candidates, two holes",
    "bitmap",
    "bitmap, addresses",
)  # others in kind


def seen(env: Environment, params):
    """What E arenas see in S steps of legal actions, drawn; and the actions [S, E, ...]."""
    step = jax.vmap(env.step, in_axes=(None, 0, 0, None))

    def play(state, key):
        action = jax.vmap(lambda key, mask: jax.random.categorical(key, jnp.log(mask)))(
            jax.random.split(key, ARENAS), state.mask
        )
        observation, state, *_ = step(None, state, action, params)
        return state, (observation, action.astype(jnp.int32))

    by_reset, by_step = jax.random.split(jax.random.key(0))
    _, state = jax.vmap(env.reset, in_axes=(0, None))(jax.random.split(by_reset, ARENAS), params)
    return jax.device_get(jax.lax.scan(play, state, jax.random.split(by_step, STEPS))[1])


def cases():
    for kind, (name, settings) in SETTINGS.items():
        marks = [pytest.mark.slow] if kind in AGAIN else []
        yield pytest.param(name, settings, id=kind, marks=marks)


@pytest.mark.parametrize(("name", "settings"), list(cases()))
def test_what_is_seen_and_done_lies_in_the_spaces(name, settings):
    env, params = jaxmem.make(name, sequences=8, start="random", **settings)
    observation, action = jax.jit(seen, static_argnums=0)(env, params)
    assert action.min() >= 0
    assert action.max() < env.action_space.n
    space = env.observation_space
    if isinstance(space, Box):
        assert space.contains(observation)
        return
    assert space.keys() == {field.name for field in dataclasses.fields(observation)}
    for field, box in space.items():
        assert box.contains(getattr(observation, field)), field


def test_what_is_outside_its_bounds_or_of_another_shape_is_not_in_a_space():
    space = Environment(10, 4, observation="bitmap", history=1).observation_space
    zeros = np.zeros(12, np.float32)
    assert space.contains(zeros)
    assert space.contains(np.zeros((3, 12), np.float32))
    assert not space.contains(zeros - 0.1)
    assert not space.contains(zeros + 1.1)
    assert not space.contains(zeros[1:])
    assert not space.contains(zeros.astype(np.float64))


def test_ranges_are_those_of_the_table_up_to_256_cells_and_wider_above():
    assert ranges(256, 512, 8) == RANGES
    wide = ranges(1024, 2048, 16)
    assert wide["length"] == pytest.approx((0.0, 1.2 + 2 / 7))
    assert wide["touched_age"] == pytest.approx((0.0, 1.13 + 2 / 8))
    assert wide["holes"] == (0.0, 32.0)
    assert wide["fitting_holes"] == (0.0, 2.0)
    assert wide["free"] == (0.0, 1.0)


def test_the_docstring_lists_every_column_with_its_range():
    rows = re.findall(r"^ *\| (.*) \| (\S+) \.\. (\S+) \|", Environment.__doc__, re.MULTILINE)
    listed = {}
    for patterns, low, high in rows:
        for pattern in patterns.split(", "):
            found = [name for name in RANGES if fnmatch(name, pattern)]
            assert found, pattern
            listed |= dict.fromkeys(found, (float(low), float(high)))
    assert listed == RANGES
    assert f"float32[A, {len(RANGES)}]" in Environment.__doc__


def test_the_example_of_the_docstring_runs():
    found = doctest.testmod(environment)
    assert found.attempted > 5
    assert found.failed == 0
