"""Rollouts play the references' game, and compile once."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem.benchmark import rollouts
from jaxmem.benchmark.references import build
from jaxmem.benchmark.rollouts import Rollout, Setting, check_settings, requests_for
from jaxmem.benchmark.timing import time_for
from jaxmem.policies import Policy, policy

CELLS, ARENAS = 20, 4
BEST = policy("best")


@pytest.fixture(scope="module")
def bitmap():
    """A rollout with an environment, before its first call but the one that warms it up."""
    return Rollout(BEST, Setting(CELLS, ARENAS, "bitmap"))


def reference(observe):
    requests = requests_for(CELLS, ARENAS)
    rows = (np.asarray(requests.size), np.asarray(requests.lifetime))
    return build("numpy", *rows, CELLS, ARENAS, observe), requests.length


def test_requests_grow_with_the_arena():
    assert jnp.array_equal(requests_for(400, 3).size, 4 * requests_for(100, 3).size)
    assert requests_for(4096, 3).size.shape == (3, 320)


@pytest.mark.parametrize("representation", ["unrolled", "stacked", "table"])
def test_the_arena_alone_fails_the_requests_that_a_reference_fails(representation):
    rollout = Rollout(BEST, Setting(CELLS, ARENAS, "none"), representation)
    numpy, length = reference(observe=False)
    once = numpy.play(length)
    assert once > 0
    assert int(rollout._carry.sum()) == once
    rollout.once()
    assert int(rollout._carry.sum()) == 2 * once
    assert (rollout.representation, rollout.steps) == (representation, ARENAS * length)


def test_the_environment_shows_and_fails_what_a_reference_does(bitmap):
    numpy, length = reference(observe=True)
    observation, state, failed = bitmap._carry
    assert int(failed.sum()) == numpy.play(length)
    # Both have begun anew: the reference with the same sequences, the environment with the next.
    np.testing.assert_array_equal(observation[:, :-1], numpy.observation[:, :-1])
    np.testing.assert_allclose(np.roll(observation[:, -1], 1), numpy.observation[:, -1])
    assert jnp.array_equal(state.sequence, (jnp.arange(ARENAS) + 1) % ARENAS)


def test_a_call_goes_on_where_the_last_one_ended(monkeypatch):
    monkeypatch.setattr(rollouts, "WORK_PER_CALL", CELLS * ARENAS * 24)
    rollout = Rollout(policy("first"), Setting(CELLS, ARENAS, "packed"))
    assert rollout.steps == ARENAS * 24
    assert rollout._carry[1].arena.now.tolist() == [24] * ARENAS
    rollout.once()
    assert rollout._carry[1].arena.now.tolist() == [48] * ARENAS


def test_bytes_are_those_of_what_is_kept_between_two_steps(bitmap):
    leaves = jax.tree.leaves(jax.eval_shape(lambda: bitmap._carry))
    assert (
        bitmap.bytes_per_arena == sum(leaf.size * leaf.dtype.itemsize for leaf in leaves) / ARENAS
    )


def test_no_round_compiles_anything():
    fit = chex.assert_max_traces(BEST.rule, n=1)
    rollout = Rollout(Policy(BEST.parameters, "best", fit), Setting(CELLS, ARENAS, "none"))
    for _ in range(3):
        assert time_for(rollout, 0.001).per_second > 0
    assert rollout.compile_seconds > 0


def test_a_policy_that_looks_at_neighbours_can_be_measured():
    assert Rollout(policy("hint_fit"), Setting(8, 2, "none")).steps == 640


def test_holes_are_measured_with_first_fit_only():
    check_settings(policy("first"), ["none", "bitmap", "candidates", "packed"], "auto")
    with pytest.raises(ValueError, match="packed is measured with policy=first"):
        check_settings(BEST, ["none", "packed"], "auto")


def test_unknown_settings_are_refused():
    with pytest.raises(ValueError, match="'bitmaps'; it must be of none, bitmap"):
        check_settings(BEST, ["bitmaps"], "auto")
    with pytest.raises(ValueError, match="'rolled'; it must be one of auto, unrolled"):
        check_settings(BEST, ["bitmap"], "rolled")
