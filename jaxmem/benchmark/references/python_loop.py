"""The environment as one writes it first: a NumPy array of cells, and Python loops over them.

It does what the student project that this package began with does in a step: a cell holds 0 or the
number of its process, every fit goes through the memory cell by cell, and nothing is kept that
could be found again by looking.
"""

import numpy as np


class Memory:
    """One arena of `cells` cells that answers a sequence of requests."""

    def __init__(self, sizes: list[int], lifetimes: list[int], cells: int) -> None:
        self.sizes, self.lifetimes, self.cells = sizes, lifetimes, cells
        self.reset()

    def reset(self) -> None:
        """Frees everything; the first request waits."""
        self.memory = np.zeros(self.cells, dtype=int)
        self.remaining: dict[int, int] = {}  # process -> steps until it is freed
        self.time = 0

    def step(self) -> bool:
        """Tells whether the waiting request found a place; time goes on by one step."""
        size = self.sizes[self.time]
        process = self.time + 1
        start = self.best_fit(size)
        if start is not None:
            for cell in range(start, start + size):
                self.memory[cell] = process
            self.remaining[process] = self.lifetimes[self.time]
        self.free_the_dead()
        self.time += 1
        if self.time == len(self.sizes):
            self.reset()
        return start is not None

    def best_fit(self, size: int) -> int | None:
        """Finds the start of the shortest hole that fits, the lowest of several."""
        best_start, best_length = None, self.cells + 1
        for start in range(self.cells - size + 1):
            if self.fits_at(start, size):
                length = self.hole_length(start)
                if length < best_length:
                    best_start, best_length = start, length
        return best_start

    def fits_at(self, start: int, size: int) -> bool:
        """Tells whether `size` cells are free from `start` on."""
        if start + size > self.cells:
            return False
        for cell in range(start, start + size):  # noqa: SIM110
            if self.memory[cell] != 0:
                return False
        return True

    def hole_length(self, cell: int) -> int:
        """Counts the free cells around a free one."""
        first, last = cell, cell
        while first > 0 and self.memory[first - 1] == 0:
            first -= 1
        while last + 1 < self.cells and self.memory[last + 1] == 0:
            last += 1
        return last - first + 1

    def free_the_dead(self) -> None:
        """Makes every process one step older, and frees those whose time is over."""
        for process in list(self.remaining):
            self.remaining[process] -= 1
            if self.remaining[process] == 0:
                del self.remaining[process]
                for cell in range(self.cells):
                    if self.memory[cell] == process:
                        self.memory[cell] = 0

    def observe(self) -> np.ndarray:
        """Returns taken cells, then the size of the waiting request: float32[N + 1]."""
        seen = np.zeros(self.cells + 1, dtype=np.float32)
        for cell in range(self.cells):
            if self.memory[cell] != 0:
                seen[cell] = 1.0
        seen[self.cells] = self.sizes[self.time] / self.cells
        return seen

    def legal(self) -> np.ndarray:
        """Marks where the waiting request may start, then whether it fits nowhere: bool[N + 1]."""
        size = self.sizes[self.time]
        legal = np.zeros(self.cells + 1, dtype=bool)
        for start in range(self.cells):
            legal[start] = self.fits_at(start, size)
        legal[self.cells] = not legal.any()
        return legal


class PythonLoop:
    """The arenas one after the other."""

    def __init__(
        self, size: np.ndarray, lifetime: np.ndarray, cells: int, arenas: int, observe: bool
    ) -> None:
        sizes, lifetimes = size.tolist(), lifetime.tolist()
        self.memories = [
            Memory(sizes[arena % len(sizes)], lifetimes[arena % len(sizes)], cells)
            for arena in range(arenas)
        ]
        self.observation: np.ndarray | None = None
        self.mask: np.ndarray | None = None
        if observe:
            self.observation = np.zeros((arenas, cells + 1), np.float32)
            self.mask = np.zeros((arenas, cells + 1), bool)

    def reset(self) -> None:
        """Empties all arenas; the first request of each waits."""
        for memory in self.memories:
            memory.reset()

    def play(self, steps: int) -> int:
        """Plays the next `steps` steps, and counts the failed requests of all arenas."""
        failed = 0
        for _ in range(steps):
            for arena, memory in enumerate(self.memories):
                failed += not memory.step()
                if self.observation is not None and self.mask is not None:
                    self.observation[arena] = memory.observe()
                    self.mask[arena] = memory.legal()
        return failed
