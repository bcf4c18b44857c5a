"""What can be set of the search for a class rule, and each verb that is about recordings."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from jaxmem.settings.fields import (
    AtLeast0,
    Count,
    Folder,
    Index,
    Limit,
    Names,
    Seed,
    Settings,
    Share,
    above_0,
    called,
    some,
    whole,
)

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


Factor = Annotated[float, Limit("a number from 1 to 8", lambda factor: 1.0 <= factor <= 8.0)]


@dataclass(frozen=True)
class RuleSearchConfig(Settings):
    """How the class rule of a program is looked for, on its own runs."""

    SECTION: ClassVar[str] = "learner"

    nothing_to_gain: Factor = 1.002  # arena over peak live; where best-fit needs no more, it plays
    most_requests: Count = 20_000  # of a run, played to rank rules; the last few play it whole
    screened: Factor = 1.05  # arena over peak live units in which all rules play one run
    factors: Annotated[tuple[Factor, ...], some("a list of numbers from 1 to 8")] = (
        *(1.02, 1.05, 1.1, 1.15),  # in which the better ones play all runs
    )
    semifinalists: Count = 320  # rules that do
    finalists: Count = 24  # rules of which the arena needed is found
    widest: Factor = 2.0  # arena over peak live; more is not looked for
    precision: Annotated[
        float, Limit("a number above 0, at most 0.1", lambda share: 0.0 < share <= 0.1)
    ] = 0.0005  # of the arena needed, in peak live
    most_slots: Annotated[int, whole(2, 2**16)] = 512  # holes; one more counts as a failure
    ranked_slots: Annotated[int, whole(2, 2**16)] = 192  # of what is played to rank rules
    batch: Annotated[int, whole(1, 2**20)] = 128  # arenas of up to 128 holes side by side
    exceptions: Annotated[int, whole(0, 64)] = 8  # to the rule, at most
    candidates: Annotated[int, whole(1, 2**16)] = 128  # for each of them
    branched_requests: Count = 2_000  # of a run, played to find them
    branched: Count = 256  # requests before a failure of which each fit is tried
    horizon: Count = 600  # events played after each of them
    # Shares by which slots of a plan may be longer than foretold; none: no plan.
    margins: Annotated[tuple[Share, ...], called("a list of numbers from 0 to 1")] = (
        *(0.0, 0.03, 0.06, 0.08, 0.1, 0.12),
    )
    # Deviation of the logarithm of sizes in the next run, where there is one run alone.
    sizes_vary: Share = 0.03


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
