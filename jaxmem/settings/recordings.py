"""The whole configuration of each verb that is about recordings, as `jaxmem.settings.verbs` is."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from jaxmem.settings.fields import (
    AtLeast0,
    Folder,
    Index,
    Limit,
    Names,
    Seed,
    Settings,
    above_0,
    whole,
)
from jaxmem.settings.learner import RuleSearchConfig

MOST_ALIGNMENT = 2**21  # bytes, a large page

Device = Annotated[
    int | None, Limit("the number of a device, as 0, or null", lambda of: of is None or of >= 0)
]
Alignment = Annotated[
    int | None,
    Limit(
        f"a power of two from 1 to {MOST_ALIGNMENT:,}, or null",
        lambda of: of is None or (1 <= of <= MOST_ALIGNMENT and of.bit_count() == 1),
    ),
]


@dataclass(frozen=True)
class RunsSettings(Settings):
    """The runs of a program that a policy for it is learned from."""

    SECTION: ClassVar[str] = "workload"

    paths: Names = ()
    family: str | None = None  # else these


@dataclass(frozen=True)
class TrainRunsSettings(Settings):
    """`jaxmem train workload=runs`."""

    workload: RunsSettings = field(default_factory=RunsSettings)
    held_out: Index | None = None
    alignment: Alignment = None
    learner: RuleSearchConfig = field(default_factory=RuleSearchConfig)
    out: Folder = None
    overwrite: bool = False


@dataclass(frozen=True)
class TraceImportSettings(Settings):
    """`jaxmem trace import FILE`."""

    format: str | None = None
    device: Device = None
    out: Folder = None
    overwrite: bool = False
    licence: str | None = None
    file: str = ""  # FILE


@dataclass(frozen=True)
class TraceRecordSettings(Settings):
    """`jaxmem trace record -- COMMAND`."""

    recorder: Literal["memray", "valgrind", "preload"] | None = None
    depth: Annotated[int, whole(0, 32)] = 4
    children: bool = False
    python_objects: bool = False
    out: Folder = None
    overwrite: bool = False
    licence: str | None = None
    program: tuple[str, ...] = ()  # COMMAND


@dataclass(frozen=True)
class RunSettings(Settings):
    """`jaxmem run POLICY -- COMMAND`."""

    arena: float | str | None = None
    recording: Folder = None
    least: AtLeast0 | str = "32KiB"
    least_alignment: Annotated[
        int,
        Limit("0 or a power of two", lambda of: of == 0 or (of > 0 and of.bit_count() == 1)),
    ] = 0
    threshold: AtLeast0 | str | None = None
    alignment: Annotated[
        int | None,
        Limit(
            "a power of two from 16 to 4,096, or null",
            lambda of: of is None or (16 <= of <= 4096 and of.bit_count() == 1),
        ),
    ] = None
    depth: Annotated[int, whole(0, 32)] = 4
    out: Folder = None
    overwrite: bool = False
    policy: str = ""  # POLICY
    program: tuple[str, ...] = ()  # COMMAND


@dataclass(frozen=True)
class TraceInfoSettings(Settings):
    """`jaxmem trace info [EARLIER] FILE`."""

    device: Device = None
    alignment: Alignment = None
    policies: Names | None = None
    out: Folder = None
    overwrite: bool = False
    earlier: Folder = None  # EARLIER
    file: str = ""  # FILE


@dataclass(frozen=True)
class PlanSettings(Settings):
    """`jaxmem plan FILE`."""

    seconds: Annotated[float, above_0(86_400)] = 60
    planners: Names | None = None
    alignment: Alignment = None
    seed: Seed = 0
    out: Folder = None
    overwrite: bool = False
    file: str = ""  # FILE
