"""A learner and a task that take no time to compile.

The network of the learner wanders, by its key and its numbers; the task has one word of cells.
"""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem.environment.observations import FEATURES
from jaxmem.learning import learners
from jaxmem.learning.learner import Metrics
from jaxmem.learning.pqn import PQN, PQNState
from jaxmem.policies.networks import Scorer
from jaxmem.settings.learner import EvaluationConfig
from jaxmem.workloads.registry import Workload
from jaxmem.workloads.requests import requests_of

HIDDEN_SIZES = (4,)
UPDATES = 15  # eight blocks, the last one shorter


FEW = EvaluationConfig(training_sequences=16, validation_sequences=8, validations=8)
# The same as overrides of `jaxmem train`.
FEW_SEQUENCES = ("evaluation.training_sequences=16", "evaluation.validation_sequences=8")
SETTINGS = {
    "steps": 64 * UPDATES,
    "arenas": 8,
    "rollout": 8,
    "minibatches": 4,
    "hidden_sizes": HIDDEN_SIZES,
    "evaluation": FEW,
}


def _draw(split, key, sequences, length):
    """More than the arena holds, so that some requests fail."""
    random = np.random.default_rng(np.asarray(jax.random.key_data(key)).tolist())
    shape = (sequences, length)
    return requests_of(random.integers(1, 7, shape), random.integers(2, 14, shape))


TASK = Workload(name="toy", cells=24, draw=_draw, length=31, warmup=0)


class ToyLearner(PQN):
    """In place of PQN, with its settings."""

    def init(self, key, params, base_policy, numbers):
        del base_policy
        by_network, key = jax.random.split(key)
        network = Scorer(self.config.hidden_sizes).init(by_network, jnp.zeros((1, len(FEATURES))))
        arenas = params.requests.size[: self.config.arenas, 0]
        nothing = jnp.zeros((0,))
        return PQNState(network, nothing, arenas, key, numbers, jnp.zeros((), jnp.int32))

    def update(self, state, params):
        key, by_step = jax.random.split(state.key)
        leaves, shape = jax.tree.flatten(state.parameters)
        drawn = [
            jax.random.normal(at, leaf.shape)
            for at, leaf in zip(jax.random.split(by_step, len(leaves)), leaves, strict=True)
        ]
        rate = state.numbers["learning_rate"]
        moved = [leaf + rate * by for leaf, by in zip(leaves, drawn, strict=True)]
        length = params.requests.size.shape[1]
        size = params.requests.size[: self.config.arenas, state.updates % length]
        state = state.replace(
            parameters=jax.tree.unflatten(shape, moved),
            arenas=state.arenas + size,
            key=key,
            updates=state.updates + 1,
        )
        loss = jnp.mean(state.arenas.astype(jnp.float32)) + moved[0].sum()
        return state, Metrics(loss, jnp.float32(0.5), jnp.sum(state.arenas) % 3)


@contextlib.contextmanager
def in_place_of_pqn():
    """Everything that trains by `pqn` trains this learner."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setitem(learners.LEARNERS, "pqn", ToyLearner)
        yield
