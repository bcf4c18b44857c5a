"""What a placement is worth: each is played on against the same future, as a slow game does it."""

import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle import NOWHERE, SlowArena

from jaxmem.environment.environment import Environment
from jaxmem.environment.observations import candidates
from jaxmem.environment.tasks import params_of
from jaxmem.learning.branching import (
    Branching,
    Labels,
    _round,
    center_by_state,
    choose_arenas,
    draw,
)
from jaxmem.learning.collect import start_arenas
from jaxmem.learning.learner import train_block
from jaxmem.learning.rollouts import label, play_on
from jaxmem.learning.settings import numbers_of
from jaxmem.learning.train import train
from jaxmem.policies import policy
from jaxmem.policies.networks import Scorer
from jaxmem.settings.learner import BranchingConfig
from jaxmem.workloads.registry import Workload
from jaxmem.workloads.requests import requests_of

SEQUENCES, LENGTH, CELLS, HOLES = 6, 30, 24, 3
ARENAS, HORIZON, SEED = 24, 16, 3
LEAF = 2 * HOLES  # placements of a state, at most


def made_requests(split, key, sequences, length):
    """Enough fails that placements differ in worth."""
    random = np.random.default_rng(7)
    shape = (sequences, length)
    return requests_of(random.integers(1, 7, shape), random.integers(2, 14, shape))


TASK = Workload(name="made", cells=CELLS, draw=made_requests, length=LENGTH, warmup=0)
TASKS = {
    "goes on": TASK,
    "ends at a failure": replace(TASK, stop_at_failure=True),
    "ends when full": replace(TASK, stop_above=0.8),
}
ENV = Environment(cells=CELLS, horizon=LENGTH, holes=HOLES, observation="packed", keep_last=False)


def best_fit(situation):
    return situation.arena.best(situation.size)


@functools.partial(jax.jit, static_argnames="steps")
def played(params, arenas, key, steps):
    """Some requests later, as best fit and some random moves answer them."""
    return play_on(ENV, best_fit, params, arenas, key, steps=steps, epsilon=0.15)


@jax.jit
def started(params):
    return start_arenas(ENV, params, jax.random.key(SEED), ARENAS)


def arenas_of(params):
    """Arenas some requests into their sequences."""
    return played(params, started(params), jax.random.key(SEED + 1), 7)[0]


@functools.partial(jax.jit, static_argnames="candidates")
def labelled(params, arenas, key, candidates):
    return label(ENV, best_fit, params, arenas, key, candidates=candidates, horizon=HORIZON)


def labels_of(params, arenas, candidates=LEAF):
    return jax.device_get(labelled(params, arenas, jax.random.key(SEED + 2), candidates))


@jax.jit
@jax.vmap
def memory_of(arena):
    """Free cells, heads and the time of death on every cell."""
    expiry = arena.expiry.at(jnp.arange(CELLS))
    return arena.free.cells(CELLS), arena.heads.cells(CELLS), expiry, arena.now


def slow_copy(free, heads, expiry, now) -> SlowArena:
    """A slow arena with the same blocks, whose clock shows the same time."""
    slow = SlowArena(CELLS)
    slow.now = int(now)
    borders = [*np.flatnonzero(heads | free), CELLS]
    for head in np.flatnonzero(heads):
        end = min(cell for cell in borders if cell > head)
        slow.place(int(head), int(end - head), int(expiry[head]))
    return slow


def advantage(slow: SlowArena, requests, sequence, task, start) -> int:
    """Minus what fails of H requests from now on, with the first of them at `start`."""
    size, lifetime = np.asarray(requests.size[sequence]), np.asarray(requests.lifetime[sequence])
    failed, over = 0, False
    for now in range(slow.now, min(slow.now + HORIZON, LENGTH)):
        start = start if start is not None else slow.start_by("best", int(size[now]))
        failed += over or start == NOWHERE
        over = over or (start == NOWHERE and task.stop_at_failure)
        slow.place(start, int(size[now]), now + int(lifetime[now]))
        if not over and slow.live() > task.stop_above * CELLS:
            break
        slow.tick(now + 1)
        start = None
    return -failed


