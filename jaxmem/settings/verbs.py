"""The whole configuration of each verb: the files in conf/ say the same, with comments."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, Self

from jaxmem.settings.fields import (
    AtLeast0,
    Count,
    Folder,
    Index,
    Limit,
    Names,
    Seed,
    Settings,
    above_0,
    hints_of,
    shown,
    some,
    whole,
)
from jaxmem.settings.learner import (
    SCORING,
    STRONGEST,
    AnyConfig,
    BranchingConfig,
    EvaluationConfig,
    LearnerSettings,
    learner_settings,
)
from jaxmem.settings.workload import WORKLOADS, WorkloadSettings

SLURM = "slurm"
SHOWN = (  # measures
    *("failed_requests", "failed_cells", "external_fragmentation", "holes_per_cell"),
    *("unusable_free", "utilization", "high_water_mark"),
)


def _usual_workload() -> WorkloadSettings:
    return WORKLOADS["large-short-lived"]


@dataclass(frozen=True)
class EnvironmentSettings(Settings):
    """The game that a learner plays; `Environment` says what else it cannot be."""

    SECTION: ClassVar[str] = "environment"

    holes: int = 8  # offered
    reward: str = "failures"


@dataclass(frozen=True)
class HostsSettings(Settings):
    """Processes that train one run together."""

    SECTION: ClassVar[str] = "hosts"

    count: Annotated[int, whole(1, 2**16)] | Literal["slurm"] | None = None
    index: Index | None = None
    address: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.count is None or self.count == SLURM:
            if self.index is not None or self.address is not None:
                raise ValueError(
                    f"hosts.count is {self.count or 'not set'}: hosts.index and hosts.address say "
                    "nothing"
                )
            return
        if self.index is None or self.index >= self.count:
            raise ValueError(
                f"hosts.index is {self.index}; a whole number from 0 to {self.count - 1:,}"
            )
        host, _, port = (self.address or "").rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port[:6]) < 2**16:
            raise ValueError(
                f"hosts.address is {shown(self.address)}; HOST:PORT of the first process"
            )


@dataclass(frozen=True)
class SearchCheckpoint(Settings):
    """How often the state of a search is kept."""

    SECTION: ClassVar[str] = "checkpoint"

    seconds: AtLeast0 = 60  # between two checkpoints; 0: as often as possible

    @property
    def keep(self) -> bool:
        """Tells whether they stay when the run is finished."""
        return False


@dataclass(frozen=True)
class Checkpoint(SearchCheckpoint):
    """How often the state of a run is kept, and for how long."""

    finished: bool = False

    @property
    def keep(self) -> bool:
        """Tells whether they stay when the run is finished."""
        return self.finished


class TrainingSettings(Settings):
    """What trains: in a configuration the learner's network stands apart from it."""

    @classmethod
    def read(cls, given: object) -> Self:
        """Makes them of what a configuration says, which must name each, and no other.

        Raises:
            ValueError: it does not, or a value cannot be; names what is allowed.
        """
        if not isinstance(given, Mapping) or "learner" not in given or "network" not in given:
            return super().read(given)
        learner, network = given["learner"], given["network"]
        for section, of in (("learner", learner), ("network", network)):
            if not isinstance(of, Mapping) or "name" not in of:
                raise ValueError(f"{section} is {shown(of)}; its name, and its settings")
        name, kind = learner["name"], network["name"]
        own = {key: of for key, of in learner.items() if key != "name"}
        of_network = {key: of for key, of in network.items() if key != "name"}
        known = {"hidden_sizes", "hidden_feature_groups"} if kind in SCORING else {"hidden_sizes"}
        if set(of_network) != known:
            raise ValueError(f"network is {shown(network)}; it has name, {', '.join(known)}")
        if hidden := own.keys() & LearnerSettings.NETWORK:
            raise ValueError(f"learner has no setting {min(hidden)!r}; it is one of network")
        settings = learner_settings(name, {**own, "network": kind, **of_network})
        if missing := hints_of(type(settings)).keys() - {*own, *LearnerSettings.NETWORK}:
            raise ValueError(f"learner {name} has no {', '.join(sorted(missing))}")
        rest = {key: of for key, of in given.items() if key != "network"}
        return super().read({**rest, "learner": settings})

    def plain(self) -> dict[str, Any]:
        """Writes them as a configuration file has them: mappings, lists, texts and numbers."""
        found = super().plain()
        learner = found["learner"]
        network = {"name": learner.pop("network"), "hidden_sizes": learner.pop("hidden_sizes")}
        hidden_feature_groups = learner.pop("hidden_feature_groups")
        if network["name"] in SCORING:
            network["hidden_feature_groups"] = hidden_feature_groups
        groups = {name: found[name] for name in ("workload", "environment")}
        return {**groups, "network": network, **found}


