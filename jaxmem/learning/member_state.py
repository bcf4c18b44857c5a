"""What is kept of each member of a training run: its curve, its best network, why it ended."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jaxmem.checks import is_number, is_whole
from jaxmem.policies.networks import Weights

INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class ValidationPoint:
    """A point of the learning curve: where a member stands at a validation."""

    steps: int  # environment steps done
    episodes: int  # sequences finished
    seconds: float  # since the run began, compilation included, of all members together
    steps_per_second: float  # since the last validation, likewise
    loss: float  # of the Q-values, last update
    exploring_failed: float  # % of requests that failed while exploring, last update
    failed: float  # % on validation sequences, acting greedily


@dataclass
class MemberState:
    """One member on its way; its learner's state is on the devices, with those of the others."""

    best: Weights  # of the network that failed least in validation, a late one if there is one
    best_failed: float = math.inf  # %
    late: bool = False  # it is one of those
    curve: list[ValidationPoint] = field(default_factory=list)
    note: str = ""  # why it ended early, if it did

    @property
    def latest(self) -> float | None:
        """Failures at the last validation, in %; None: there was none yet."""
        return self.curve[-1].failed if self.curve else None

    def kept_at(self, late_after: float) -> int | None:
        """Returns the steps of the point of the curve whose network is kept; None: there is none.

        Args:
            late_after: steps from which on a network is a late one.
        """
        among = [at for at in self.curve if not self.late or at.steps > late_after]
        return next((at.steps for at in among if at.failed == self.best_failed), None)

    def add(self, point: ValidationPoint, network: Weights, late: bool) -> None:
        """Lengthens the curve, and keeps the network where it is the best."""
        if point.failed < self.best_failed or late > self.late:
            self.best, self.best_failed, self.late = network, point.failed, late
        self.curve.append(point)

    def interrupt(self) -> None:
        """Notes that the run was interrupted here."""
        counted = self.curve[-1].steps if self.curve else 0
        self.note = self.note or f"{INTERRUPTED} after {counted:,} steps"

    @property
    def interrupted(self) -> bool:
        """Tells whether the run could go on."""
        return self.note.startswith(INTERRUPTED)

    def as_json(self) -> dict[str, object]:
        """Returns all but the network, as JSON can hold it."""
        return {
            "best_failed": self.best_failed if self.curve else None,
            "late": self.late,
            "curve": [dataclasses.asdict(point) for point in self.curve],
            # An interruption is over when the run goes on.
            "note": "" if self.interrupted else self.note,
        }

    @classmethod
    def from_json(cls, best: Weights, found: Mapping[str, Any]) -> "MemberState":
        """Makes the member that `as_json` tells of, with its network.

        Raises:
            ValueError, TypeError, KeyError: it tells of none.
        """
        failed, late, note = found["best_failed"], found["late"], found["note"]
        curve = [ValidationPoint(**point) for point in found["curve"]]
        figures = [figure for point in curve for figure in dataclasses.astuple(point)]
        figures += [] if failed is None else [failed]
        wholes = all(is_whole(at.steps) and is_whole(at.episodes) for at in curve)
        if not wholes or not all(is_number(figure) for figure in figures):
            raise ValueError("its curve is of other kinds")
        if not isinstance(late, bool) or not isinstance(note, str):
            raise ValueError("what it says of the member is of other kinds")
        return cls(best, math.inf if failed is None else failed, late, curve, note)
