"""Rollout policy iteration on branches: every candidate is tried against the same future.

An arena is a pure function of its requests, so each legal placement of a state can be played on
against the *same* later requests with a base policy, and the difference in what fails is the worth
of the placement, free of the luck of the draw. A Q-network learns those differences; acting on it
beats the base, and it becomes the base of the next round. After Tesauro and Galperin 1996, On-line
Policy Improvement using Monte-Carlo Search, with common random numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxmem.arena.arena import Arena
from jaxmem.environment.actions import ends_of
from jaxmem.environment.environment import Environment, Params
from jaxmem.environment.observations import FEATURES, pack, rows
from jaxmem.environment.rewards import REWARDS
from jaxmem.environment.situation import Situation, serve, situation_at
from jaxmem.learning.blocks import Block, Progress, in_blocks
from jaxmem.learning.collect import Arenas, random_legal, start_arenas
from jaxmem.learning.settings import check_numbers, check_shares, check_whole, check_widths
from jaxmem.policies.networks import Scorer, q_values
from jaxmem.policies.scoring import candidate_values

Choose = Callable[[Situation], jax.Array]  # of one situation -> start int32[]


@dataclass(frozen=True)
class BranchingConfig:
    """Settings of the learner."""

    first_states: int = 600_000  # states labelled with best fit as the base
    states: int = 100_000  # states labelled in each later round, with the policy so far as the base
    rounds: int = 3  # later rounds
    arenas: int = 1024  # E, states that are labelled at once
    candidates: int = 8  # C, placements tried in a state, at most
    horizon: int = 30  # H, requests for which a placement is followed
    stride: int = 4  # requests played between two labelled states of an arena
    random_moves: float = 0.15  # share of placements at random on the way
    kept: int = 64  # updates whose labels are learnt from
    passes: float = 8.0  # times that a label is learnt from, about
    minibatch: int = 1024  # placements in a gradient step
    learning_rate: float = 1e-3  # at the start of a round
    final_learning_rate: float = 1e-4  # and at its end
    max_grad_norm: float = 10.0
    averaging: float = 0.999  # of the parameters that play, for a gradient step
    widths: tuple[int, ...] = (64, 64)  # hidden layers of the network

    def __post_init__(self) -> None:
        check_whole(
            self,
            *("first_states", "states", "arenas", "candidates", "horizon", "stride", "kept"),
            "minibatch",
        )
        check_whole(self, "rounds", least=0)
        check_shares(self, "random_moves", "averaging")
        check_numbers(self, "passes", "learning_rate", "final_learning_rate", "max_grad_norm")
        check_widths(self)

    @property
    def first_updates(self) -> int:
        """Updates with best fit as the base."""
        return -(-self.first_states // self.arenas)

    @property
    def round_updates(self) -> int:
        """Updates in each later round."""
        return -(-self.states // self.arenas)

    @property
    def updates(self) -> int:
        """Updates in a run."""
        return self.first_updates + self.rounds * self.round_updates

    @property
    def steps_per_update(self) -> int:
        """Requests answered on the way between two updates; those of branches are not counted."""
        return self.arenas * self.stride

    @property
    def gradient_steps(self) -> int:
        """Gradient steps in an update."""
        return max(1, round(self.passes * 4 * self.arenas / self.minibatch))


@struct.dataclass
class Labels:
    """Placements that were tried, of the latest B updates, M to an update."""

    row: jax.Array  # float32[B, M, F]
    worth: jax.Array  # float32[B, M]  reward until the horizon, less the mean of its state
    count: jax.Array  # int32[B]  placements that there are


class Learner(struct.PyTreeNode):
    """A training run between two updates."""

    parameters: Any  # of the network that plays: an average over the gradient steps
    latest: Any  # of the network that learns
    base: Any  # of the policy that is followed in branches, from the second round on
    optimizer: Any  # state of the optimizer
    labels: Labels
    arenas: Arenas
    key: jax.Array  # typed key
    update: jax.Array  # int32[]  updates done


def make_train(
    config: BranchingConfig, env: Environment
) -> tuple[Callable[[jax.Array, Params], Learner], Block]:
    """The two pure functions of a training run.

    Returns:
        `start(key, params) -> Learner`, and `train(learner, params, updates)` that goes on for
        `updates` (int32[]) updates: `(Learner, Progress)`.
    """
    network = Scorer(config.widths)
    optimizer = optax.chain(optax.clip_by_global_norm(config.max_grad_norm), optax.scale_by_radam())

    def start(key: jax.Array, params: Params) -> Learner:
        by_network, by_arenas, key = jax.random.split(key, 3)
        parameters = network.init(by_network, jnp.zeros((1, len(FEATURES))))
        places = config.arenas * config.candidates
        return Learner(
            parameters=parameters,
            latest=parameters,
            base=parameters,
            optimizer=optimizer.init(parameters),
            labels=Labels(
                row=jnp.zeros((config.kept, places, len(FEATURES))),
                worth=jnp.zeros((config.kept, places)),
                count=jnp.zeros((config.kept,), jnp.int32),
            ),
            arenas=start_arenas(env, params, by_arenas, config.arenas),
            key=key,
            update=jnp.zeros((), jnp.int32),
        )

    def greedy(parameters: Any) -> Choose:
        def choose(situation: Situation) -> jax.Array:
            found = situation.holes(env.holes)
            values = candidate_values(network, parameters, pack(situation, found))
            return ends_of(found).start_of(situation, jnp.argmax(values))

        return choose

    def best_fit(situation: Situation) -> jax.Array:
        return situation.arena.best(situation.size)

    def loss_of(parameters: Any, row: jax.Array, worth: jax.Array) -> jax.Array:
        return jnp.mean(jnp.square(q_values(network, parameters, row) - worth))

    def learn(learner: Learner, key: jax.Array, rate: jax.Array) -> tuple[Learner, jax.Array]:
        labels = learner.labels
        filled = jnp.sum(labels.count > 0)

        def descend(carry, key):
            latest, average, state = carry
            by_update, by_place = jax.random.split(key)
            update = jax.random.randint(by_update, (config.minibatch,), 0, jnp.maximum(filled, 1))
            share = jax.random.uniform(by_place, (config.minibatch,))
            place = jnp.int32(share * labels.count[update])
            loss, gradient = jax.value_and_grad(loss_of)(
                latest, labels.row[update, place], labels.worth[update, place]
            )
            change, state = optimizer.update(gradient, state, latest)
            latest = jax.tree.map(lambda old, by: old - rate * by, latest, change)
            keep = config.averaging
            average = jax.tree.map(lambda old, new: keep * old + (1 - keep) * new, average, latest)
            return (latest, average, state), loss

        (latest, average, state), loss = jax.lax.scan(
            descend,
            (learner.latest, learner.parameters, learner.optimizer),
            jax.random.split(key, config.gradient_steps),
        )
        learner = learner.replace(latest=latest, parameters=average, optimizer=state)
        return learner, jnp.mean(loss)

    def update(learner: Learner, params: Params) -> tuple[Learner, Progress]:
        key, by_labels, by_learning, by_playing = jax.random.split(learner.key, 4)
        number, done = _round(config, learner.update)
        starts = (done == 0) & (number > 0)
        base = jax.tree.map(
            lambda new, old: jnp.where(starts, new, old), learner.parameters, learner.base
        )
        operands = (base, params, learner.arenas, by_labels, by_playing)

        def with_base(chosen: Callable[[Any], Choose]):
            def act(base, params, arenas, by_labels, by_playing):
                choose = chosen(base)
                found = _label(config, env, choose, params, arenas, by_labels)
                return found, _play(config, env, choose, params, arenas, by_playing)

            return act

        (row, worth, count), (arenas, failed, episodes) = jax.lax.cond(
            number == 0, with_base(lambda base: best_fit), with_base(greedy), *operands
        )
        at = learner.update % config.kept
        labels = Labels(
            row=learner.labels.row.at[at].set(row),
            worth=learner.labels.worth.at[at].set(worth),
            count=learner.labels.count.at[at].set(count),
        )
        length = jnp.where(number == 0, config.first_updates, config.round_updates)
        rate = config.final_learning_rate + 0.5 * (
            config.learning_rate - config.final_learning_rate
        ) * (1 + jnp.cos(jnp.pi * done / length))
        learner = learner.replace(
            labels=labels, base=base, arenas=arenas, key=key, update=learner.update + 1
        )
        learner, loss = learn(learner, by_learning, rate)
        return learner, Progress(loss=loss, failed=failed, episodes=episodes)

    return start, in_blocks(update)


def _round(config: BranchingConfig, update: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The number of the round of an update, and the updates done in it: int32[] each."""
    later = update - config.first_updates
    number = jnp.where(later < 0, 0, 1 + later // config.round_updates)
    return number, jnp.where(later < 0, update, later % config.round_updates)


def _label(
    config: BranchingConfig,
    env: Environment,
    choose: Choose,
    params: Params,
    arenas: Arenas,
    key: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """What each placement is worth in the states of E arenas.

    Returns:
        Rows float32[E * C, F], worths float32[E * C], and how many of them there are, int32[].
    """
    count, most = config.arenas, config.candidates
    packed, state = arenas.observation, arenas.state
    starts = cast(jax.Array, state.starts)  # the actions are holes
    legal = 2 * packed.count
    tried = jnp.where(legal >= 2, jnp.minimum(legal, most), 0)
    ends = jnp.cumsum(tried)
    begins = ends - tried
    # Where there are more than can be tried, some of them, at random.
    offset = jax.random.randint(key, (count,), 0, jnp.maximum(legal, 1))

    def branch(number: jax.Array, found: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        place = number * count + jnp.arange(count)
        mine = jnp.minimum(jnp.searchsorted(ends, place, side="right"), count - 1)
        action = (offset[mine] + place - begins[mine]) % jnp.maximum(legal[mine], 1)
        situation = jax.tree.map(lambda leaf: leaf[mine], state.situation)
        reward = jax.vmap(lambda *branch: _follow(config, env, choose, params, *branch))(
            situation, state.sequence[mine], starts[mine, action]
        )
        new = (rows(packed, mine, action), reward, mine)
        return tuple(
            jax.lax.dynamic_update_slice_in_dim(all, part, number * count, axis=0)
            for all, part in zip(found, new, strict=True)
        )

    places = count * most
    nothing = (
        jnp.zeros((places, len(FEATURES))),
        jnp.zeros((places,)),
        jnp.zeros((places,), jnp.int32),
    )
    row, reward, mine = jax.lax.fori_loop(0, (ends[-1] + count - 1) // count, branch, nothing)
    numbers = jnp.arange(most)
    given = reward[jnp.minimum(begins[:, None] + numbers, places - 1)]
    given = jnp.where(numbers < tried[:, None], given, 0.0)
    mean = jnp.sum(given, axis=1) / jnp.maximum(tried, 1)
    return row, reward - mean[mine], ends[-1]


def _follow(
    config: BranchingConfig,
    env: Environment,
    choose: Choose,
    params: Params,
    situation: Situation,
    sequence: jax.Array,
    start: jax.Array,
) -> jax.Array:
    """The reward of a placement and of the H - 1 requests after it: float32[]."""
    requests = params.requests

    def answer(arena: Arena, situation: Situation, start: jax.Array, over: jax.Array):
        full = situation.live_with(start) > params.stop_above * arena.cells
        reward = REWARDS[env.reward](start >= 0, situation.size, arena.cells, full)
        # What an episode that a failure ended would still have asked for has failed too.
        lost = REWARDS[env.reward](jnp.bool_(False), situation.size, arena.cells, jnp.bool_(False))
        asked = arena.now < requests.length
        reward = jnp.where(asked, jnp.where(over, lost, reward), 0.0).astype(jnp.float32)
        over |= (start < 0) & params.stop_at_failure
        time = jnp.minimum(arena.now, requests.length - 1)
        return serve(situation, start, requests.lifetime[sequence, time]), over, reward

    def step(carry, _):
        arena, over, total = carry
        situation = situation_at(arena, requests, sequence)
        arena, over, reward = answer(arena, situation, choose(situation), over)
        return (arena, over, total + reward), None

    begin = answer(situation.arena, situation, start, jnp.bool_(False))
    (_, _, total), _ = jax.lax.scan(step, begin, length=config.horizon - 1)
    return total


def _play(
    config: BranchingConfig,
    env: Environment,
    choose: Choose,
    params: Params,
    arenas: Arenas,
    key: jax.Array,
) -> tuple[Arenas, jax.Array, jax.Array]:
    """The arenas some requests later, the share that failed float32[], and episodes int32[]."""

    def step(arenas: Arenas, key: jax.Array):
        by_move, by_choice = jax.random.split(key)
        state = arenas.state
        at_random = random_legal(
            jax.random.bits(by_move, (config.arenas,), jnp.uint32), arenas.observation
        )
        moves = jax.random.uniform(by_choice, (config.arenas,)) < config.random_moves

        def one(state, action, moves):
            elsewhere = state.starts[jnp.minimum(action, state.starts.shape[0] - 1)]
            return jnp.where(moves, elsewhere, choose(state.situation))

        start = jax.vmap(one)(state, at_random, moves)
        observation, state, _, terminated, truncated, info = jax.vmap(
            env.step_at, in_axes=(0, 0, None)
        )(state, start, params)
        seen = (~info["placed"], terminated | truncated)
        return Arenas(observation, state), seen

    arenas, (failed, over) = jax.lax.scan(step, arenas, jax.random.split(key, config.stride))
    return arenas, jnp.mean(failed), jnp.sum(over)
