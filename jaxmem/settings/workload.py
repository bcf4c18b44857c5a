"""What can be set of each workload: the files in conf/workload/ say the same with comments."""

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Annotated, ClassVar, Literal, Self

from jaxmem.names import nearest
from jaxmem.settings.fields import Count, Settings, Share, called, changed, shown

# Estimated: from the lifetimes of the blocks before, by size.
Estimated = Literal["none", "estimated"]
Path = Annotated[str | PathLike | None, called("a file, or null")]


@dataclass(frozen=True)
class WorkloadSettings(Settings):
    """What every workload has."""

    SECTION: ClassVar[str] = "workload"

    source: str  # of `WORKLOADS`

    @classmethod
    def kind_of(cls, given: object) -> type[Self]:
        """Returns the class of the source that is given; raises ValueError where there is none."""
        source = given.get("source") if isinstance(given, Mapping) else None
        usual = WORKLOADS.get(source) if isinstance(source, str) else None
        if not isinstance(usual, cls):
            raise ValueError(f"workload.source is {shown(source)}; one of {', '.join(WORKLOADS)}")
        return type(usual)


@dataclass(frozen=True)
class Generated(WorkloadSettings):
    """A random workload with nothing to set but its hints."""

    lifetime_hints: Estimated = "none"


@dataclass(frozen=True)
class Freeing(WorkloadSettings):
    """A random workload that frees at random."""

    free_probability: Share  # a random live block is freed before a request, or instead of one
    lifetime_hints: Estimated = "none"


@dataclass(frozen=True)
class Capped(WorkloadSettings):
    """A random workload with so few live cells that every failure is fragmentation."""

    capacity: Count = 100  # cells that are live at once, at most
    lifetime_hints: Estimated = "none"


@dataclass(frozen=True)
class ByClass(WorkloadSettings):
    """One of these whose profiler guesses the class of each request."""

    capacity: Count = 100
    lifetime_hints: Literal["none", "class", "estimated"] = "none"


@dataclass(frozen=True)
class ByOracle(WorkloadSettings):
    """One of these whose program knows every lifetime."""

    capacity: Count = 100
    lifetime_hints: Literal["none", "oracle", "estimated"] = "none"


@dataclass(frozen=True)
class ScenarioSettings(WorkloadSettings):
    """Blocks that are already there, and what is asked for; the default is the project's example.

    The student project's: a memory with holes, and what seven processes ask for.
    """

    # [start, size] of each block, in cells; `scenario_requests` checks both lists.
    layout: tuple[object, ...] = ((5, 10), (25, 5), (40, 15), (65, 5), (80, 15))
    sizes: tuple[object, ...] = (8, 12, 5, 9, 11, 4, 6)  # cells, or "free:K"


@dataclass(frozen=True)
class TraceSettings(WorkloadSettings):
    """A recorded allocation trace."""

    path: Path = None
    name: str | None = None  # or a recording of the library
    slack: float = 1.1  # arena / what is live at the peak, rounded up to cells
    episodes: Literal["whole", "windows"] = "whole"
    window: Count | None = None  # requests in a window; None: as many as do
    live: bool = True  # a window starts with the blocks that are live then
    lifetime_hints: Estimated = "none"


# Each as it is where nothing is set.
WORKLOADS: dict[str, WorkloadSettings] = {
    "classic": Freeing("classic", 0.0),
    **{
        name: Capped(name)
        for name in (
            *("memoryless", "geometric", "small-short-lived", "large-short-lived"),
            *("size-classes", "generational", "stack-with-leaks", "robson", "comb"),
        )
    },
    "training-step": ByOracle("training-step"),
    "call-sites": ByClass("call-sites"),
    **{name: Generated(name) for name in ("best-fit-good", "worst-fit-good", "mixed")},
    "random": Freeing("random", 0.4),
    "scenario": ScenarioSettings("scenario"),
    "trace": TraceSettings("trace"),
}
ALIASES = {"segregated-lifetimes": "large-short-lived"}


def workload_settings(name: str, options: Mapping[str, object]) -> WorkloadSettings:
    """Makes the settings of the workload with this name; what is not given is as usual.

    Raises:
        ValueError: an unknown name or option, with the nearest names; a value out of range.
    """
    usual = WORKLOADS.get(ALIASES.get(name, name))
    if usual is None:
        raise ValueError(f"unknown workload {name!r}{nearest(name, (*WORKLOADS, *ALIASES))}")
    what = f"workload {usual.source} has no option"
    return type(usual)(**changed(usual, options, what, ("source",)))
