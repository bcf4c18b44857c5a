"""Rollout policy iteration on branches: every candidate is tried against the same future.

An arena is a pure function of its requests, so each legal placement of a state can be played on
against the *same* later requests with a base policy, and the difference in what fails is the
advantage of the placement, free of the luck of the draw. A Q-network learns those differences, and
nothing but them: what a state is worth as a whole would only be noise. The base policy is a rule:
what is learnt is when to leave it, and where no advantage is above a margin, it is followed. The
states are those that the policy comes to by its own play, as in DAgger (Ross, Gordon and Bagnell
2011, A Reduction of Imitation Learning and Structured Prediction to No-Regret Online Learning), and
it can take the place of the rule in the branches of further rounds. After Tesauro and Galperin
1996, On-line Policy Improvement using Monte-Carlo Search, with common random numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxmem.environment.environment import Environment, Params
from jaxmem.learning.collect import Arenas, start_arenas
from jaxmem.learning.descent import descend
from jaxmem.learning.learner import Metrics
from jaxmem.learning.placements import Labels, center_by_state, draw, no_labels
from jaxmem.learning.rollouts import Choose, label, play_on, playing
from jaxmem.learning.settings import Numbers
from jaxmem.policies import Policy
from jaxmem.policies.learned import BaseRule, greedy
from jaxmem.policies.networks import Weights
from jaxmem.policies.q_functions import CandidateQ
from jaxmem.settings.learner import BranchingConfig


def choose_arenas(arenas: Arenas, key: jax.Array, oversampling: int) -> Arenas:
    """Chooses one arena in `oversampling`: half of them are the fullest, the others any.

    Where nothing fails for long, all placements are worth the same: most is learnt where memory is
    short.
    """
    if oversampling == 1:
        return arenas
    count = arenas.state.sequence.shape[0] // oversampling
    free = jax.vmap(lambda arena: arena.free_cells())(arenas.state.arena)
    _, fullest = jax.lax.top_k(-free, count // 2)
    by_place = jax.random.fold_in(key, 0)
    others = jax.random.randint(by_place, (count - count // 2,), 0, count * oversampling)
    chosen = jnp.concatenate([fullest, others])
    return jax.tree.map(lambda leaf: leaf[chosen], arenas)


class BranchingState(struct.PyTreeNode):
    """A run between two updates."""

    parameters: Weights  # of the network that plays: an average over the gradient steps
    latest: Weights  # of the network that learns
    branch_parameters: Weights  # of the policy that plays the branches, from the second round on
    base_policy: Policy  # the rule that is improved on
    optimizer: optax.OptState
    labels: Labels
    arenas: Arenas
    key: jax.Array  # typed key
    numbers: Numbers
    updates: jax.Array  # int32[]  done


@dataclass(frozen=True)
class Branching:
    """The learner, which improves on a rule."""

    config: BranchingConfig
    env: Environment

    @property
    def q(self) -> CandidateQ:
        """The Q-function that is learnt."""
        of = self.config
        return CandidateQ(
            self.env.holes, of.hidden_sizes, of.hidden_feature_groups, scorer=of.network
        )

    def init(
        self, key: jax.Array, params: Params, base_policy: Policy | None, numbers: Numbers
    ) -> BranchingState:
        """Returns a run with a new network, no labels, and arenas at random places."""
        assert base_policy is not None  # the settings always name one
        config = self.config
        by_network, by_arenas, key = jax.random.split(key, 3)
        parameters = self.q.init(by_network)
        return BranchingState(
            parameters=parameters,
            latest=parameters,
            branch_parameters=parameters,
            base_policy=base_policy,
            optimizer=_optimizer(numbers).init(parameters),
            labels=no_labels(config.room, config.arenas * config.candidates),
            arenas=start_arenas(self.env, params, by_arenas, config.arenas_in_play),
            key=key,
            numbers=numbers,
            updates=jnp.zeros((), jnp.int32),
        )

    def update(self, state: BranchingState, params: Params) -> tuple[BranchingState, Metrics]:
        """Labels a state of every arena, plays on, then learns from the labels kept."""
        key, by_labels, by_learning, by_playing = jax.random.split(state.key, 4)
        config, numbers = self.config, state.numbers
        number, done = _round(config, state.updates)
        starts = (done == 0) & (number > 0)
        branch_parameters = jax.tree.map(
            lambda new, old: jnp.where(starts, new, old), state.parameters, state.branch_parameters
        )
        shown_arenas = choose_arenas(state.arenas, by_labels, config.oversampling)
        in_branches = [lambda _, rule, margin: playing(rule), self._with_base_policy]
        if not config.rounds:  # what plays on in later rounds is not compiled
            in_branches.pop()
        row, advantage, labelled, count = jax.lax.switch(
            jnp.minimum(number, len(in_branches) - 1),
            [self._label_with(chosen) for chosen in in_branches],
            branch_parameters,
            state.base_policy,
            numbers["margin"],
            params,
            shown_arenas,
            by_labels,
        )
        # Advantages are asked for where the policy that learns them will have to place.
        arenas, failed, episodes = play_on(
            self.env,
            self._with_base_policy(state.parameters, state.base_policy, numbers["margin"]),
            params,
            state.arenas,
            by_playing,
            steps=config.stride,
            epsilon=numbers["epsilon"],
        )
        at = state.updates % config.room
        labels = state.labels.with_update(at, row, advantage, labelled, count)
        length = jnp.where(number == 0, config.first_updates, config.round_updates)
        fall = numbers["learning_rate"] - numbers["final_learning_rate"]
        rate = numbers["final_learning_rate"] + 0.5 * fall * (1 + jnp.cos(jnp.pi * done / length))
        state = state.replace(
            labels=labels,
            branch_parameters=branch_parameters,
            arenas=arenas,
            key=key,
            updates=state.updates + 1,
        )
        state, loss = self._learn(state, by_learning, rate)
        return state, Metrics(loss=loss, failed=failed, episodes=episodes)

    def _with_base_policy(self, network: Weights, rule: Policy, margin: jax.Array) -> Choose:
        return playing(greedy(self.q, network, base_policy=BaseRule(rule, margin)))

    def _label_with(
        self, chosen: Callable[[Weights, Policy, jax.Array], Choose]
    ) -> Callable[..., tuple[jax.Array, ...]]:
        """Labels with the policy that `chosen` makes as the one that plays on in the branches."""

        def labelled(network, rule, margin, params, arenas, key):
            return label(
                self.env,
                chosen(network, rule, margin),
                params,
                arenas,
                key,
                candidates=self.config.candidates,
                horizon=self.config.horizon,
            )

        return labelled

    def _learn(
        self, state: BranchingState, key: jax.Array, rate: jax.Array
    ) -> tuple[BranchingState, jax.Array]:
        def loss_of(parameters: Weights, key: jax.Array) -> jax.Array:
            drawn = draw(state.labels, key, self.config.minibatch)
            error = jnp.where(
                drawn.exists, self.q.value(parameters, drawn.row) - drawn.advantage, 0.0
            )
            return jnp.sum(jnp.square(center_by_state(error, drawn))) / jnp.maximum(
                jnp.sum(drawn.exists), 1
            )

        (latest, average, optimizer), loss = descend(
            loss_of,
            _optimizer(state.numbers),
            (state.latest, state.parameters, state.optimizer),
            jax.random.split(key, self.config.gradient_steps),
            rate=rate,
            ema_decay=state.numbers["ema_decay"],
        )
        return state.replace(latest=latest, parameters=average, optimizer=optimizer), loss


def _optimizer(numbers: Numbers) -> optax.GradientTransformation:
    """Directions only: the length of a step is the rate of its round."""
    return optax.chain(optax.clip_by_global_norm(numbers["max_grad_norm"]), optax.scale_by_radam())


def _round(config: BranchingConfig, update: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The number of the round of an update, and the updates done in it: int32[] each."""
    later = update - config.first_updates
    number = jnp.where(later < 0, 0, 1 + later // config.round_updates)
    return number, jnp.where(later < 0, update, later % config.round_updates)