@pytest.mark.parametrize("ending", TASKS)
def test_a_placement_is_worth_what_a_slow_game_says(ending):
    task = TASKS[ending]
    params = params_of(task, "train", 0, SEQUENCES)
    arenas = arenas_of(params)
    row, found, states, count = labels_of(params, arenas)
    every_row = np.asarray(jax.jit(jax.vmap(candidates))(arenas.observation))
    state, at, differ = arenas.state, 0, 0
    memory = jax.device_get(memory_of(state.arena))
    for index in range(ARENAS):
        legal = 2 * int(arenas.observation.count[index])
        if legal < 2:
            continue
        starts = np.asarray(state.starts[index][:legal])
        sequence = int(state.sequence[index])
        slow = [
            advantage(
                slow_copy(*(column[index] for column in memory)),
                params.requests,
                sequence,
                task,
                int(start),
            )
            for start in starts
        ]
        rows = every_row[index, :legal]
        for mine, value in zip(row[at : at + legal], found[at : at + legal], strict=True):
            (number,) = np.flatnonzero(np.isclose(rows, mine, atol=1e-5).all(axis=1))
            assert value == pytest.approx(slow[number] - np.mean(slow), abs=1e-5)
        assert (states[at : at + legal] == index).all()
        differ += len(set(slow)) > 1
        at += legal
    assert at == count
    assert differ >= 3


def test_where_there_are_more_placements_than_may_be_tried_some_of_them_are():
    params = params_of(TASK, "train", 0, SEQUENCES)
    arenas = arenas_of(params)
    row, found, _, count = labels_of(params, arenas, candidates=3)
    legal = 2 * np.asarray(arenas.observation.count)
    assert legal.max() > 3
    assert count == np.minimum(legal, 3).sum()
    every_row, at = np.asarray(jax.jit(jax.vmap(candidates))(arenas.observation)), 0
    for index, tried in enumerate(np.minimum(legal, 3)):
        mine = row[at : at + tried]
        among = np.isclose(mine[:, None], every_row[index, None, : legal[index]], atol=1e-5)
        among = among.all(axis=-1)
        assert (among.sum(axis=1) == 1).all()
        assert found[at : at + tried].sum() == pytest.approx(0, abs=1e-5)
        at += tried


DRAW = jax.jit(draw, static_argnums=2)


