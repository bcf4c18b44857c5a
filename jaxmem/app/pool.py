"""The processes that work for the page: those that wait for work are kept, and can be killed."""

import atexit
import contextlib
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterable
from queue import Empty, SimpleQueue
from typing import Any

from jaxmem.app.worker import PREPARE, STOP, WORK

# -P: nothing is imported from the folder in which the server was started.
WORKER_COMMAND = (sys.executable, "-P", "-c", "from jaxmem.app.worker import main; main()")
WORKERS = 2  # pieces of work of all visitors together: more would only make each slower
GONE = "gone"  # heard last of a process that has ended
MOST_WORKER_MEMORY = (
    3 * 2**30
)  # bytes that a process may have had and be kept: compiled programs pile up


class Worker:
    """A process of `jaxmem.app.worker`, seen from the page."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            WORKER_COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._heard = SimpleQueue[tuple[Any, ...]]()
        threading.Thread(target=self._listen, daemon=True).start()

    def order(self, work: str, *arguments: object) -> None:
        """Begins `work(watched, *arguments)` there: a function of a module, by its full name."""
        self._send(WORK, (work, arguments))

    def prepare(self, modules: Iterable[str]) -> None:
        """Has it import modules, ahead of the work that needs them."""
        self._send(PREPARE, tuple(modules))

    def stop(self) -> None:
        """Asks the work to stop where it reports next."""
        self._send(STOP, None)

    def hear(self, seconds: float) -> tuple[Any, ...] | None:
        """The next message, as `jaxmem.app.worker` sends them, or (GONE,); None: there is none.

        Args:
            seconds: that it waits for one.
        """
        try:
            return self._heard.get(timeout=seconds)
        except Empty:
            return None

    @property
    def alive(self) -> bool:
        """Tells whether the process is there."""
        return self._process.poll() is None

    def kill(self) -> None:
        """Ends it, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def _send(self, kind: str, order: object) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(OSError):  # it has ended: that is heard as (GONE,)
            pickle.dump((kind, pickle.dumps(order)), stdin)
            stdin.flush()

    def _listen(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        # The latter: it was killed in mid-sentence.
        with stdout, contextlib.suppress(EOFError, pickle.UnpicklingError):
            while True:
                self._heard.put(pickle.load(stdout))
        self._heard.put((GONE,))


class Pool:
    """Processes that wait for work."""

    def __init__(self) -> None:
        self._waiting: list[Worker] = []
        self._all: list[Worker] = []
        self._lock = threading.Lock()

    def prepare(self, modules: Iterable[str]) -> None:
        """Starts a process that imports these modules already, unless there are enough."""
        with self._lock:
            alive = [one for one in self._all if one.alive]
            if len(alive) < WORKERS and not any(one in alive for one in self._waiting):
                one = self._started()
                one.prepare(modules)
                self._waiting.append(one)

    def take(self) -> Worker:
        """A process to work with, until it is given back."""
        with self._lock:
            while self._waiting:
                if (one := self._waiting.pop()).alive:
                    return one
            return self._started()

    def give_back(self, one: Worker, memory: int = 0) -> None:
        """Keeps the process for other work, if it is fit for that.

        Args:
            memory: bytes that it has had in memory.
        """
        with self._lock:
            if memory <= MOST_WORKER_MEMORY and one.alive:
                self._waiting.append(one)
                return
        one.kill()

    def close(self) -> None:
        """Ends every process, busy or not."""
        with self._lock:
            for one in self._all:
                one.kill()
            self._all.clear()
            self._waiting.clear()

    def _started(self) -> Worker:
        self._all = [one for one in self._all if one.alive]
        self._all.append(Worker())
        return self._all[-1]


POOL = Pool()
atexit.register(POOL.close)
