"""What a training run depends on, checked when it is made: its existence is the proof."""

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from jaxmem.environment.environment import Environment
from jaxmem.environment.observations import GROUPS
from jaxmem.learning.devices import ALL, check_devices
from jaxmem.learning.learner import Learner, LearnerConfig
from jaxmem.learning.learners import LEARNERS
from jaxmem.policies.q_functions import QFunction, q_function
from jaxmem.settings.fields import Seed, called, check, one_of
from jaxmem.settings.learner import EvaluationConfig, learner_settings
from jaxmem.workloads.registry import Workload, workload_from

# The columns of an observation bring JAX, which settings do without.
Blind = Annotated[
    tuple[Annotated[str, one_of(*GROUPS)], ...], called(f"a list of any of {', '.join(GROUPS)}")
]


@dataclass(frozen=True)
class TrainConfig:
    """A training run: what is played, who learns, how it is judged, and from which seed."""

    task: Workload
    learner: str  # of `LEARNERS`
    settings: LearnerConfig  # of that learner
    seed: int = 0  # of the network, the training and the validation sequences: 0 .. 2^32 - 1
    holes: int = 8  # K, that a scorer chooses from
    reward: str = "failures"
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    devices: int | str = ALL  # that share the arenas; all: as many as can share them evenly

    def __post_init__(self) -> None:
        if self.task.fixed:
            raise ValueError(
                f"workload {self.task.name} is one fixed sequence: nothing to train on"
            )
        check("seed", self.seed, Seed)
        check("environment.reward", self.reward, str)  # it stands in files: functions have no name
        check("network.hidden_feature_groups", self.settings.hidden_feature_groups, Blind)
        _ = self.env, self.device_count  # raise ValueError for what they cannot be

    @functools.cached_property
    def env(self) -> Environment:
        """The environment that the arenas of a run step in."""
        return Environment(
            cells=self.task.cells,
            horizon=self.task.length,
            actions=self.q.actions,
            observation=self.q.observation,
            holes=self.holes,
            reward=self.reward,
            keep_last=False,
        )

    @property
    def q(self) -> QFunction:
        """The Q-function that is learnt."""
        of = self.settings
        return q_function(
            of.network, self.holes, self.task.cells, of.hidden_sizes, of.hidden_feature_groups
        )

    @functools.cached_property
    def device_count(self) -> int:
        """Devices that share the arenas."""
        return check_devices(self.devices, self.settings.arenas_in_play)

    def make_learner(self) -> Learner:
        """Returns the learner with its settings in its environment."""
        return LEARNERS[self.learner](self.settings, self.env)

    def replace(self, changes: Mapping[str, object], seed: int | None = None) -> "TrainConfig":
        """Returns the run with other settings of the learner, as `{"gamma": 0.9}`, or another seed.

        Raises:
            ValueError: the learner has no such setting, or they do not go together.
        """
        settings = learner_settings(self.learner, {**dataclasses.asdict(self.settings), **changes})
        return dataclasses.replace(
            self, settings=settings, seed=self.seed if seed is None else seed
        )


def train_config(
    on: str | Workload,
    learner: str = "branching",
    *,
    seed: int = 0,
    cells: int | None = None,
    options: Mapping[str, object] | None = None,
    holes: int = 8,
    reward: str = "failures",
    evaluation: EvaluationConfig | None = None,
    devices: int | str = ALL,
    **settings: Any,
) -> TrainConfig:
    """Makes the configuration of a run; the arguments are those of `jaxmem.train`.

    Raises:
        ValueError: an unknown name or a value out of range.
    """
    return TrainConfig(
        task=workload_from(on, cells, options or {}),
        learner=learner,
        settings=learner_settings(learner, settings),
        seed=seed,
        holes=holes,
        reward=reward,
        evaluation=evaluation or EvaluationConfig(),
        devices=devices,
    )
