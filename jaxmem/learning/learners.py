"""The learners by name."""

import dataclasses
from typing import Any

from jaxmem.learning.branching import Branching, BranchingConfig
from jaxmem.learning.dqn import DQN, DQNConfig
from jaxmem.learning.learner import Learner, LearnerConfig
from jaxmem.learning.pqn import PQN, PQNConfig
from jaxmem.names import nearest

LEARNERS: dict[str, tuple[type[Any], type[Learner]]] = {
    "pqn": (PQNConfig, PQN),
    "dqn": (DQNConfig, DQN),
    "branching": (BranchingConfig, Branching),
}


def learner_config(learner: str, settings: dict[str, Any]) -> LearnerConfig:
    """Makes the settings of a learner; lists, as configurations have them, become tuples.

    Raises:
        ValueError: an unknown learner or setting, with the nearest names; a value out of range.
    """
    if str(learner) not in LEARNERS:
        raise ValueError(f"unknown learner {learner!r}{nearest(str(learner), LEARNERS)}")
    known = settings_of(learner)
    for name in settings:
        if name not in known:
            raise ValueError(f"learner {learner} has no setting {name!r}{nearest(name, known)}")
    given = {
        name: tuple(value) if isinstance(value, list) and name in ("widths", "blind") else value
        for name, value in settings.items()
    }
    return LEARNERS[learner][0](**given)


def settings_of(learner: str) -> list[str]:
    """Returns the names of a learner's settings."""
    return [field.name for field in dataclasses.fields(LEARNERS[learner][0])]


def check_setting(learner: str, name: str, key: str) -> None:
    """Raises ValueError where the learner has no setting `name`, which a user set as `key`."""
    known = settings_of(learner)
    if name not in known:
        raise ValueError(f"{key}: learner {learner} has no such setting{nearest(name, known)}")