def made_labels(random, updates, places, fullest):
    """Labels of states with 2 to 7 placements each; a row holds its update, place and state."""
    count = random.integers(0, fullest + 1, updates)
    count[0] = fullest
    state = np.sort(random.integers(0, places // 4, (updates, places)), axis=1)
    at = np.broadcast_to(np.arange(places), state.shape)
    row = np.stack([np.broadcast_to(np.arange(updates)[:, None], at.shape), at, state], axis=-1)
    return Labels(
        row=row.astype(np.float32),
        advantage=random.normal(size=state.shape).astype(np.float32),
        state=state,
        count=count,
    )


@pytest.mark.parametrize(
    ("places", "fullest", "minibatch"),
    [(200, 200, 256), (200, 40, 256), (40, 3, 1024), (96, 96, 8)],
)
def test_what_is_drawn_was_labelled(places, fullest, minibatch):
    labels = made_labels(np.random.default_rng(0), 5, places, fullest)
    seen = set()
    for seed in range(30):
        drawn = jax.device_get(DRAW(labels, jax.random.key(seed), minibatch))
        update, place, state = np.moveaxis(drawn.row[drawn.exists].astype(int), -1, 0)
        assert (place < np.asarray(labels.count)[update]).all()
        assert (np.asarray(labels.advantage)[update, place] == drawn.advantage[drawn.exists]).all()
        assert (state == drawn.state[drawn.exists]).all()
        assert minibatch / 2 <= drawn.exists.size <= minibatch
        seen |= set(zip(update, place, strict=True))
    assert len(seen) > 0.2 * np.asarray(labels.count).sum()


def test_an_error_counts_beside_the_others_of_its_state():
    random = np.random.default_rng(1)
    drawn = DRAW(made_labels(random, 4, 90, 70), jax.random.key(0), 512)
    exists = np.asarray(drawn.exists)
    assert 0 < exists.mean() < 1
    error = np.where(exists, random.normal(size=exists.shape), 0.0)
    found = np.asarray(jax.jit(center_by_state)(error.astype(np.float32), drawn))
    for run, (state, mine) in enumerate(zip(np.asarray(drawn.state), exists, strict=True)):
        for at, one in enumerate(state):
            others = error[run][(state == one) & mine]
            expected = error[run, at] - others.mean() if mine[at] else 0.0
            assert found[run, at] == pytest.approx(expected, abs=1e-5)


def where(arenas):
    """The requests that wait: each a sequence and a time."""
    state = arenas.state
    return set(zip(state.sequence.tolist(), state.arena.now.tolist(), strict=True))


def test_of_a_pool_half_of_what_is_labelled_is_the_fullest():
    arenas = arenas_of(params_of(TASK, "train", 0, SEQUENCES))
    few = jax.device_get(jax.jit(choose_arenas, static_argnums=2)(arenas, jax.random.key(0), 4))
    assert few.observation.count.shape == (ARENAS // 4,)
    assert where(few) <= where(arenas)
    free = jax.vmap(lambda arena: arena.free_cells())
    fullest = np.sort(free(arenas.state.arena))[: ARENAS // 8]
    assert np.sort(free(few.state.arena)[: ARENAS // 8]).tolist() == fullest.tolist()
    assert free(few.state.arena).max() > fullest.max()


def test_without_a_pool_every_arena_is_labelled():
    arenas = arenas_of(params_of(TASK, "train", 0, SEQUENCES))
    assert choose_arenas(arenas, jax.random.key(0), 1) is arenas


def test_arenas_go_on_from_one_sequence_to_the_next():
    params = params_of(TASK, "train", 0, SEQUENCES)
    _, failed, episodes = played(params, arenas_of(params), jax.random.key(0), 3 * LENGTH)
    assert episodes == 3 * ARENAS
    assert 0.02 < failed < 0.5


def test_rounds_follow_each_other():
    config = BranchingConfig(states=5 * 64, round_states=2 * 64, rounds=3, arenas=64)
    numbers = [tuple(map(int, _round(config, jnp.int32(at)))) for at in range(config.updates)]
    assert numbers == [
        *((0, at) for at in range(5)),
        *((r, at) for r in (1, 2, 3) for at in (0, 1)),
    ]


def test_a_round_follows_the_policy_so_far_and_the_first_follows_the_guide():
    config = BranchingConfig(
        states=2 * ARENAS,
        round_states=2 * ARENAS,
        rounds=2,
        arenas=ARENAS,
        candidates=LEAF,
        horizon=HORIZON,
        buffer_updates=2,
        minibatch=8,
        hidden_sizes=(8,),
    )
    params = params_of(TASK, "train", 0, SEQUENCES)
    branching = Branching(config, ENV)
    given = (jax.random.key(0), params, policy("best"), numbers_of(config))
    go_on = jax.jit(functools.partial(train_block, branching))
    learner = jax.jit(branching.init)(*given)
    first = learner.parameters
    for at in range(config.updates):
        before = learner
        learner, progress = go_on(learner, params, np.int32(1))
        begins = at in (2, 4)
        expected = before.parameters if begins else before.branch_parameters
        assert jax.tree.all(jax.tree.map(jnp.array_equal, learner.branch_parameters, expected))
        assert np.isfinite(float(progress.loss))
    assert int(learner.updates) == config.updates
    changed = jax.tree.map(lambda new, old: bool((new != old).any()), learner.parameters, first)
    assert all(jax.tree.leaves(changed))
    assert jax.eval_shape(Scorer((8,)).apply, learner.parameters, learner.labels.row).shape == (
        *learner.labels.row.shape[:-1],
    )


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ({"round_states": 0}, "learner.round_states is 0; a whole number of at least 1"),
        ({"oversampling": 0}, "learner.oversampling is 0; a whole number of at least 1"),
        ({"rounds": -1}, "learner.rounds is -1; a whole number of at least 0"),
        ({"horizon": 2.5}, "learner.horizon is 2.5"),
        ({"epsilon": 1.5}, "learner.epsilon is 1.5; a number from 0 to 1"),
        ({"base_policy": "random"}, "learner.base_policy is 'random'; one of strongest, first"),
        ({"margin": -0.1}, "learner.margin is -0.1; a number of at least 0"),
        ({"epochs": 0}, "learner.epochs is 0; a number above 0"),
        ({"learning_rate": float("nan")}, "learner.learning_rate is nan"),
        ({"hidden_sizes": []}, "network.hidden_sizes"),
        ({"gamma": 0.9}, "learner branching has no setting 'gamma'"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_compiled(setting, problem):
    with pytest.raises(ValueError, match=problem):
        train(TASK, "branching", **setting)
