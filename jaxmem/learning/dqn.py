"""Double DQN: Q-learning on steps drawn from a replay buffer, towards a target network.

After Mnih et al. 2015, Human-level control through deep reinforcement learning, and van Hasselt,
Guez and Silver 2016, Deep Reinforcement Learning with Double Q-learning. The buffer is flashbax's
item buffer: an item is one step whole, with the return of its next n steps and what was seen then,
so no step is ever joined to another arena's.
"""

from dataclasses import dataclass
from typing import cast

import flashbax
import jax
import jax.numpy as jnp
import optax
from flashbax.buffers.trajectory_buffer import TrajectoryBuffer, TrajectoryBufferState
from flax import struct

from jaxmem.environment.environment import Environment, Params
from jaxmem.learning.collect import Arenas, Steps, collect, epsilon_at, start_arenas
from jaxmem.learning.learner import Metrics
from jaxmem.learning.replay import items_of
from jaxmem.learning.settings import Numbers
from jaxmem.learning.targets import double_q_targets
from jaxmem.policies import Policy
from jaxmem.policies.networks import Weights
from jaxmem.policies.q_functions import QFunction, q_function
from jaxmem.settings.learner import DQNConfig


class Networks(struct.PyTreeNode):
    """What a gradient step changes."""

    parameters: Weights  # of the network
    target: Weights  # of the network that values what follows
    optimizer: optax.OptState


class DQNState(struct.PyTreeNode):
    """A run between two updates."""

    networks: Networks
    buffer: TrajectoryBufferState  # of `Item`s
    arenas: Arenas
    key: jax.Array  # typed key
    numbers: Numbers
    updates: jax.Array  # int32[]  done

    @property
    def parameters(self) -> Weights:
        """The parameters of the network that plays."""
        return self.networks.parameters


@dataclass(frozen=True)
class DQN:
    """The learner; it improves on no rule."""

    config: DQNConfig
    env: Environment

    @property
    def q(self) -> QFunction:
        """The Q-function that is learnt."""
        config = self.config
        return q_function(
            config.network,
            self.env.holes,
            self.env.cells,
            config.hidden_sizes,
            config.hidden_feature_groups,
        )

    @property
    def buffer(self) -> TrajectoryBuffer:
        """Flashbax's item buffer, of `Item`s."""
        config = self.config
        return flashbax.make_item_buffer(
            config.buffer,
            config.learning_starts,
            config.batch,
            add_sequences=True,
            add_batches=True,
        )

    def init(
        self, key: jax.Array, params: Params, base_policy: Policy | None, numbers: Numbers
    ) -> DQNState:
        """Returns a run with a new network, an empty buffer, and arenas at random places."""
        del base_policy
        by_network, by_arenas, key = jax.random.split(key, 3)
        arenas = start_arenas(self.env, params, by_arenas, self.config.arenas)
        parameters = self.q.init(by_network)
        _, steps, _ = jax.eval_shape(self._play, parameters, params, arenas, key, jnp.float32(1.0))
        item = jax.tree.map(
            lambda leaf: jnp.zeros(leaf.shape[2:], leaf.dtype),
            jax.eval_shape(lambda steps: items_of(steps, 1.0, self.config.n_steps), steps),
        )
        optimizer = self._optimizer(numbers).init(parameters)
        return DQNState(
            networks=Networks(parameters, parameters, optimizer),
            buffer=self.buffer.init(item),
            arenas=arenas,
            key=key,
            numbers=numbers,
            updates=jnp.zeros((), jnp.int32),
        )

    def update(self, state: DQNState, params: Params) -> tuple[DQNState, Metrics]:
        """Plays S steps in every arena, keeps them, then learns from some drawn from the buffer."""
        key, by_collect, by_learning = jax.random.split(state.key, 3)
        numbers, config = state.numbers, self.config
        epsilon = epsilon_at(state.updates, config.updates, numbers, config.decay)
        arenas, steps, _ = self._play(state.parameters, params, state.arenas, by_collect, epsilon)
        items = items_of(steps, numbers["gamma"], config.n_steps)
        buffer = self.buffer.add(state.buffer, items)
        networks, loss = jax.lax.cond(
            self.buffer.can_sample(buffer),
            self._learn,
            lambda networks, *_: (networks, jnp.float32(0.0)),
            state.networks,
            buffer,
            numbers,
            by_learning,
        )
        state = state.replace(
            networks=networks, buffer=buffer, arenas=arenas, key=key, updates=state.updates + 1
        )
        metrics = Metrics(
            loss=loss,
            failed=1.0 - jnp.mean(steps.placed),
            episodes=jnp.sum(steps.terminated | steps.truncated),
        )
        return state, metrics

    def _play(
        self, network: Weights, params: Params, arenas: Arenas, key: jax.Array, epsilon: jax.Array
    ) -> tuple[Arenas, Steps, jax.Array]:
        return collect(
            self.env,
            params,
            self.q,
            network,
            arenas,
            key,
            epsilon,
            self.config.rollout,
            keep_after=True,
        )

    def _optimizer(self, numbers: Numbers) -> optax.GradientTransformation:
        rates = (numbers["learning_rate"], numbers["final_learning_rate"])
        gradient_steps = self.config.updates * self.config.gradient_steps
        return optax.chain(
            optax.clip_by_global_norm(numbers["max_grad_norm"]),
            optax.adam(optax.linear_schedule(*rates, gradient_steps)),
        )

    def _learn(
        self, networks: Networks, buffer: TrajectoryBufferState, numbers: Numbers, key: jax.Array
    ) -> tuple[Networks, jax.Array]:
        optimizer = self._optimizer(numbers)

        def descend(networks: Networks, key: jax.Array) -> tuple[Networks, jax.Array]:
            item = self.buffer.sample(buffer, key).experience
            goal = double_q_targets(
                item.reward,
                item.discount,
                self._values(networks.parameters, item.after),
                self._values(networks.target, item.after),
            )
            loss, gradient = jax.value_and_grad(self._loss)(
                networks.parameters, item.row, goal, item.weight, numbers["huber"]
            )
            change, state = optimizer.update(gradient, networks.optimizer, networks.parameters)
            parameters = optax.apply_updates(networks.parameters, change)
            target = optax.incremental_update(parameters, networks.target, numbers["tau"])
            return networks.replace(parameters=parameters, target=target, optimizer=state), loss

        keys = jax.random.split(key, self.config.gradient_steps)
        networks, loss = jax.lax.scan(descend, networks, keys)
        return networks, jnp.mean(loss)

    def _loss(
        self, network: Weights, row: object, target: jax.Array, weight: jax.Array, huber: jax.Array
    ) -> jax.Array:
        error = optax.huber_loss(self.q.value(network, row), target, delta=cast(float, huber))
        return jnp.sum(error * weight) / jnp.maximum(jnp.sum(weight), 1.0)

    def _values(self, parameters: Weights, seen: object) -> jax.Array:
        return jax.vmap(lambda seen: self.q.values(parameters, seen))(seen)
