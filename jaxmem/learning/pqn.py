"""PQN: Q-learning on fresh steps of many arenas, without a replay buffer or a target network.

After Gallici et al. 2024, Simplifying Deep Temporal Difference Learning (arXiv 2407.04811): the
normalised network keeps the bootstrap stable, and the number of arenas stands in for the buffer.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxmem.environment.environment import Environment, Params
from jaxmem.learning.collect import Arenas, Steps, collect, epsilon_at, start_arenas
from jaxmem.learning.learner import Metrics
from jaxmem.learning.settings import Numbers
from jaxmem.learning.targets import lambda_targets
from jaxmem.policies import Policy
from jaxmem.policies.networks import Weights
from jaxmem.policies.q_functions import CandidateQ
from jaxmem.settings.learner import PQNConfig


class PQNState(struct.PyTreeNode):
    """A run between two updates."""

    parameters: Weights  # of the network
    optimizer: optax.OptState
    arenas: Arenas
    key: jax.Array  # typed key
    numbers: Numbers
    updates: jax.Array  # int32[]  done


@dataclass(frozen=True)
class PQN:
    """The learner; it improves on no rule."""

    config: PQNConfig
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
    ) -> PQNState:
        """Returns a run with a new network, in arenas at random places of their sequences."""
        del base_policy
        by_network, by_arenas, key = jax.random.split(key, 3)
        parameters = self.q.init(by_network)
        return PQNState(
            parameters=parameters,
            optimizer=self._optimizer(numbers).init(parameters),
            arenas=start_arenas(self.env, params, by_arenas, self.config.arenas),
            key=key,
            numbers=numbers,
            updates=jnp.zeros((), jnp.int32),
        )

    def update(self, state: PQNState, params: Params) -> tuple[PQNState, Metrics]:
        """Plays S steps in every arena, then learns from them for a few epochs."""
        key, by_collect, by_epochs = jax.random.split(state.key, 3)
        arenas, steps, last = collect(
            self.env,
            params,
            self.q,
            state.parameters,
            state.arenas,
            by_collect,
            epsilon_at(state.updates, self.config.updates, state.numbers),
            self.config.rollout,
        )
        samples = _samples(steps, last, state.numbers)
        optimizer = self._optimizer(state.numbers)
        (parameters, optimizer_state), loss = jax.lax.scan(
            lambda carry, key: self._epoch(carry, key, samples, optimizer),
            (state.parameters, state.optimizer),
            jax.random.split(by_epochs, self.config.epochs),
        )
        metrics = Metrics(
            loss=jnp.mean(loss),
            failed=1.0 - jnp.mean(steps.placed),
            episodes=jnp.sum(steps.terminated | steps.truncated),
        )
        state = state.replace(
            parameters=parameters,
            optimizer=optimizer_state,
            arenas=arenas,
            key=key,
            updates=state.updates + 1,
        )
        return state, metrics

    def _optimizer(self, numbers: Numbers) -> optax.GradientTransformation:
        rates = (numbers["learning_rate"], numbers["final_learning_rate"])
        gradient_steps = self.config.updates * self.config.epochs * self.config.minibatches
        return optax.chain(
            optax.clip_by_global_norm(numbers["max_grad_norm"]),
            optax.radam(optax.linear_schedule(*rates, gradient_steps)),
        )

    def _epoch(self, carry, key, samples, optimizer):
        def descend(carry, batch):
            parameters, state = carry
            loss, gradient = jax.value_and_grad(self._loss)(parameters, *batch)
            change, state = optimizer.update(gradient, state, parameters)
            return (optax.apply_updates(parameters, change), state), loss

        # Shuffling the requests is enough: the arenas are at unrelated places of their sequences,
        # so a request of all of them is a mixed batch. Shuffling single steps, which sorts all of
        # them and moves them one by one, took as long as learning from them.
        order = jax.random.permutation(key, self.config.rollout)
        batches = jax.tree.map(
            lambda x: x[order].reshape((self.config.minibatches, -1, *x.shape[2:])), samples
        )
        return jax.lax.scan(descend, carry, batches)

    def _loss(self, network: Weights, row: jax.Array, target: jax.Array, weight: jax.Array):
        error = jnp.square(self.q.value(network, row) - target)
        return jnp.sum(error * weight) / jnp.maximum(jnp.sum(weight), 1.0)


def _samples(steps: Steps, last: jax.Array, numbers: Numbers) -> tuple[jax.Array, ...]:
    """Rows float32[S, E, F], targets float32[S, E], and weights: 0 where nothing is learnt."""
    target = lambda_targets(
        steps.reward,
        steps.value,
        steps.terminated,
        steps.truncated,
        last,
        numbers["gamma"],
        numbers["lambda_"],
    )
    weight = (~steps.truncated | steps.terminated).astype(jnp.float32)
    return steps.row, target, weight
