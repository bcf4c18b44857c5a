"""Imitation: one network learns to place as several teachers do, each on its own workload.

A teacher says where it would put a block, in the states that the student comes to by its own play:
DAgger, after Ross, Gordon and Bagnell 2011, A Reduction of Imitation Learning and Structured
Prediction to No-Regret Online Learning. An answer is free of the noise of a branch, and costs a
hundredth of one. The student's values are log-probabilities: that a placement is worth 1 more says
that its teachers chose it e times as often.
"""

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jax.stages import Wrapped

from jaxmem.environment.environment import Environment, Params
from jaxmem.environment.observations import rows
from jaxmem.environment.tasks import params_of
from jaxmem.learning.collect import Arenas, start_arenas
from jaxmem.learning.descent import descend
from jaxmem.learning.placements import Drawn, Labels, draw, groups_of, no_labels, to_try
from jaxmem.learning.rollouts import Choose, play_on, playing
from jaxmem.policies import Policy
from jaxmem.policies.learned import greedy
from jaxmem.policies.networks import Weights
from jaxmem.policies.q_functions import CandidateQ
from jaxmem.settings.fields import Count, Positive, Settings, Share, whole
from jaxmem.settings.learner import Widths
from jaxmem.workloads.registry import Workload


@dataclass(frozen=True)
class ImitationConfig(Settings):
    """Settings of the student."""

    iterations: Count = 150  # in each, every task is labelled once
    arenas: Annotated[int, whole(2)] = (
        1024  # E, of each task; the teacher plays half of them, the student the others
    )
    candidates: Count = 8  # C, placements of a state that the student chooses from, at most
    stride: Count = 4  # requests played between two answers about an arena
    epsilon: Share = 0.05  # share of placements at random on the way
    buffer_updates: Count = 24  # iterations whose answers are learnt from
    epochs: Positive = 6.0  # times that an answer is learnt from, about
    minibatch: Count = 2048  # placements in a gradient step
    learning_rate: Positive = 2e-3  # at the start
    final_learning_rate: Positive = 1e-4  # and at the end
    max_grad_norm: Positive = 10.0
    ema_decay: Share = 0.998  # of the parameters that play, for a gradient step
    holes: Count = 8  # K, that the student sees
    hidden_sizes: Widths = (96, 96)  # hidden layers of its network
    sequences: Count = 2048  # training sequences of each task
    capacity: Count = 256  # cells of the largest arena


@dataclass(frozen=True)
class Task:
    """Who shows how to place the requests of a workload."""

    workload: Workload  # as the student sees it, with its hints
    teacher: Policy  # which draws nothing


@dataclass(frozen=True)
class Progress:
    """The state of the training after an iteration."""

    iteration: int  # iterations done
    loss: float  # minus the mean log-probability of the teachers' choices
    seconds: float  # since the beginning


class Student(struct.PyTreeNode):
    """The network that is taught, between two iterations."""

    parameters: Weights  # of the network that plays: an average over the gradient steps
    latest: Weights  # of the network that learns
    optimizer: optax.OptState
    labels: Labels  # what was answered: 1 for the teacher's choice, 0 for the others
    labelled: jax.Array  # int32[]  tasks labelled so far


