"""What can be set of each learner and of its network, and of how a run is judged meanwhile."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from jaxmem.names import nearest
from jaxmem.rules import NAMES
from jaxmem.settings.fields import (
    AtLeast0,
    Count,
    Index,
    Limit,
    OneOf,
    Positive,
    Settings,
    Share,
    Steps,
    called,
    changed,
    hints_of,
    shown,
    some,
    whole,
)

STRONGEST = "strongest"  # of all rules, that which fails least on training sequences
ALONE = 1e6  # a margin beyond every advantage: the base policy plays alone
LAYERS = 64  # of a network: more is a mistake, or an attempt on the memory
MOST = 4096  # likewise: holes, cells, or units of a layer

BaseRule = Annotated[str, OneOf(lambda: (STRONGEST, *(name for name in NAMES if name != "random")))]
Widths = Annotated[
    tuple[Annotated[int, whole(1, MOST)], ...],
    Limit(
        f"a list of whole numbers of at least 1: up to {LAYERS} layers of up to {MOST:,} units",
        lambda hidden_sizes: 0 < len(hidden_sizes) <= LAYERS,
    ),
]
Blind = Annotated[tuple[str, ...], called("a list of groups of features, as [place]")]
SCORER = "scorer"  # a network that reads features of candidates
SCORING = [SCORER]  # all that do, with those that are registered from outside


class LearnerSettings(Settings):
    """What is checked of every learner and its network."""

    SECTION: ClassVar[str] = "learner"
    NETWORK: ClassVar[dict[str, str]] = {  # settings of the network, as a user sets them
        "network": "network.name",
        "hidden_sizes": "network.hidden_sizes",
        "hidden_feature_groups": "network.hidden_feature_groups",
    }
    NETWORKS: ClassVar[tuple[str, ...]] = (SCORER,)  # that the learner can train

    @classmethod
    def key(cls, name: str) -> str:
        """Writes the name of a field as a user sets it."""
        return cls.NETWORK.get(name, super().key(name))

    @property
    def name(self) -> str:
        """The learner that has such settings."""
        return next(name for name, kind in LEARNERS.items() if type(self) is kind)

    def plain(self) -> dict[str, Any]:
        """Writes them as a configuration file has them, with the name of the learner."""
        return {"name": self.name, **super().plain()}

    def check_network(self, network: str, hidden_feature_groups: tuple[str, ...]) -> None:
        """Raises ValueError where the learner cannot train such a network."""
        known = dict.fromkeys((*self.NETWORKS, *SCORING))
        if network not in known:
            allowed = " or ".join(known)
            raise ValueError(f"network.name is {network!r}; this learner trains {allowed}")
        if hidden_feature_groups and network not in SCORING:
            raise ValueError(
                f"network.hidden_feature_groups is {shown(hidden_feature_groups)}; only a scorer "
                f"reads features, of network {network} it must be []"
            )


class StepsSettings(LearnerSettings):
    """What follows from the settings of a learner that learns from the steps of its arenas."""

    steps: int
    arenas: int
    rollout: int

    @property
    def updates(self) -> int:
        """Updates in a run: the steps, rounded up to whole updates."""
        return -(-self.steps // self.steps_per_update)

    @property
    def arenas_in_play(self) -> int:
        """Arenas that devices share."""
        return self.arenas

    @property
    def base_policy(self) -> None:
        """No rule is improved on."""

    @property
    def margin(self) -> float:
        """The advantage that a placement needs over that of no rule."""
        return 0.0

    @property
    def steps_per_update(self) -> int:
        """Environment steps between two updates, over all arenas."""
        return self.arenas * self.rollout


@dataclass(frozen=True)
class PQNConfig(StepsSettings):
    """Settings of PQN; the defaults are the recipe that won."""

    steps: Steps = 6_000_000  # environment steps, over all arenas
    arenas: Count = 128  # E, played side by side
    rollout: Count = 64  # S, steps of each arena between updates
    gamma: Share = 0.99  # discount of a request
    lambda_: Share = 0.9  # weight of longer returns in the target
    epochs: Count = 1  # passes over the steps of an update
    minibatches: Count = 32  # gradient steps in a pass
    learning_rate: Positive = 1e-3
    final_learning_rate: Positive = 5e-5
    max_grad_norm: Positive = 10.0
    final_epsilon: Share = 0.02  # exploration goes from 1 to this
    exploration_fraction: Share = 0.3  # over this share of the steps
    network: str = SCORER
    hidden_sizes: Widths = (64, 64)  # hidden layers of the network
    hidden_feature_groups: Blind = ()  # groups of features that a scorer does not see
    NUMBERS: ClassVar[tuple[str, ...]] = (
        *("gamma", "lambda_", "learning_rate", "final_learning_rate", "max_grad_norm"),
        *("final_epsilon", "exploration_fraction"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_network(self.network, self.hidden_feature_groups)
        if (self.arenas * self.rollout) % self.minibatches:
            raise ValueError(
                f"learner.minibatches is {self.minibatches}; it must divide the "
                f"{self.arenas * self.rollout} steps of an update (arenas x rollout)"
            )


@dataclass(frozen=True)
class DQNConfig(StepsSettings):
    """Settings of double DQN."""

    steps: Steps = 3_000_000  # environment steps, over all arenas
    arenas: Count = 128  # E, played side by side
    rollout: Count = 32  # S, steps of each arena between updates
    gamma: Share = 0.99  # discount of a request
    n_steps: Count = 8  # rewards that are added up before the target network is asked
    buffer: Count = 200_000  # steps that are kept
    learning_starts: Count = 10_000  # steps in the buffer before learning begins
    batch: Count = 256  # B, steps in a gradient step
    gradient_steps: Count = 32  # in an update
    tau: Share = 0.002  # share of the network that enters the target in a gradient step
    huber: Positive = 1.0  # error up to which the loss is quadratic
    learning_rate: Positive = 1e-3
    final_learning_rate: Positive = 5e-5
    max_grad_norm: Positive = 10.0
    final_epsilon: Share = 0.02  # exploration goes from 1 to this
    exploration_fraction: Share = 0.3  # over this share of the steps
    # In a line, or by the same factor at each update.
    decay: Literal["linear", "exponential"] = "linear"
    network: str = SCORER  # scorer: candidates by their features; mlp: addresses by the bitmap
    hidden_sizes: Widths = (64, 64)  # hidden layers of the network
    hidden_feature_groups: Blind = ()  # groups of features that a scorer does not see
    NETWORKS: ClassVar[tuple[str, ...]] = (SCORER, "mlp")
    NUMBERS: ClassVar[tuple[str, ...]] = (
        *("gamma", "tau", "huber", "learning_rate", "final_learning_rate"),
        *("max_grad_norm", "final_epsilon", "exploration_fraction"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_network(self.network, self.hidden_feature_groups)
        for name, value in (
            ("learning_starts", self.learning_starts),
            ("batch", self.batch),
            ("arenas x rollout", self.steps_per_update),
        ):
            if value > self.buffer:
                raise ValueError(
                    f"learner.{name} is {value}; at most the steps that learner.buffer keeps, "
                    f"{self.buffer}"
                )
        if self.tau == 0.0:
            raise ValueError("learner.tau is 0; above 0, or the target would never learn")
        if self.decay == "exponential" and self.final_epsilon == 0.0:
            raise ValueError("learner.final_epsilon is 0; an exponential decay needs one above 0")


@dataclass(frozen=True)
class BranchingConfig(LearnerSettings):
    """Settings of rollout policy iteration."""

    base_policy: BaseRule = STRONGEST  # the rule that is improved on; strongest: in training
    margin: AtLeast0 = 0.01  # advantage over the base policy's placement, in reward
    states: Steps = 2_400_000  # states labelled with the base policy in the branches
    round_states: Steps = 100_000  # and in each later round, with the policy so far as the base
    rounds: Index = 0  # later rounds
    arenas: Count = 1024  # E, states that are labelled at once
    # Arenas in play for each that is labelled; above 1, half are the fullest.
    oversampling: Count = 1
    candidates: Count = 8  # C, placements tried in a state, at most
    horizon: Count = 40  # H, requests for which a placement is followed
    stride: Count = 4  # requests played between two labelled states of an arena
    epsilon: Share = 0.15  # share of placements at random on the way
    buffer_updates: Count = 256  # updates whose labels are learnt from
    epochs: Positive = 6.0  # times that a label is learnt from, about
    minibatch: Count = 1024  # placements in a gradient step
    learning_rate: Positive = 2e-3  # at the start of a round
    final_learning_rate: Positive = 1e-4  # and at its end
    max_grad_norm: Positive = 10.0
    ema_decay: Share = 0.999  # of the parameters that play, for a gradient step
    network: str = SCORER
    hidden_sizes: Widths = (64, 64)  # hidden layers of the network
    hidden_feature_groups: Blind = ()  # groups of features that a scorer does not see
    NUMBERS: ClassVar[tuple[str, ...]] = (
        *("margin", "epsilon", "learning_rate", "final_learning_rate", "max_grad_norm"),
        "ema_decay",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_network(self.network, self.hidden_feature_groups)

    @property
    def first_updates(self) -> int:
        """Updates with the base policy as the base."""
        return -(-self.states // self.arenas)

    @property
    def round_updates(self) -> int:
        """Updates in each later round."""
        return -(-self.round_states // self.arenas)

    @property
    def updates(self) -> int:
        """Updates in a run."""
        return self.first_updates + self.rounds * self.round_updates

    @property
    def arenas_in_play(self) -> int:
        """Arenas that devices share."""
        return self.arenas * self.oversampling

    @property
    def steps_per_update(self) -> int:
        """Requests answered on the way between two updates; those of branches are not counted."""
        return self.arenas_in_play * self.stride

    @property
    def room(self) -> int:
        """Updates whose labels there is room for: a short run has no more than its own."""
        return min(self.buffer_updates, self.updates)

    @property
    def gradient_steps(self) -> int:
        """Gradient steps in an update."""
        return max(1, round(self.epochs * 4 * self.arenas / self.minibatch))


if TYPE_CHECKING:
    AnyConfig = PQNConfig | DQNConfig | BranchingConfig
else:
    # With those that are registered from outside.
    AnyConfig = Annotated[
        object, Limit("settings of a learner", lambda of: isinstance(of, LearnerSettings))
    ]
LEARNERS: dict[str, type[AnyConfig]] = {
    "pqn": PQNConfig,
    "dqn": DQNConfig,
    "branching": BranchingConfig,
}


def learner_settings(learner: object, given: Mapping[str, object]) -> AnyConfig:
    """Makes the settings of the learner with this name; what is not given is as usual.

    Raises:
        ValueError: an unknown learner or setting, with the nearest names; a value out of range.
    """
    kind = LEARNERS.get(learner) if isinstance(learner, str) else None
    if kind is None:
        raise ValueError(f"unknown learner {learner!r}{nearest(str(learner), LEARNERS)}")
    return kind(**changed(kind(), given, f"learner {learner} has no setting"))


def check_setting(learner: str, name: str, key: str) -> None:
    """Raises ValueError where the learner has no setting `name`, which a user set as `key`."""
    known = hints_of(LEARNERS[learner])
    if name not in known:
        raise ValueError(f"{key}: learner {learner} has no such setting{nearest(name, known)}")


@dataclass(frozen=True)
class EvaluationConfig(Settings):
    """What is trained and chosen on; as much as the learner's settings, it decides the result."""

    SECTION: ClassVar[str] = "evaluation"

    training_sequences: Count = 4096
    tuning_sequences: Count = 256  # training sequences that rules and their numbers are chosen on
    validation_sequences: Count = 256  # for each point of the learning curve
    validations: Count = 20  # points of the learning curve
    # From here on a run is late: its networks are the best, and which of them fails least on so few
    # sequences is partly luck, which the many before should not share in.
    late: Share = 0.75
    selection_sequences: Count = 1024  # validation sequences for base policy and margin
    margins: Annotated[tuple[AtLeast0, ...], some("a list of numbers of at least 0")] = (
        *(0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12),  # in reward
        ALONE,
    )
