"""All arenas at once in NumPy: rows are cells, columns arenas, so every row is one vector."""

import numpy as np


class NumpyArenas:
    """`expiry[p, e]` is the time at which cell p of arena e is free again.

    The ends of holes are found from the last row to the first, a row at a time, as `accumulate`
    along an axis is five times slower. Sums and products stay in place and in one narrow type, for
    `where` costs ten times a product. What is shown is turned over, a row for each arena, from
    single bytes: floats or truth values take five times as long.
    """

    def __init__(
        self, size: np.ndarray, lifetime: np.ndarray, cells: int, arenas: int, observe: bool
    ) -> None:
        sequences, self.horizon = size.shape
        self.cells, self.arenas = cells, arenas
        narrow = max(cells + 2, 2 * self.horizon) < 2**15
        self.signed, self.unsigned = (np.int16, np.uint16) if narrow else (np.int32, np.uint32)
        row = np.arange(arenas) % sequences
        # Whatever does not fit an empty arena is too long by at least one cell.
        self.size = np.minimum(size, cells + 1).T[:, row].astype(self.signed)  # [T, E]
        self.lifetime = lifetime.T[:, row].astype(self.signed)  # [T, E]
        self.share = (size / cells).T[:, row].astype(np.float32)  # [T, E]
        self.address = np.arange(cells, dtype=self.signed)[:, None]

        def buffer(dtype) -> np.ndarray:
            return np.zeros((cells, arenas), dtype)

        self.expiry, self.ahead, self.number = (buffer(self.signed) for _ in range(3))
        self.free, self.chosen = buffer(bool), buffer(bool)
        rows = list(self.ahead)
        self.rows = list(zip(rows[-2::-1], rows[:0:-1], strict=True))  # (a row, the one above)
        self.start = np.zeros(arenas, self.signed)
        self.fits = np.zeros(arenas, bool)
        self.observation: np.ndarray | None = None
        self.mask: np.ndarray | None = None
        if observe:
            self.observation = np.zeros((arenas, cells + 1), np.float32)
            self.mask = np.zeros((arenas, cells + 1), bool)
        self.reset()

    def reset(self) -> None:
        """Empties all arenas; the first request of each waits."""
        self.expiry[:] = 0
        self._look(0)

    def play(self, steps: int) -> int:
        """Plays the next `steps` steps, and counts the failed requests of all arenas."""
        failed = 0
        for _ in range(steps):
            failed += self.arenas - int(np.count_nonzero(self.fits))
            self._place()
            if self.now + 1 == self.horizon:
                self.reset()
            else:
                self._look(self.now + 1)
            if self.observation is not None and self.mask is not None:
                self._show(self.observation, self.mask)
        return failed

    def _look(self, now: int) -> None:
        """Sets the clock to `now` and finds the best hole of every arena for its next request."""
        self.now = now
        size, address, number = self.size[now], self.address, self.number
        np.less_equal(self.expiry, self.signed(now), out=self.free)
        # The next taken cell at or above each cell; the end of the arena counts as taken.
        np.multiply(self.free, self.signed(self.cells), out=self.ahead)
        np.maximum(self.ahead, address, out=self.ahead)
        for below, above in self.rows:
            np.minimum(below, above, out=below)
        np.subtract(self.ahead, address, out=self.ahead)  # free cells from here on
        np.greater(self.free[1:], self.free[:-1], out=self.chosen[1:])
        self.chosen[0] = self.free[0]
        # Cells to spare in each hole, at its first cell; elsewhere, and where it is too short, a
        # negative number, which is a large one without its sign.
        np.multiply(self.chosen, self.ahead, out=number)
        np.subtract(number, size, out=number)
        spare = number.view(self.unsigned)
        least = spare.min(axis=0)
        np.less(least, self.cells, out=self.fits)
        np.equal(spare, least, out=self.chosen)
        np.multiply(self.chosen, self.cells - address, out=number)
        np.subtract(self.signed(self.cells), number.max(axis=0), out=self.start)

    def _place(self) -> None:
        """Places a block at the start of every best hole."""
        np.subtract(self.address, self.start, out=self.number)
        length = (self.size[self.now] * self.fits).view(self.unsigned)
        np.less(self.number.view(self.unsigned), length, out=self.chosen)
        # The cells are free, so what they held is over before the new block is.
        np.multiply(self.chosen, self.lifetime[self.now] + self.signed(self.now), out=self.number)
        np.maximum(self.expiry, self.number, out=self.expiry)

    def _show(self, observation: np.ndarray, mask: np.ndarray) -> None:
        np.logical_not(self.free, out=self.chosen)
        observation[:, :-1] = self.chosen.view(np.uint8).T
        observation[:, -1] = self.share[self.now]
        np.greater_equal(self.ahead, self.size[self.now], out=self.chosen)
        mask[:, :-1] = self.chosen.T
        np.logical_not(self.fits, out=mask[:, -1])
