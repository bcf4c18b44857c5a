"""The learners by name, and what is checked before one of them is started."""

import dataclasses
from typing import Any

from jaxmem.environment.environment import Environment
from jaxmem.learning import branching, dqn, pqn
from jaxmem.names import nearest
from jaxmem.policies.q_functions import QFunction, q_function
from jaxmem.workloads.registry import Workload

LEARNERS = {
    "pqn": (pqn.PQNConfig, pqn.make_train),
    "dqn": (dqn.DQNConfig, dqn.make_train),
    "branching": (branching.BranchingConfig, branching.make_train),
}
Config = pqn.PQNConfig | dqn.DQNConfig | branching.BranchingConfig


def check_setting(learner: str, name: str, key: str) -> None:
    """Raises ValueError where the learner has no setting `name`, which a user set as `key`."""
    known = [field.name for field in dataclasses.fields(LEARNERS[learner][0])]
    if name not in known:
        raise ValueError(f"{key}: learner {learner} has no such setting{nearest(name, known)}")


def check_training(
    task: Workload, learner: str, *, seed: int, holes: int, reward: str, **settings: Any
) -> tuple[Environment, Config]:
    """The game and the learner's settings; raises ValueError for what `train` would refuse."""
    if task.fixed:
        raise ValueError(f"workload {task.name} is one fixed sequence: nothing to train on")
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ValueError(f"seed is {seed!r}; it must be a whole number from 0 to 2^32 - 1")
    if str(learner) not in LEARNERS:
        raise ValueError(f"unknown learner {learner!r}{nearest(str(learner), LEARNERS)}")
    known = [field.name for field in dataclasses.fields(LEARNERS[learner][0])]
    for name in settings:
        if name not in known:
            raise ValueError(f"learner {learner} has no setting {name!r}{nearest(name, known)}")
    for name in ("widths", "blind"):
        if isinstance(settings.get(name), list):
            settings[name] = tuple(settings[name])
    config = LEARNERS[learner][0](**settings)
    return environment_of(task, config, holes, reward), config


def environment_of(task: Workload, config: Config, holes: int, reward: str) -> Environment:
    """The game that the network of a learner plays; raises ValueError for what it cannot be."""
    q = q_of(config, task, holes)
    return Environment(
        cells=task.cells,
        horizon=task.length,
        actions=q.actions,
        observation=q.observation,
        holes=holes,
        reward=reward,
        keep_last=False,
    )


def q_of(config: Config, task: Workload, holes: int) -> QFunction:
    """What a run trains."""
    return q_function(config.network, holes, task.cells, config.widths, config.blind)
