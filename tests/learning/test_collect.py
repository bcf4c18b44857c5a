"""Collected steps are what the environment says, and exploration keeps to the legal actions."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import scorer_weights
from repetition import slow

from jaxmem.environment.environment import Environment, State
from jaxmem.environment.observations import candidates
from jaxmem.environment.tasks import params_of
from jaxmem.evaluation.run import run
from jaxmem.learning.collect import Arenas, collect, start_arenas
from jaxmem.policies.learned import learned
from jaxmem.policies.networks import Scorer
from jaxmem.policies.q_functions import AddressQ, CandidateQ
from jaxmem.workloads.registry import Workload
from jaxmem.workloads.requests import requests_of

SEQUENCES, LENGTH, CELLS = 24, 40, 40
HOLES, HIDDEN_SIZES = 3, (8,)
ARENAS = SEQUENCES  # one for each sequence, where a test wants that
ENV = Environment(cells=CELLS, horizon=LENGTH, holes=HOLES, observation="packed", keep_last=False)


def draw(split, key, sequences, length):
    """Enough fails that refusals are among the steps."""
    random = np.random.default_rng(4)
    shape = (sequences, length)
    return requests_of(random.integers(1, 13, shape), random.integers(1, 9, shape))


TASK = Workload(name="made", cells=CELLS, draw=draw, length=LENGTH, warmup=0)
ENDINGS = {"truncated": TASK, "terminated too": replace(TASK, stop_at_failure=True)}


@pytest.fixture(scope="module")
def network():
    return scorer_weights(HIDDEN_SIZES, seed=2)


def params_for(task):
    return params_of(task, "train", 0, SEQUENCES)


_collect = jax.jit(
    lambda network, params, arenas, key, epsilon: collect(
        ENV,
        params,
        CandidateQ(HOLES, HIDDEN_SIZES),
        network,
        arenas,
        key,
        epsilon,
        LENGTH,
        keep_after=True,
    )
)
_values = jax.jit(Scorer(HIDDEN_SIZES).apply)
_candidates = jax.jit(jax.vmap(candidates))
_reset = jax.jit(jax.vmap(ENV.reset_at, in_axes=(0, 0, None)))
_step = jax.jit(jax.vmap(ENV.step, in_axes=(None, 0, 0, None)))


@pytest.fixture(scope="module")
def begin():
    """Arenas that have joined their sequences at different requests."""
    times = np.random.default_rng(1).integers(0, LENGTH, ARENAS)
    return Arenas(*_reset(jnp.arange(ARENAS), jnp.asarray(times), params_for(TASK)))


def legal_values(network, arenas):
    values = np.asarray(_values(network, _candidates(arenas.observation)))
    return np.where(arenas.state.mask, values, -np.inf)


def replay(network, params, arenas, steps):
    """Goes through the steps again, one by one; yields mask, values and the action of each.

    The action is the legal one whose row was kept; everything else that was kept must be what the
    environment gives for it.
    """
    for t in range(LENGTH):
        values, mask = legal_values(network, arenas), np.asarray(arenas.state.mask)
        shown = np.asarray(_candidates(arenas.observation))
        same = np.isclose(shown, np.asarray(steps.row[t])[:, None], atol=1e-6).all(axis=-1)
        action = np.argmax(same & mask, axis=-1)
        assert (same & mask).sum(axis=-1).tolist() == [1] * ARENAS
        np.testing.assert_allclose(steps.value[t], values.max(axis=-1), rtol=1e-5, atol=1e-6)
        key = jax.random.key(0)
        observation, state, *given, info = _step(key, arenas.state, action, params)
        kept = (steps.reward, steps.terminated, steps.truncated)
        for of_all, of_one in zip(kept, given, strict=True):
            np.testing.assert_array_equal(of_all[t], of_one)
        np.testing.assert_array_equal(steps.placed[t], info["placed"])
        yield mask, values, action
        arenas = Arenas(observation, state)


@pytest.mark.parametrize(
    ("ending", "epsilon"),
    [
        ("truncated", 1.0),
        ("terminated too", 0.0),
        *slow(("truncated", 0.0), ("terminated too", 1.0)),
    ],
)
def test_every_step_kept_is_one_of_the_environment(ending, epsilon, network, begin):
    params = params_for(ENDINGS[ending])
    after, steps, last = _collect(network, params, begin, jax.random.key(3), epsilon)
    played = list(replay(network, params, begin, steps))
    values = legal_values(network, after)
    np.testing.assert_allclose(last, values.max(axis=-1), rtol=1e-5, atol=1e-6)
    assert (steps.truncated.any(), steps.terminated.any()) == (
        True,
        ENDINGS[ending].stop_at_failure,
    )
    taken = np.array([values[np.arange(ARENAS), action] for _, values, action in played])
    best = np.array([values.max(axis=-1) for _, values, _ in played])
    if epsilon == 0:
        np.testing.assert_allclose(taken, best, rtol=1e-5, atol=1e-6)
    else:
        assert (taken < best - 1e-6).mean() > 0.2


def test_exploration_takes_every_legal_action_equally_often(network, begin):
    params = params_for(TASK)
    ranks = {}
    for seed in range(6):
        _, steps, _ = _collect(network, params, begin, jax.random.key(seed), 1.0)
        for mask, _, action in replay(network, params, begin, steps):
            for legal, chosen in zip(mask, action, strict=True):
                counts = ranks.setdefault(int(legal.sum()), np.zeros(int(legal.sum())))
                counts[legal[:chosen].sum()] += 1
    assert sorted(ranks) == [1, 2, 4, 6]
    # The 99.9 % points of chi-square with 1, 3 and 5 degrees of freedom.
    for legal, most in {2: 10.8, 4: 16.3, 6: 20.5}.items():
        expected = ranks[legal].sum() / legal
        assert expected > 30
        assert ((ranks[legal] - expected) ** 2 / expected).sum() < most


def test_epsilon_is_the_share_of_steps_that_explore_in_each_arena_by_itself(network, begin):
    params = params_for(TASK)
    _, steps, _ = _collect(network, params, begin, jax.random.key(9), 0.4)
    greedy, chances, all_at_once = 0, [], 0
    for mask, values, action in replay(network, params, begin, steps):
        is_greedy = values[np.arange(ARENAS), action] >= values.max(axis=-1) - 1e-6
        free = mask.sum(axis=-1) > 1
        greedy += (is_greedy & free).sum()
        all_at_once += is_greedy[free].all()
        chances += (0.6 + 0.4 / mask.sum(axis=-1)[free]).tolist()
    spread = 4 * np.sqrt(0.25 * len(chances))
    assert abs(greedy - sum(chances)) < spread
    assert sum(chances) + spread < len(chances)
    assert all_at_once < 4


def test_another_key_explores_otherwise_and_the_same_key_the_same(network, begin):
    params = params_for(TASK)
    one, same, other = (
        _collect(network, params, begin, jax.random.key(key), 1.0)[1].row for key in (5, 5, 6)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_greedy_steps_are_what_the_learned_policy_plays(network):
    """What is trained is what is judged."""
    params = params_for(TASK)
    arenas = Arenas(*_reset(jnp.arange(SEQUENCES), jnp.zeros(SEQUENCES, jnp.int32), params))
    _, steps, _ = _collect(network, params, arenas, jax.random.key(3), 0.0)
    judged = run(learned(network, HOLES, HIDDEN_SIZES), params.requests, TASK).start >= 0
    np.testing.assert_array_equal(steps.placed.T, judged)
    assert steps.truncated[-1].all()
    assert not steps.truncated[:-1].any()


def test_what_is_kept_as_seen_after_a_step_is_what_the_next_one_is_taken_in(network, begin):
    params = params_for(TASK)
    after, steps, _ = _collect(network, params, begin, jax.random.key(3), 1.0)
    seen = jax.tree.map(
        lambda first, later: np.stack([first, *later[:-1]]),
        *jax.device_get((begin.observation, steps.after)),
    )
    assert jax.tree.all(
        jax.tree.map(
            np.array_equal, jax.tree.map(lambda leaf: leaf[-1], steps.after), after.observation
        )
    )
    for t in (0, 1, LENGTH // 2, LENGTH - 1):
        now = jax.tree.map(lambda leaf, t=t: leaf[t], seen)
        shown, row = np.asarray(_candidates(now)), np.asarray(steps.row[t])
        assert np.isclose(shown, row[:, None], atol=1e-6).all(axis=-1).any(axis=-1).all()


def test_exploration_takes_every_legal_address_equally_often():
    legal = np.random.default_rng(0).random((5, 41)) < 0.2
    legal[0] = np.arange(41) == 40  # nothing fits: refuse
    draws = 4000
    drawn = jax.random.bits(jax.random.key(0), (draws * 5,), jnp.uint32)
    q = AddressQ(40, HIDDEN_SIZES)
    seen = q.seen(
        jnp.zeros((draws * 5, 41)), State(None, 0, None, np.tile(legal, (draws, 1)), None)
    )
    counts = np.zeros((5, 41))
    np.add.at(counts, (np.arange(draws * 5) % 5, np.asarray(q.random(drawn, seen))), 1)
    assert not counts[~legal].any()
    for row, expected in zip(counts, draws / legal.sum(axis=1), strict=True):
        taken = row[row > 0]
        # Beyond the 99.9 % point of chi-square with up to 15 degrees of freedom.
        assert ((taken - expected) ** 2 / expected).sum() < 38
    assert ((counts > 0) == legal).all()


def test_arenas_join_different_sequences_at_different_requests():
    class Joined:
        """An environment that tells where an arena joined."""

        def reset_at(self, sequence, time, params):
            return sequence, time

    count = 200
    joined = start_arenas(Joined(), params_for(TASK), jax.random.key(0), count)
    sequence, time = np.asarray(joined.observation), np.asarray(joined.state)
    for drawn, limit in ((sequence, SEQUENCES), (time, LENGTH)):
        assert set(drawn.tolist()) == set(range(limit))
        assert np.bincount(drawn).max() < 4 * count / limit
    assert abs(np.corrcoef(sequence, time)[0, 1]) < 0.3
