"""Scalar C on one thread, compiled when it is first asked for."""

import ctypes
import functools
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from jaxmem.benchmark.references.reference import Unavailable

SOURCE = Path(__file__).with_name("arenas.c")
COMPILER_FLAGS = ("-O3", "-march=native", "-std=c11", "-shared", "-fPIC")
COMPILER_PATIENCE = 300  # seconds that a compiler may take


class CArenas:
    """The arenas of arenas.c: all take a step, and write all that is seen, before the next step."""

    def __init__(
        self, size: np.ndarray, lifetime: np.ndarray, cells: int, arenas: int, observe: bool
    ) -> None:
        self._play = _compile_c(_compiler())
        sequences, self.horizon = size.shape
        room = min(cells, self.horizon)
        self._states = np.zeros((arenas, 3), np.int32)
        self._first = np.where(size[np.arange(arenas) % sequences, 0] <= cells, 0, -1)
        self.observation: np.ndarray | None = None
        self.mask: np.ndarray | None = None
        self._taken: np.ndarray | None = None
        if observe:
            self.observation = np.zeros((arenas, cells + 1), np.float32)
            self.mask = np.zeros((arenas, cells + 1), np.uint8)
            self._taken = np.zeros((arenas, cells), np.uint8)
        # A step reads the same request number of every sequence.
        by_time = (np.ascontiguousarray(column.T) for column in (size, lifetime))
        blocks = np.zeros((arenas, room, 3), np.int32)
        counts = (self.horizon, sequences, cells, arenas, room)
        seen = (self._taken, self.observation, self.mask)
        self._arguments = (*by_time, *counts, self._states, blocks, *seen)
        self.reset()

    def reset(self) -> None:
        """Empties all arenas; the first request of each waits."""
        self.now = 0
        self._states[:] = 0
        self._states[:, 1] = self._first
        if self._taken is not None:
            self._taken[:] = 0

    def play(self, steps: int) -> int:
        """Plays the next `steps` steps, and counts the failed requests of all arenas."""
        failed = self._play(*map(_argument, (self.now, steps, *self._arguments)))
        self.now = (self.now + steps) % self.horizon
        return failed


def _argument(value: np.ndarray | int | None) -> ctypes.c_void_p | ctypes.c_int64:
    if isinstance(value, int):
        return ctypes.c_int64(value)
    return ctypes.c_void_p(None if value is None else value.ctypes.data)


def _compiler() -> tuple[str, ...]:
    """Finds the compiler, $CC if it is set, else what is usual: command and first arguments."""
    wanted = os.environ.get("CC")
    commands = [wanted] if wanted else ["cc", "gcc", "clang"]
    for command in commands:
        words = shlex.split(command)
        if words and shutil.which(words[0]):
            return tuple(words)
    raise Unavailable(f"no C compiler is called {' or '.join(commands)}; set CC to one")


@functools.cache
def _compile_c(compiler: tuple[str, ...]):
    """Compiles the function `play` of arenas.c."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "arenas.so"
        command = [*compiler, *COMPILER_FLAGS, str(SOURCE), "-o", str(library)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=COMPILER_PATIENCE
            )
            if done.returncode:
                said = done.stderr.splitlines() or [f"exit status {done.returncode}"]
                reason = next((line for line in said if "error" in line), said[0])
                raise Unavailable(f"{command[0]} does not compile {SOURCE.name}: {reason}")
            # Once loaded, the library is needed no more in its folder.
            function = ctypes.CDLL(str(library)).play
        except subprocess.TimeoutExpired:
            raise Unavailable(
                f"{command[0]} has not compiled in {COMPILER_PATIENCE} seconds"
            ) from None
        except OSError as error:
            raise Unavailable(f"{command[0]} makes nothing that runs here: {error}") from error
    function.restype = ctypes.c_int64
    return function
