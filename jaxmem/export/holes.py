"""The holes of one arena by address, in Python: followed along placements that are known."""

import numpy as np


class HolesSeen:
    """The holes of an arena, by address; of one that grows, those between blocks."""

    def __init__(self, cells: int, most: int) -> None:
        self._hole = np.zeros((most + 1, 2), np.int32)
        self._count = 1
        self._hole[0] = 0, cells or 2**31 - 1
        self._grows = cells == 0

    @property
    def all(self) -> np.ndarray:
        """int32[N, 2], low and high."""
        return self._hole[: self._count - self._grows]  # the space above all blocks is no hole

    @property
    def above(self) -> int:
        """Where the space above all blocks begins, in an arena that grows."""
        return int(self._hole[self._count - 1, 0])

    def take(self, low: int, high: int) -> None:
        """Takes units out of the hole that they are in."""
        at = int(np.searchsorted(self._hole[: self._count, 0], low, side="right")) - 1
        begin, end = self._hole[at].tolist()
        rest = [hole for hole in ((begin, low), (high, end)) if hole[0] < hole[1]]
        self._replace(at, at + 1, rest)

    def free(self, low: int, high: int) -> None:
        """Makes a hole of units, with what is free beside them."""
        at = int(np.searchsorted(self._hole[: self._count, 0], low))
        first, last = at, at
        if at and self._hole[at - 1, 1] == low:
            first, low = at - 1, int(self._hole[at - 1, 0])
        if at < self._count and self._hole[at, 0] == high:
            last, high = at + 1, int(self._hole[at, 1])
        self._replace(first, last, [(low, high)])

    def _replace(self, first: int, last: int, holes: list[tuple[int, int]]) -> None:
        count = self._count + len(holes) - (last - first)
        self._hole[first + len(holes) : count] = self._hole[last : self._count].copy()
        for at, hole in enumerate(holes, first):
            self._hole[at] = hole
        self._count = count
