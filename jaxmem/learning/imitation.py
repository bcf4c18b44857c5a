"""Imitation: one network learns to place as several teachers do, each on its own workload.

A teacher says where it would put a block, in the states that its pupil comes to by playing itself:
DAgger, after Ross, Gordon and Bagnell 2011, A Reduction of Imitation Learning and Structured
Prediction to No-Regret Online Learning. An answer is free of the noise of a branch, and costs a
hundredth of one. The pupil's values are log-probabilities: that a placement is worth 1 more says
that its teachers chose it e times as often.
"""

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from jaxmem.environment.environment import Environment, Params
from jaxmem.environment.observations import rows
from jaxmem.environment.tasks import params_of
from jaxmem.learning.collect import Arenas, start_arenas
from jaxmem.learning.descent import descend
from jaxmem.learning.placements import Drawn, Labels, draw, groups_of, no_labels, to_try
from jaxmem.learning.rollouts import Choose, play_on, playing
from jaxmem.policies import Policy
from jaxmem.policies.learned import greedy
from jaxmem.policies.q_functions import CandidateQ
from jaxmem.settings.fields import Count, Positive, Settings, Share, whole
from jaxmem.settings.learner import Widths
from jaxmem.workloads.registry import Workload


@dataclass(frozen=True)
class ImitationConfig(Settings):
    """Settings of the pupil."""

    turns: Count = 150  # in each, every lesson is looked at once
    arenas: Annotated[int, whole(2)] = (
        1024  # E, of each lesson; the teacher plays half of them, the pupil the others
    )
    candidates: Count = 8  # C, placements of a state that the pupil chooses from, at most
    stride: Count = 4  # requests played between two answers about an arena
    random_moves: Share = 0.05  # share of placements at random on the way
    kept: Count = 24  # turns whose answers are learnt from
    passes: Positive = 6.0  # times that an answer is learnt from, about
    minibatch: Count = 2048  # placements in a gradient step
    learning_rate: Positive = 2e-3  # at the start
    final_learning_rate: Positive = 1e-4  # and at the end
    max_grad_norm: Positive = 10.0
    averaging: Share = 0.998  # of the parameters that play, for a gradient step
    holes: Count = 8  # K, that the pupil sees
    widths: Widths = (96, 96)  # hidden layers of its network
    sequences: Count = 2048  # training sequences of each lesson
    capacity: Count = 256  # cells of the largest arena


@dataclass(frozen=True)
class Lesson:
    """Who shows how to place the requests of a workload."""

    workload: Workload  # as the pupil sees it, with its hints
    teacher: Policy  # which draws nothing


@dataclass(frozen=True)
class Progress:
    """Where a pupil stands after a turn."""

    turn: int  # turns done
    loss: float  # minus the mean log-probability of the teachers' choices
    seconds: float  # since the beginning


class Pupil(struct.PyTreeNode):
    """The network between two looks at a lesson."""

    parameters: Any  # of the network that plays: an average over the gradient steps
    latest: Any  # of the network that learns
    optimizer: Any  # state of the optimizer
    labels: Labels  # what was answered: 1 for the teacher's choice, 0 for the others
    looks: jax.Array  # int32[]  at lessons, so far


