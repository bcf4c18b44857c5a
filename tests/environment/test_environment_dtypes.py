"""What a program sees of dtypes: fixed, the same after every step, and the same with 64-bit JAX."""

import functools
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem.arena import measures
from jaxmem.arena.making import REPRESENTATIONS, new_arena
from jaxmem.environment.actions import ACTION_SPACES
from jaxmem.environment.ending import Ending
from jaxmem.environment.environment import OBSERVATIONS, Environment, Params
from jaxmem.environment.rewards import REWARDS
from jaxmem.workloads.requests import requests_of

CELLS, HORIZON = 20, 6
COMBINATIONS = [
    combination
    for combination in itertools.product(ACTION_SPACES, OBSERVATIONS, REWARDS)
    if combination[1] == "bitmap" or combination[0] == "holes"
]
ALLOWED = {"bool", "int32", "uint32", "float32"}


@functools.cache
def abstract_game(actions: str, observation: str, reward: str):
    """Shapes and dtypes, without compiling: (observation, state) of a reset, all of a step."""
    env = Environment(CELLS, HORIZON, actions, observation, reward, holes=2)
    params = Params(
        requests=requests_of(np.ones((2, HORIZON)), np.ones((2, HORIZON))),
        initial=new_arena(CELLS, CELLS, HORIZON),
        ending=Ending(jnp.asarray(False), jnp.float32(0.8)),
    )
    key = jax.random.key(0)
    first, state = jax.eval_shape(env.reset, key, params)
    return (first, state), jax.eval_shape(env.step, key, state, jnp.int32(0), params)


def arena_answers(representation: str):
    """An arena a request later, and what it answers, abstractly."""
    rules = ("first", "last", "second", "best", "worst", "next", "start_count")
    quantities = ("free_cells", "live_blocks", "hole_count", "largest_hole", "hole_histogram")

    def answers(arena, size):
        return (
            arena.place(arena.first(size), size, arena.now + 2).tick(arena.now + 1),
            arena.release(arena.cursor),
            [getattr(arena, rule)(size) for rule in rules],
            [getattr(arena, quantity)() for quantity in quantities],
            [measures.live_cells(arena), measures.external_fragmentation(arena)],
            measures.unusable_free(arena, size),
            arena.high_end(arena.cursor, size),
            arena.numbered_start(size, arena.now),
            arena.legal_starts(size, CELLS),
            arena.taken(CELLS),
            arena.holes_that_fit(size, 3),
            arena.parts(jnp.arange(3, dtype=jnp.int32)),
        )

    arena = new_arena(CELLS, CELLS, HORIZON, representation, blocks=4)
    return jax.eval_shape(answers, arena, jnp.int32(3))


def dtypes_of(tree) -> list[str]:
    return [str(leaf.dtype) for leaf in jax.tree.leaves(tree)]


def report() -> dict[str, list[str]]:
    """The dtype of everything; of the rewards, which nothing else depends on, each one once."""
    games = [names for names in COMBINATIONS if names[2] == "failures" or names[0] == "fit"]
    found = {"-".join(names): dtypes_of(abstract_game(*names)) for names in games}
    return found | {name: dtypes_of(arena_answers(name)) for name in REPRESENTATIONS}


@pytest.mark.parametrize("combination", COMBINATIONS, ids="-".join)
def test_a_step_gives_back_a_state_of_the_kind_that_it_took(combination):
    (first, state), (observation, after, *_) = abstract_game(*combination)

    def kinds(tree):
        return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype, leaf.weak_type), tree)

    assert kinds(after) == kinds(state)
    assert kinds(observation) == kinds(first)


@pytest.mark.parametrize("combination", COMBINATIONS, ids="-".join)
def test_info_is_scalars(combination):
    _, (*_, info) = abstract_game(*combination)
    assert info
    assert {leaf.shape for leaf in info.values()} == {()}


def test_only_32_bit_numbers_are_seen():
    assert {dtype for dtypes in report().values() for dtype in dtypes} <= ALLOWED


def test_dtypes_stay_the_same_with_64_bit_jax():
    root = Path(__file__).parents[2]
    paths = [str(root), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"JAX_ENABLE_X64": "1", "PYTHONPATH": os.pathsep.join(paths)}
    child = subprocess.run(
        [sys.executable, __file__], env=environment, capture_output=True, text=True, check=False
    )
    assert child.returncode == 0, child.stderr
    assert json.loads(child.stdout) == report() | {"x64": True}


if __name__ == "__main__":
    print(json.dumps(report() | {"x64": bool(jax.config.jax_enable_x64)}))