def imitate(
    tasks: Sequence[Task],
    config: ImitationConfig,
    *,
    seed: int = 0,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Weights:
    """Trains a network on all tasks, and returns its parameters.

    Args:
        report: is told how it goes after each iteration.

    Raises:
        ValueError: there is no task, or an arena is larger than the capacity.
    """
    if not tasks:
        raise ValueError("there is no task to learn")
    for task in tasks:
        if task.workload.cells > config.capacity:
            raise ValueError(
                f"{task.workload.name} has {task.workload.cells} cells; the capacity is "
                f"{config.capacity}"
            )
    begin = time.perf_counter()
    by_network, by_arenas, by_labels, by_learning = jax.random.split(jax.random.key(seed), 4)
    rooms = [
        _enter(task, config, jax.random.fold_in(by_arenas, number), seed)
        for number, task in enumerate(tasks)
    ]
    start, label, learn = _compiled_functions(config, len(tasks))
    student = start(by_network)
    for iteration in range(config.iterations):
        for number, room in enumerate(rooms):
            at = iteration * len(rooms) + number
            student, room.arenas = label(
                room.env,
                student,
                room.teacher,
                room.params,
                room.arenas,
                jax.random.fold_in(by_labels, at),
            )
        student, loss = learn(
            student, jax.random.fold_in(by_learning, iteration), np.int32(iteration)
        )
        report(Progress(iteration + 1, float(loss), time.perf_counter() - begin))
    return jax.device_get(student.parameters)


@functools.cache
def _compiled_functions(config: ImitationConfig, tasks: int) -> tuple[Wrapped, ...]:
    """The functions of `make_imitation`, compiled when they are first called."""
    start, label, learn = make_imitation(config, tasks)
    return (
        jax.jit(start),
        jax.jit(label, static_argnames="env", donate_argnums=1),
        jax.jit(learn, donate_argnums=0),
    )


def make_imitation(
    config: ImitationConfig, tasks: int
) -> tuple[Callable[..., Student], Callable[..., tuple], Callable[..., tuple]]:
    """The pure functions of which `imitate` is made.

    Returns:
        `start(key) -> Student`; `label(env, student, teacher, params, arenas, key)`, which asks the
        teacher about each arena and plays on: `(Student, Arenas)`; and `learn(student, key,
        iteration)`, the gradient steps of an iteration: `(Student, loss float32[])`.
    """
    q = CandidateQ(config.holes, config.hidden_sizes)
    optimizer = optax.chain(optax.clip_by_global_norm(config.max_grad_norm), optax.scale_by_radam())
    room = tasks * min(config.buffer_updates, config.iterations)
    places = config.arenas * config.candidates
    # About four placements are tried in a state.
    gradient_steps = max(1, round(config.epochs * 4 * config.arenas * tasks / config.minibatch))

    def start(key: jax.Array) -> Student:
        parameters = q.init(key)
        return Student(
            parameters=parameters,
            latest=parameters,
            optimizer=optimizer.init(parameters),
            labels=no_labels(room, places),
            labelled=jnp.int32(0),
        )

    def label(
        env, student: Student, teacher: Policy, params: Params, arenas: Arenas, key: jax.Array
    ):
        by_choice, *by_playing = jax.random.split(key, 3)
        answered = answers(playing(teacher), arenas, by_choice, config.candidates)
        half = config.arenas // 2

        def played(player: Policy, which: slice, key: jax.Array) -> Arenas:
            return play_on(
                env,
                playing(player),
                params,
                jax.tree.map(lambda leaf: leaf[which], arenas),
                key,
                steps=config.stride,
                epsilon=config.epsilon,
            )[0]

        parts = (
            played(teacher, slice(half), by_playing[0]),
            played(greedy(q, student.parameters), slice(half, None), by_playing[1]),
        )
        student = student.replace(
            labels=student.labels.with_update(student.labelled % room, *answered),
            labelled=student.labelled + 1,
        )
        return student, jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)

    def learn(student: Student, key: jax.Array, iteration: jax.Array):
        fall = config.learning_rate - config.final_learning_rate
        cosine = 1 + jnp.cos(jnp.pi * iteration / config.iterations)

        def loss_of(parameters: Weights, key: jax.Array) -> jax.Array:
            drawn = draw(student.labels, key, config.minibatch)
            return negative_log_likelihood(q.value(parameters, drawn.row), drawn)

        (latest, average, state), loss = descend(
            loss_of,
            optimizer,
            (student.latest, student.parameters, student.optimizer),
            jax.random.split(key, gradient_steps),
            rate=config.final_learning_rate + 0.5 * fall * cosine,
            ema_decay=config.ema_decay,
        )
        return student.replace(latest=latest, parameters=average, optimizer=state), loss

    return start, label, learn


def answers(
    choose: Choose, arenas: Arenas, key: jax.Array, candidates: int
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """The placements of E arenas, and which of them a teacher chooses.

    Args:
        candidates: C, placements of a state, at most.

    Returns:
        Rows float32[E * C, F], 1.0 for its choice and 0.0 for the others float32[E * C], the
        numbers of their states int32[E * C], ascending, and how many there are, int32[].
    """
    packed, state = arenas.observation, arenas.state
    starts = cast(jax.Array, state.starts)  # the actions are holes
    tried = to_try(packed.count, candidates, key)
    mine, action = tried.at(jnp.arange(packed.count.shape[0] * candidates))
    chosen = jax.vmap(choose)(state.situation)
    right = (starts[mine, action] == chosen[mine]).astype(jnp.float32)
    return rows(packed, mine, action), right, mine, tried.ends[-1]


def negative_log_likelihood(value: jax.Array, drawn: Drawn) -> jax.Array:
    """Minus the log-probability of the teacher's choice, the mean over the states drawn: float32[].

    A hole that is filled exactly has one start and two candidates: either is right. States whose
    right placement was not drawn say nothing.

    Args:
        value: float32[R, W]  of the placements drawn, logarithms of odds.
    """
    group, places = groups_of(drawn), drawn.advantage.size

    def total(column: jax.Array) -> jax.Array:
        return jax.ops.segment_sum(column, group, places)

    value = jnp.where(drawn.exists, value, -jnp.inf).reshape(-1)
    right = drawn.exists.reshape(-1) * drawn.advantage.reshape(-1)
    most = jax.ops.segment_max(jax.lax.stop_gradient(value), group, places)
    odds = jnp.exp(value - jnp.where(jnp.isfinite(most), most, 0.0)[group])
    known = total(right) > 0
    share = total(odds * right) / jnp.where(known, total(odds), 1.0)
    lost = -jnp.log(jnp.where(known, jnp.maximum(share, 1e-30), 1.0))
    return jnp.sum(lost) / jnp.maximum(jnp.sum(known), 1)


@dataclass
class _Room:
    """A task and its arenas."""

    env: Environment
    params: Params
    teacher: Policy
    arenas: Arenas


_start_arenas = jax.jit(start_arenas, static_argnames=("env", "count"))


def _enter(task: Task, config: ImitationConfig, key: jax.Array, seed: int) -> _Room:
    workload = task.workload
    env = Environment(
        cells=config.capacity,
        horizon=workload.length,
        observation="packed",
        holes=config.holes,
        keep_last=False,
    )
    params = params_of(workload, "train", seed, config.sequences, capacity=config.capacity)
    # Teachers that differ in nothing but their names share a compiled program.
    teacher = task.teacher.replace(name="")
    return _Room(env, params, teacher, _start_arenas(env, params, key, config.arenas))
