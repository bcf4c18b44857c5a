"""A process that works for the page: it does what it is told, says how far it is, and can be ended.

The page talks to it over its standard input, it answers over what was its standard output. Both
ends are jaxmem's own: pickles go no other way. Whatever is being compiled, the process can be
killed, and a page that is busy takes nothing away from it.
"""

import os
import pickle
import signal
import sys
import threading
import traceback
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue
from typing import BinaryIO, Protocol

WORK, PREPARE, STOP = "work", "prepare", "stop"  # what the page sends, each with a pickle
NICE = 5  # steps behind the page, which has to answer meanwhile


class Stopped(BaseException):
    """Raised inside the work when it was asked to stop; not an Exception, so nothing catches it."""


class Watched(Protocol):
    """Whom the work tells how far it is."""

    @property
    def stopping(self) -> bool:
        """Tells whether the work was asked to stop."""
        ...

    def report(
        self,
        doing: str,
        share: float | None = None,
        *,
        keeps: bool = False,
        within: float | None = None,
    ) -> None:
        """Says what is being done now.

        Args:
            share: of the work that is done, 0 to 1, where that is known.
            keeps: work that is asked to stop comes to a result all the same, and soon.
            within: seconds until the next report; work that takes longer is ended.

        Raises:
            Stopped: the work was asked to stop, and does not keep anything.
        """
        ...

    def tell(self, news: object) -> None:
        """Hands something over before the end."""
        ...


class _Page:
    """The page at the other end."""

    def __init__(self, answers: BinaryIO) -> None:
        self.asked = threading.Event()  # to stop
        self._answers = answers

    @property
    def stopping(self) -> bool:
        return self.asked.is_set()

    def report(
        self,
        doing: str,
        share: float | None = None,
        *,
        keeps: bool = False,
        within: float | None = None,
    ) -> None:
        self.send("report", doing, share, keeps, within)
        if self.stopping and not keeps:
            raise Stopped

    def tell(self, news: object) -> None:
        self.send("news", news)

    def send(self, *message: object) -> None:
        """Sends a message; the process ends where nobody is there to read it."""
        data = pickle.dumps(message)  # whole, before any of it is sent
        try:
            self._answers.write(data)
            self._answers.flush()
        except OSError:
            os._exit(1)


def main() -> None:
    """Works until the page closes its end."""
    # Ctrl-C in the terminal of the server is for the server, which ends this process then.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(NICE)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what anything prints is for the log
    page, orders = _Page(answers), SimpleQueue[tuple[str, bytes]]()
    threading.Thread(target=_listen, args=(page, orders), daemon=True).start()
    while True:
        kind, order = orders.get()
        if kind == PREPARE:
            for module in pickle.loads(order):
                import_module(module)
        else:
            _work(page, order)


def _listen(page: _Page, orders: "SimpleQueue[tuple[str, bytes]]") -> None:
    """Takes orders and requests to stop, in turn; without a page, the process ends at once."""
    while True:
        try:
            kind, order = pickle.load(sys.stdin.buffer)
        except EOFError:
            os._exit(0)
        if kind == STOP:
            page.asked.set()
        else:
            page.asked.clear()
            orders.put((kind, order))


def _work(page: _Page, order: bytes) -> None:
    """Does one piece of work; its result, a refusal or a fault is the last message about it."""
    try:
        work, arguments = pickle.loads(order)
        module, _, name = work.rpartition(".")
        work = getattr(import_module(module), name)
        page.send("result", work(page, *arguments), _peak_memory())
    except Stopped:
        page.send("stopped")
    except ValueError as refusal:
        page.send("refused", str(refusal), _peak_memory())
    except Exception as fault:  # whatever it is, the page that waits for it must hear of it
        page.send("failed", type(fault).__name__, traceback.format_exc())


def _peak_memory() -> int:
    """The most bytes that this process has had in memory; 0 where nobody knows."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return 0
    # Not getrusage's: on Linux that begins with the memory of the process that started this one.
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if "VmHWM" in line), 0)