def imitate(
    lessons: Sequence[Lesson],
    config: ImitationConfig,
    *,
    seed: int = 0,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Any:
    """The parameters of a network that was taught all lessons.

    Args:
        report: is told where the pupil stands after each turn.

    Raises:
        ValueError: there is no lesson, or an arena is larger than the capacity.
    """
    if not lessons:
        raise ValueError("there is no lesson to learn")
    for lesson in lessons:
        if lesson.workload.cells > config.capacity:
            raise ValueError(
                f"{lesson.workload.name} has {lesson.workload.cells} cells; the capacity is "
                f"{config.capacity}"
            )
    begin = time.perf_counter()
    by_network, by_arenas, by_looks, by_learning = jax.random.split(jax.random.key(seed), 4)
    rooms = [
        _enter(lesson, config, jax.random.fold_in(by_arenas, number), seed)
        for number, lesson in enumerate(lessons)
    ]
    start, look, learn = _compiled(config, len(lessons))
    pupil = start(by_network)
    for turn in range(config.turns):
        for number, room in enumerate(rooms):
            at = turn * len(rooms) + number
            pupil, room.arenas = look(
                room.env,
                pupil,
                room.teacher,
                room.params,
                room.arenas,
                jax.random.fold_in(by_looks, at),
            )
        pupil, loss = learn(pupil, jax.random.fold_in(by_learning, turn), np.int32(turn))
        report(Progress(turn + 1, float(loss), time.perf_counter() - begin))
    return jax.device_get(pupil.parameters)


@functools.cache
def _compiled(config: ImitationConfig, lessons: int) -> tuple[Callable[..., Any], ...]:
    """The functions of `make_imitation`, compiled when they are first called."""
    start, look, learn = make_imitation(config, lessons)
    return (
        jax.jit(start),
        jax.jit(look, static_argnames="env", donate_argnums=1),
        jax.jit(learn, donate_argnums=0),
    )


def make_imitation(
    config: ImitationConfig, lessons: int
) -> tuple[Callable[..., Pupil], Callable[..., tuple], Callable[..., tuple]]:
    """The pure functions of which `imitate` is made.

    Returns:
        `start(key) -> Pupil`; `look(env, pupil, teacher, params, arenas, key)`, which asks the
        teacher about each arena and plays on: `(Pupil, Arenas)`; and `learn(pupil, key, turn)`, the
        gradient steps of a turn: `(Pupil, loss float32[])`.
    """
    q = CandidateQ(config.holes, config.widths)
    optimizer = optax.chain(optax.clip_by_global_norm(config.max_grad_norm), optax.scale_by_radam())
    room = lessons * min(config.kept, config.turns)
    places = config.arenas * config.candidates
    # About four placements are tried in a state.
    gradient_steps = max(1, round(config.passes * 4 * config.arenas * lessons / config.minibatch))

    def start(key: jax.Array) -> Pupil:
        parameters = q.init(key)
        return Pupil(
            parameters=parameters,
            latest=parameters,
            optimizer=optimizer.init(parameters),
            labels=no_labels(room, places),
            looks=jnp.int32(0),
        )

    def look(env, pupil: Pupil, teacher: Policy, params: Params, arenas: Arenas, key: jax.Array):
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
                random_moves=config.random_moves,
            )[0]

        parts = (
            played(teacher, slice(half), by_playing[0]),
            played(greedy(q, pupil.parameters), slice(half, None), by_playing[1]),
        )
        pupil = pupil.replace(
            labels=pupil.labels.with_update(pupil.looks % room, *answered), looks=pupil.looks + 1
        )
        return pupil, jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)

    def learn(pupil: Pupil, key: jax.Array, turn: jax.Array):
        fall = config.learning_rate - config.final_learning_rate
        cosine = 1 + jnp.cos(jnp.pi * turn / config.turns)

        def loss_of(parameters: Any, key: jax.Array) -> jax.Array:
            drawn = draw(pupil.labels, key, config.minibatch)
            return surprise(q.value(parameters, drawn.row), drawn)

        (latest, average, state), loss = descend(
            loss_of,
            optimizer,
            (pupil.latest, pupil.parameters, pupil.optimizer),
            jax.random.split(key, gradient_steps),
            rate=config.final_learning_rate + 0.5 * fall * cosine,
            averaging=config.averaging,
        )
        return pupil.replace(latest=latest, parameters=average, optimizer=state), loss

    return start, look, learn


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


def surprise(value: jax.Array, drawn: Drawn) -> jax.Array:
    """Minus the log-probability of the teacher's choice, the mean over the states drawn: float32[].

    A hole that is filled exactly has one start and two candidates: either is right. States whose
    right placement was not drawn say nothing.

    Args:
        value: float32[R, W]  of the placements drawn, logarithms of odds.
    """
    group, places = groups_of(drawn), drawn.worth.size

    def total(column: jax.Array) -> jax.Array:
        return jax.ops.segment_sum(column, group, places)

    value = jnp.where(drawn.exists, value, -jnp.inf).reshape(-1)
    right = drawn.exists.reshape(-1) * drawn.worth.reshape(-1)
    most = jax.ops.segment_max(jax.lax.stop_gradient(value), group, places)
    odds = jnp.exp(value - jnp.where(jnp.isfinite(most), most, 0.0)[group])
    known = total(right) > 0
    share = total(odds * right) / jnp.where(known, total(odds), 1.0)
    lost = -jnp.log(jnp.where(known, jnp.maximum(share, 1e-30), 1.0))
    return jnp.sum(lost) / jnp.maximum(jnp.sum(known), 1)


@dataclass
class _Room:
    """A lesson and its arenas."""

    env: Environment
    params: Params
    teacher: Policy
    arenas: Arenas


_start_arenas = jax.jit(start_arenas, static_argnames=("env", "count"))


def _enter(lesson: Lesson, config: ImitationConfig, key: jax.Array, seed: int) -> _Room:
    task = lesson.workload
    env = Environment(
        cells=config.capacity,
        horizon=task.length,
        observation="packed",
        holes=config.holes,
        keep_last=False,
    )
    params = params_of(task, "train", seed, config.sequences, capacity=config.capacity)
    # Teachers that differ in nothing but their names share a compiled program.
    teacher = lesson.teacher.replace(name="")
    return _Room(env, params, teacher, _start_arenas(env, params, key, config.arenas))
