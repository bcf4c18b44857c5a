"""Where the members of a run stand: what is told of them, and what a checkpoint keeps."""

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Report:
    """Where a member stands after a block."""

    steps: int  # environment steps done
    episodes: int  # sequences finished
    seconds: float  # since the run began, compilation included, of all members together
    steps_per_second: float  # of the last block, likewise
    loss: float  # of the Q-values, last update
    exploring_failed: float  # % of requests that failed while exploring, last update
    failed: float  # % on validation sequences, acting greedily


@dataclass
class Standing:
    """What is kept of a member."""

    best: Any  # of the networks, late ones if there are some, that which failed least in validation
    best_failed: float = math.inf  # %
    late: bool = False  # it is one of those
    curve: list[Report] = field(default_factory=list)
    note: str = ""  # why it ended early, if it did

    @property
    def latest(self) -> float | None:
        """Failures at the last validation, in %; None: there was none yet."""
        return self.curve[-1].failed if self.curve else None

    def kept_at(self, late_after: float) -> int | None:
        """Steps of the point of the curve whose network is kept; None: there is no point yet.

        Args:
            late_after: steps from which on a network is a late one.
        """
        among = [at for at in self.curve if not self.late or at.steps > late_after]
        return next((at.steps for at in among if at.failed == self.best_failed), None)

    def about(self) -> dict[str, Any]:
        """All but the network, as JSON can hold it."""
        return {
            "best_failed": self.best_failed if self.curve else None,
            "late": self.late,
            "curve": [dataclasses.asdict(point) for point in self.curve],
            # An interruption is over when the run goes on.
            "note": "" if self.interrupted else self.note,
        }

    def interrupt(self) -> None:
        """Notes that the run was interrupted here."""
        counted = self.curve[-1].steps if self.curve else 0
        self.note = self.note or f"{INTERRUPTED} after {counted:,} steps"

    @property
    def interrupted(self) -> bool:
        """Whether the run could go on."""
        return self.note.startswith(INTERRUPTED)


def standing_of(best: Any, about: dict[str, Any]) -> Standing:
    """The standing that `Standing.about` tells of, with its network.

    Raises:
        ValueError, TypeError, KeyError: it tells of none.
    """
    failed, late, note = about["best_failed"], about["late"], about["note"]
    curve = [Report(**point) for point in about["curve"]]
    figures = [figure for point in curve for figure in dataclasses.astuple(point)]
    figures += [] if failed is None else [failed]
    wholes = all(type(at.steps) is int and type(at.episodes) is int for at in curve)
    if not wholes or not all(type(figure) in (int, float) for figure in figures):
        raise ValueError("its curve is of other kinds")
    if not isinstance(late, bool) or not isinstance(note, str):
        raise ValueError("its standing is of other kinds")
    return Standing(best, math.inf if failed is None else failed, late, curve, note)
