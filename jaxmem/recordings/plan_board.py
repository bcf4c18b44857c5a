"""The board that planners share: the lowest packing so far, and what is proven of lower ones."""

import threading
import time

import numpy as np

from jaxmem.recordings.packing import Packing
from jaxmem.recordings.plan_task import PlanTask


class Board:
    """The lowest packing that planners have found, each in a thread of its own.

    Attributes:
        best: the packing; its `method` is the planner; None: there is none yet.
        lower_bound: units below which there is none.
        heights: of each planner, the seconds from the beginning and the units of its lowest so far.
        notes: what a planner could not do.
        stop: int32[1], not 0 when planners are to end.
    """

    def __init__(self, task: PlanTask, planners: int, limit: float) -> None:
        """
        Args:
            planners: how many there are.
            limit: seconds that there are.
        """
        self.task, self.planners, self.limit = task, planners, limit
        self.best: Packing | None = None
        self.lower_bound = task.lower_bound
        self.heights: dict[str, list[tuple[float, int]]] = {}
        self.notes: list[str] = []
        self.stop = np.zeros(1, np.int32)
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        """The time since the beginning."""
        return time.monotonic() - self._begun

    @property
    def proven(self) -> bool:
        """No packing is lower."""
        return self.best is not None and self.best.height <= self.lower_bound

    @property
    def ended(self) -> bool:
        """Planners are to end: the time is over, or there is nothing left to find."""
        return self._ended.is_set() or self.proven

    def end(self) -> None:
        """Tells the planners to end."""
        self.stop[0] = 1
        self._ended.set()

    def wait(self, seconds: float) -> bool:
        """Waits so long, and tells whether planners are to end."""
        return self._ended.wait(seconds) or self.proven

    def heard(self, planner: str, height: int) -> None:
        """Notes that a planner has come to a height, where it is its lowest."""
        with self._lock:
            heights = self.heights.setdefault(planner, [])
            if not heights or height < heights[-1][1]:
                heights.append((self.seconds, height))

    def offer(self, planner: str, start: np.ndarray) -> None:
        """Takes a packing, int64[R] units, if it is the lowest."""
        height = int((start + self.task.size).max())
        self.heard(planner, height)
        with self._lock:
            if self.best is None or height < self.best.height:
                self.best = Packing(start, height, len(start), planner)
        if self.proven:
            self.end()

    def prove(self, lower_bound: int) -> None:
        """Takes that no packing is below so many units."""
        with self._lock:
            self.lower_bound = max(self.lower_bound, lower_bound)
        if self.proven:
            self.end()