@dataclass(frozen=True)
class TrainSettings(TrainingSettings):
    """`jaxmem train`."""

    workload: WorkloadSettings = field(default_factory=_usual_workload)
    environment: EnvironmentSettings = field(default_factory=EnvironmentSettings)
    learner: AnyConfig = field(default_factory=BranchingConfig)  # with its network
    cells: Count | None = None
    seed: Seed = 0
    sequences: Count = 1024
    policies: Names | None = None
    reference: str = STRONGEST
    measures: Names = SHOWN
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    out: Folder = None
    overwrite: bool = False
    seeds: Count | None = None
    grid: Mapping[str, object] = field(default_factory=dict)
    devices: Count | Literal["all"] = "all"
    loggers: Names = ()
    hosts: HostsSettings = field(default_factory=HostsSettings)
    resume: Folder = None
    checkpoint: Checkpoint = field(default_factory=Checkpoint)


@dataclass(frozen=True)
class SearchSettings(TrainingSettings):
    """`jaxmem search`."""

    workload: WorkloadSettings = field(default_factory=_usual_workload)
    environment: EnvironmentSettings = field(default_factory=EnvironmentSettings)
    learner: AnyConfig = field(default_factory=BranchingConfig)  # with its network
    space: Mapping[str, object] = field(default_factory=dict)
    trials: Count = 32
    batch: Count = 8
    seeds: Count = 1
    sampler: Literal["tpe", "random"] = "tpe"
    cells: Count | None = None
    seed: Seed = 0
    sequences: Count = 1024
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    devices: Count | Literal["all"] = "all"
    out: Folder = None
    overwrite: bool = False
    resume: Folder = None
    checkpoint: SearchCheckpoint = field(default_factory=SearchCheckpoint)


@dataclass(frozen=True)
class CompareSettings(Settings):
    """`jaxmem compare`."""

    workload: WorkloadSettings = field(default_factory=_usual_workload)
    cells: Count | None = None
    seed: Seed = 0
    sequences: Count = 1024
    policies: Names | None = None
    reference: str = STRONGEST
    measures: Names = SHOWN
    tuning_sequences: Count = 256
    hindsight: bool = False
    hindsight_width: Annotated[int, whole(1, 4096)] = 64
    out: Folder = None
    overwrite: bool = False


@dataclass(frozen=True)
class BenchSettings(Settings):
    """`jaxmem bench`."""

    cells: Annotated[
        tuple[Annotated[int, whole(1, 4096)], ...], some("a list of whole numbers from 1 to 4,096")
    ] = (100, 64, 256, 1024, 4096)
    arenas: Annotated[
        tuple[Annotated[int, whole(1, 65_536)], ...],
        some("a list of whole numbers from 1 to 65,536"),
    ] = (1024, 1, 32, 8192, 65_536)
    policy: str = "best"
    observation: Annotated[tuple[str, ...], some("a list of one or more names")] = (
        "bitmap",
        "none",
    )
    representation: str = "auto"
    references: bool = True
    training: bool = True
    quick: bool = False
    rounds: Annotated[int, whole(1, 1000)] = 7
    seconds: Annotated[float, above_0(60)] = 0.4
    out: Folder = None
    overwrite: bool = False


@dataclass(frozen=True)
class RenderSettings(Settings):
    """`jaxmem render`."""

    workload: WorkloadSettings = field(default_factory=_usual_workload)
    cells: Count | None = None
    seed: Seed = 0
    policies: Names | None = None
    tuning_sequences: Count = 256
    requests: Count = 320
    gif: bool = False
    mp4: bool = False
    seconds: Annotated[float, above_0(120)] = 12
    out: Folder = None
    overwrite: bool = False


@dataclass(frozen=True)
class SummarizeSettings(Settings):
    """`jaxmem summarize DIR`."""

    out: Folder = None
    folder: str = ""  # DIR


@dataclass(frozen=True)
class ExportSettings(Settings):
    """`jaxmem export POLICY`."""

    to: Literal["c", "cuda", "stablehlo", "rule"] = "c"
    threshold: Annotated[
        int | None,
        Limit(
            "units, a whole number of at least 1, below 2^31, or null",
            lambda of: of is None or 1 <= of < 2**31,
        ),
    ] = None
    holes: Annotated[int, whole(2, 65_536)] = 64
    out: Folder = None
    overwrite: bool = False
    policy: str = ""  # POLICY


@dataclass(frozen=True)
class DemoSettings(Settings):
    """`jaxmem demo`."""

    address: Annotated[
        str, Limit("localhost, or an address of this machine", lambda text: bool(text.strip()))
    ] = "localhost"
    port: Annotated[int, whole(1, 65_535)] = 8501
    upload: Annotated[int, whole(1, 200)] = 16  # MB
    policies: Names = ()  # saved ones, that visitors may choose
