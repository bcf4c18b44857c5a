"""A learner that takes no time to compile: its network wanders, by its key and its numbers."""

import contextlib

import jax
import jax.numpy as jnp
import pytest

from jaxmem.environment.observations import FEATURES
from jaxmem.learning import learners, members, training
from jaxmem.learning.blocks import Progress, in_blocks
from jaxmem.learning.pqn import Learner, PQNConfig
from jaxmem.policies.networks import Scorer

WIDTHS = (4,)
UPDATES = 37  # twenty blocks, the last one shorter
SETTINGS = {"steps": 64 * UPDATES, "arenas": 8, "rollout": 8, "minibatches": 4, "widths": WIDTHS}


def make_train(config, env):
    def start(key, params, guide, numbers):
        del guide
        by_network, key = jax.random.split(key)
        network = Scorer(config.widths).init(by_network, jnp.zeros((1, len(FEATURES))))
        arenas = params.requests.size[: config.arenas, 0]
        nothing = jnp.zeros((0,))
        return Learner(network, nothing, arenas, key, numbers, jnp.zeros((), jnp.int32))

    def update(learner, params):
        key, by_step = jax.random.split(learner.key)
        leaves, shape = jax.tree.flatten(learner.parameters)
        drawn = [
            jax.random.normal(at, leaf.shape)
            for at, leaf in zip(jax.random.split(by_step, len(leaves)), leaves, strict=True)
        ]
        rate = learner.numbers["learning_rate"]
        moved = [leaf + rate * by for leaf, by in zip(leaves, drawn, strict=True)]
        length = params.requests.size.shape[1]
        size = params.requests.size[: config.arenas, learner.update % length]
        learner = learner.replace(
            parameters=jax.tree.unflatten(shape, moved),
            arenas=learner.arenas + size,
            key=key,
            update=learner.update + 1,
        )
        loss = jnp.mean(learner.arenas.astype(jnp.float32)) + moved[0].sum()
        return learner, Progress(loss, jnp.float32(0.5), jnp.sum(learner.arenas) % 3)

    return start, in_blocks(update)


@contextlib.contextmanager
def in_place_of_pqn():
    """Everything that trains by `pqn` trains this learner, on few sequences."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(members, "TRAINING_SEQUENCES", 16)
        monkeypatch.setattr(training, "VALIDATION_SEQUENCES", 8)
        monkeypatch.setitem(learners.LEARNERS, "pqn", (PQNConfig, make_train))
        yield
