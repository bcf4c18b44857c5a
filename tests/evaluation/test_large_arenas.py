"""Arenas of more cells than a bitmap holds: everything scales, and nothing else changes."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import scorer_weights

from jaxmem.arena.arena import NEVER
from jaxmem.environment.environment import Environment
from jaxmem.environment.tasks import params_of
from jaxmem.evaluation.run import measure, run
from jaxmem.policies import Policy, policy
from jaxmem.policies.learned import learned
from jaxmem.rules import FITS
from jaxmem.workloads.peaks import peak_blocks, peak_live
from jaxmem.workloads.registry import Workload
from jaxmem.workloads.requests import requests_of

SCALE = 1_000_003
LENGTH, SEQUENCES = 60, 8
LAYOUT = ((3, 5), (20, 2))


def draw(split, key, sequences, length):
    random = np.random.default_rng(2)
    size = random.integers(1, 12, (SEQUENCES, LENGTH))
    lifetime = np.where(random.random(size.shape) < 0.02, NEVER, random.integers(1, 16, size.shape))
    return requests_of(size, lifetime)


SMALL = Workload(name="made", cells=70, draw=draw, length=LENGTH, warmup=0, layout=LAYOUT)


def large_draw(*arguments):
    small = draw(*arguments)
    return small.replace(size=small.size * SCALE)


LARGE = replace(
    SMALL,
    cells=SMALL.cells * SCALE,
    draw=large_draw,
    layout=tuple((start * SCALE, size * SCALE) for start, size in LAYOUT),
)


def played(player: Policy, task: Workload):
    requests = task.requests("test", 0, SEQUENCES)
    trajectory = run(player, requests, task)
    return trajectory, measure(trajectory, requests, task)


@pytest.mark.parametrize("name", FITS)
def test_a_fit_places_scaled_requests_at_scaled_addresses(name):
    (small, few), (large, many) = (played(policy(name), task) for task in (SMALL, LARGE))
    assert (small.start < 0).any()
    np.testing.assert_array_equal(large.start, np.where(small.start < 0, -1, small.start * SCALE))
    for measured in ("failed_requests", "failed_cells", "external_fragmentation", "utilization"):
        np.testing.assert_allclose(many[measured], few[measured], rtol=1e-5)
    np.testing.assert_array_equal(many["high_water_mark"], few["high_water_mark"] * SCALE)


def test_a_learned_policy_plays_in_large_arenas_without_an_illegal_move():
    network = scorer_weights((8,))
    trajectory, _ = played(learned(network, 4, (8,)), LARGE)
    requests = LARGE.requests("test", 0, SEQUENCES)
    size, lifetime = np.asarray(requests.size), np.asarray(requests.lifetime)
    for sequence, starts in enumerate(np.asarray(trajectory.start, np.int64)):
        live = [(start, start + cells, NEVER) for start, cells in LARGE.layout]
        for time, start in enumerate(starts):
            live = [block for block in live if block[2] > time]
            if start < 0:
                continue
            end = start + int(size[sequence, time])
            assert end <= LARGE.cells
            assert all(end <= low or high <= start for low, high, _ in live)
            live.append((start, end, time + int(lifetime[sequence, time])))


def test_the_environment_plays_large_arenas():
    env = Environment(cells=LARGE.cells, horizon=LENGTH, holes=4)
    params = params_of(LARGE, "train", 0, SEQUENCES)
    observation, state = jax.jit(env.reset_at)(0, 0, params)
    assert observation.shape == env.observation_shape
    step = jax.jit(env.step)
    live = []
    for _ in range(20):
        observation, state, *_, info = step(None, state, jnp.argmax(state.mask), params)
        assert np.isfinite(observation).all()
        live.append(int(info["live"]) / SCALE)
    assert max(live) > 30
    assert all(cells == int(cells) for cells in live)


@pytest.mark.slow
def test_the_same_task_in_every_representation():
    starts = {}
    for representation in ("unrolled", "stacked", "table"):
        env = Environment(cells=SMALL.cells, horizon=LENGTH, holes=4)
        params = params_of(SMALL, "train", 0, SEQUENCES, representation)
        _, state = env.reset_at(jnp.int32(0), jnp.int32(0), params)

        def step(state, _, env=env, params=params):
            _, after, _, _, _, info = env.step(None, state, jnp.argmax(state.mask), params)
            return after, info["start"]

        _, starts[representation] = jax.jit(lambda state: jax.lax.scan(step, state, length=50))(
            state
        )
    np.testing.assert_array_equal(starts["unrolled"], starts["stacked"])
    np.testing.assert_array_equal(starts["unrolled"], starts["table"])
    assert (starts["table"] >= 0).any()


def test_blocks_at_once_are_counted_without_their_sizes():
    size = np.array([[5, 9, 1, 2], [3, 3, 3, 3]])
    lifetime = np.array([[1, 2, NEVER, 1], [4, 3, 2, 1]])
    requests = requests_of(size, lifetime)
    assert peak_blocks(requests) == 4
    assert peak_blocks(requests, ((0, 7), (30, 1))) == 6
    assert peak_live(requests).tolist() == [10, 12]
