"""A student's states, its teachers' answers, and that it comes to place as they do."""

import dataclasses
import functools

import chex
import jax
import numpy as np
import pytest

from jaxmem.environment.environment import Environment
from jaxmem.environment.tasks import params_of
from jaxmem.learning.collect import start_arenas
from jaxmem.learning.imitation import (
    ImitationConfig,
    Task,
    answers,
    imitate,
    negative_log_likelihood,
)
from jaxmem.learning.placements import Drawn, Tried, to_try
from jaxmem.learning.rollouts import play_on, playing
from jaxmem.policies import policy
from jaxmem.policies.learned import learned
from jaxmem.workloads.registry import Workload, workload
from jaxmem.workloads.requests import requests_of

CELLS, LENGTH, HOLES, ARENAS = 24, 30, 3, 40
SMALL = ImitationConfig(
    iterations=30,
    arenas=64,
    buffer_updates=30,
    minibatch=256,
    holes=HOLES,
    hidden_sizes=(32,),
    sequences=16,
    capacity=32,
    ema_decay=0.9,
    learning_rate=1e-2,
    final_learning_rate=1e-3,
)


def draw(split, key, sequences, length):
    random = np.random.default_rng(len(split))
    shape = (sequences, length)
    return requests_of(random.integers(1, 7, shape), random.integers(2, 14, shape))


TASK = Workload(name="made", cells=CELLS, draw=draw, length=LENGTH, warmup=0)
OTHER = dataclasses.replace(TASK, cells=32)
ENV = Environment(cells=CELLS, horizon=LENGTH, holes=HOLES, observation="packed", keep_last=False)


@jax.jit
def some_requests_later(params):
    arenas = start_arenas(ENV, params, jax.random.key(1), ARENAS)
    first = playing(policy("first"))
    return play_on(ENV, first, params, arenas, jax.random.key(2), steps=6, epsilon=0.3)[0]


@functools.cache
def seen(task=TASK):
    """Arenas some requests into their sequences."""
    return some_requests_later(params_of(task, "train", 0, 8))


@pytest.mark.parametrize("most", [1, 2, 3, 6, 9])
def test_the_list_has_the_placements_of_each_state_once(most):
    holes = np.random.default_rng(most).integers(0, 5, 50)
    tried = jax.jit(to_try, static_argnums=1)(holes, most, jax.random.key(0))
    total = int(tried.ends[-1])
    places = np.arange(6 * len(holes))  # as many for all lists
    state, action = (np.asarray(part)[:total] for part in jax.jit(Tried.at)(tried, places))
    expected = np.where(holes > 0, np.minimum(2 * holes, most), 0)
    np.testing.assert_array_equal(np.bincount(state, minlength=50), expected)
    assert (np.diff(state) >= 0).all()
    assert len(set(zip(state, action, strict=True))) == total
    assert (action < 2 * holes[state]).all()


def test_the_teachers_placement_is_the_right_one_and_no_other():
    arenas = seen()
    row, right, state, count = jax.device_get(
        jax.jit(lambda arenas: answers(playing(policy("worst")), arenas, jax.random.key(3), 6))(
            arenas
        )
    )
    starts = jax.device_get(
        jax.jit(jax.vmap(lambda situation: situation.arena.worst(situation.size)))(
            arenas.state.situation
        )
    )
    at = 0
    for index in range(ARENAS):
        legal = 2 * int(arenas.observation.count[index])
        mine = slice(at, at + legal)
        at += legal
        assert (state[mine] == index).all()
        offered = np.asarray(arenas.state.starts[index][:legal])
        assert sorted(right[mine]) == sorted((offered == starts[index]).astype(float))
    assert at == count
    assert 0 < right[:count].sum() < count
    assert row.shape[0] == right.shape[0] == 6 * ARENAS


LOSS = jax.jit(jax.value_and_grad(negative_log_likelihood))


def drawn(seed, runs=5, width=12):
    """Runs of states with some placements, the last ones of each run missing."""
    random = np.random.default_rng(seed)
    state = np.sort(random.integers(0, 5, (runs, width)), axis=1)
    exists = np.arange(width) < random.integers(1, width + 1, (runs, 1))
    right = random.random((runs, width)) < 0.3
    return Drawn(
        row=np.zeros((runs, width, 1), np.float32),
        advantage=right.astype(np.float32),
        state=state,
        exists=exists,
    ), random.normal(0, 3, (runs, width)).astype(np.float32)


@pytest.mark.parametrize("seed", range(5))
def test_surprise_is_that_of_each_state_by_itself(seed):
    given, value = drawn(seed)
    lost = []
    for run_, state in enumerate(np.asarray(given.state)):
        for number in np.unique(state):
            mine = (state == number) & np.asarray(given.exists[run_])
            right = mine & (np.asarray(given.advantage[run_]) > 0)
            if right.any():
                odds = np.exp(value[run_].astype(np.float64))
                lost.append(-np.log(odds[right].sum() / odds[mine].sum()))
    assert len(lost) > 3
    np.testing.assert_allclose(LOSS(value, given)[0], np.mean(lost), rtol=1e-5)


def test_surprise_has_a_finite_gradient_where_nothing_is_right_or_there():
    given, value = drawn(1)
    nothing = dataclasses.replace(given, advantage=np.zeros_like(given.advantage))
    empty = dataclasses.replace(given, exists=np.zeros_like(given.exists))
    far = value * np.float32(1e4)
    for case, values in ((nothing, value), (empty, value), (given, far)):
        chex.assert_tree_all_finite(LOSS(values, case)[1])
    assert float(LOSS(value, nothing)[0]) == 0.0


def test_a_pupil_comes_to_place_as_its_teachers_do_each_on_its_own_workload():
    tasks = [Task(TASK, policy("worst")), Task(OTHER, policy("best"))]
    losses = []
    network = imitate(tasks, SMALL, report=lambda progress: losses.append(progress.loss))
    assert len(losses) == SMALL.iterations
    assert losses[-1] < 0.6 * losses[0]
    student = learned(network, HOLES, SMALL.hidden_sizes)
    for task in tasks:
        situations = seen(task.workload).state.situation
        ours, its = (chosen(player, situations) for player in (student, task.teacher))
        assert (ours == its).mean() >= 0.8
    # The teachers differ, and the student tells their arenas apart.
    assert (its == chosen(tasks[0].teacher, situations)).mean() < 0.75


@jax.jit
def chosen(player, situations):
    return jax.vmap(playing(player))(situations)


@pytest.mark.slow
def test_a_seed_gives_the_same_network_again():
    config = dataclasses.replace(SMALL, iterations=2)
    tasks = [Task(TASK, policy("best"))]
    first, again = imitate(tasks, config, seed=4), imitate(tasks, config, seed=4)
    chex.assert_trees_all_equal(first, again)
    other = imitate(tasks, config, seed=5)
    assert not np.array_equal(*(jax.tree.leaves(network)[0] for network in (first, other)))


def test_bad_lessons_and_settings_are_refused():
    with pytest.raises(ValueError, match="there is no task to learn"):
        imitate([], SMALL)
    with pytest.raises(ValueError, match="comb has 116 cells; the capacity is 32"):
        imitate([Task(workload("comb"), policy("best"))], SMALL)
    with pytest.raises(ValueError, match="iterations is 0"):
        ImitationConfig(iterations=0)
    with pytest.raises(ValueError, match="arenas is 1"):
        ImitationConfig(arenas=1)
    with pytest.raises(ValueError, match="ema_decay is"):
        ImitationConfig(ema_decay=float("nan"))
