"""The interface of every reference simulator to its caller."""

from typing import Protocol

import numpy as np


class Unavailable(RuntimeError):  # noqa: N818  says what the reference is
    """A reference cannot run here; the message is the reason, in one line."""


class Reference(Protocol):
    """E arenas of N cells, each playing its own sequence of T requests by best-fit."""

    observation: np.ndarray | None  # float32[E, N + 1]  taken cells, then size / N of who waits
    mask: np.ndarray | None  # bool or uint8[E, N + 1]  where it may start; last: it fits nowhere

    def reset(self) -> None:
        """Empties all arenas; the first request of each waits."""
        ...

    def play(self, steps: int) -> int:
        """Plays the next `steps` >= 1 steps, and counts the failed requests of all arenas.

        An arena whose sequence is over starts it again, empty. `observation` and `mask`, C-ordered,
        are then as after the last step, and None if nothing is observed.
        """
        ...
