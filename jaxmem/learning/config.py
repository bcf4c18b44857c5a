"""What a training run depends on, checked when it is made: its existence is the proof."""

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jaxmem.checks import check_number, check_share, check_whole, is_whole
from jaxmem.environment.environment import Environment
from jaxmem.learning.devices import ALL, check_devices
from jaxmem.learning.learner import Learner, LearnerConfig
from jaxmem.learning.learners import LEARNERS, learner_config
from jaxmem.policies.q_functions import QFunction, q_function
from jaxmem.workloads.registry import Workload, workload_from

ALONE = 1e6  # a margin beyond every advantage: the base policy plays alone


@dataclass(frozen=True)
class EvaluationConfig:
    """What is trained and chosen on; as much as the learner's settings, it decides the result."""

    training_sequences: int = 4096
    tuning_sequences: int = 256  # training sequences that rules and their numbers are chosen on
    validation_sequences: int = 256  # for each point of the learning curve
    validations: int = 20  # points of the learning curve
    # From here on a run is late: its networks are the best, and which of them fails least on so few
    # sequences is partly luck, which the many before should not share in.
    late: float = 0.75
    selection_sequences: int = 1024  # validation sequences for base policy and margin
    margins: tuple[float, ...] = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, ALONE)  # reward

    def __post_init__(self) -> None:
        for name in ("training", "tuning", "validation", "selection"):
            name = f"{name}_sequences"
            check_whole(f"evaluation.{name}", getattr(self, name))
        check_whole("evaluation.validations", self.validations)
        check_share("evaluation.late", self.late)
        if not isinstance(self.margins, tuple) or not self.margins:
            raise ValueError(f"evaluation.margins is {self.margins!r}; a list of numbers")
        for margin in self.margins:
            check_number("evaluation.margins", margin, least=0.0)


def evaluation_config(given: Any) -> EvaluationConfig:
    """Makes the configuration of what a plain mapping says, as it stands in conf/train.yaml.

    Raises:
        ValueError: it is none, or says other things; or a value out of range.
    """
    known = [field.name for field in dataclasses.fields(EvaluationConfig)]
    if not isinstance(given, Mapping) or set(given) != set(known):
        raise ValueError(f"evaluation is {given!r}; it has {', '.join(known)}")
    margins = given["margins"]
    return EvaluationConfig(
        **{**given, "margins": tuple(margins) if isinstance(margins, list) else margins}
    )


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
        if not is_whole(self.seed) or not 0 <= self.seed < 2**32:
            raise ValueError(f"seed is {self.seed!r}; it must be a whole number from 0 to 2^32 - 1")
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
        """What is learnt."""
        of = self.settings
        return q_function(of.network, self.holes, self.task.cells, of.widths, of.blind)

    @functools.cached_property
    def device_count(self) -> int:
        """Devices that share the arenas."""
        return check_devices(self.devices, self.settings.arenas_in_play)

    def make_learner(self) -> Learner:
        """Returns the learner with its settings in its environment."""
        return LEARNERS[self.learner][1](self.settings, self.env)

    def replace(self, **changes: Any) -> "TrainConfig":
        """Returns the run with other settings of the learner, as `gamma=0.9`, or another seed.

        Raises:
            ValueError: the learner has no such setting, or they do not go together.
        """
        seed = changes.pop("seed", self.seed)
        settings = learner_config(self.learner, {**dataclasses.asdict(self.settings), **changes})
        return dataclasses.replace(self, settings=settings, seed=seed)


def train_config(
    on: str | Workload,
    learner: str = "branching",
    *,
    seed: int = 0,
    cells: int | None = None,
    options: dict[str, Any] | None = None,
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
        settings=learner_config(learner, settings),
        seed=seed,
        holes=holes,
        reward=reward,
        evaluation=evaluation or EvaluationConfig(),
        devices=devices,
    )
