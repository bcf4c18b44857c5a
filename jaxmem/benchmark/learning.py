"""The learner and the judge as programs to be timed: steps of a training run, and of a test."""

import functools
import time
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.benchmark.timing import compiled_afresh
from jaxmem.environment.observations import FEATURES
from jaxmem.environment.tasks import params_of
from jaxmem.evaluation.run import run
from jaxmem.learning.config import train_config
from jaxmem.learning.learner import train_block
from jaxmem.learning.settings import numbers_of
from jaxmem.policies import Policy, policy
from jaxmem.policies.learned import learned
from jaxmem.policies.networks import Scorer
from jaxmem.settings.learner import PQNConfig
from jaxmem.workloads.registry import workload

LEARNER = "pqn"
TRAINED_WORKLOAD = "large-short-lived"
HOLES = 8
TEST_SEQUENCES = 256


class Training:
    """One update of the default learner on the default task, at every call."""

    def __init__(self) -> None:
        run_config = train_config(TRAINED_WORKLOAD, LEARNER, holes=HOLES)
        self.config = cast(PQNConfig, run_config.settings)  # LEARNER's
        sequences = run_config.evaluation.training_sequences
        self._params = params_of(run_config.task, "train", 0, sequences)
        learner = run_config.make_learner()
        self.steps = self.config.steps_per_update
        given = (jax.random.key(0), self._params, None, numbers_of(self.config))
        self._learner = jax.block_until_ready(jax.jit(learner.init)(*given))
        train = functools.partial(train_block, learner)
        with compiled_afresh():
            begin = time.perf_counter()
            lowered = jax.jit(train, donate_argnums=0).lower(
                self._learner, self._params, np.int32(1)
            )
            self._train = lowered.compile()
            self.compile_seconds = time.perf_counter() - begin
        self.once()

    def once(self) -> None:
        """Plays and learns for one update."""
        done = self._train(self._learner, self._params, np.int32(1))
        self._learner, _ = jax.block_until_ready(done)


class Evaluation:
    """A policy on all test sequences of the default task, at every call."""

    def __init__(self, player: Policy) -> None:
        self.policy = player
        self._task = workload(TRAINED_WORKLOAD)
        self._requests = self._task.requests("test", 0, TEST_SEQUENCES)
        self.sequences = self._requests.sequences
        self.steps = self.sequences * self._requests.length
        self.once()

    def once(self) -> None:
        """Plays every sequence from its start to its end."""
        run(self.policy, self._requests, self._task)


def evaluated() -> tuple[Policy, ...]:
    """Returns best fit, and the default learner's network before it learns anything."""
    hidden_sizes = PQNConfig().hidden_sizes
    untrained = Scorer(hidden_sizes).init(jax.random.key(0), jnp.zeros((1, len(FEATURES))))
    return policy("best"), learned(untrained, HOLES, hidden_sizes)
