"""Long work beside a page: it tells how far it is, and can be stopped."""

import logging
import threading
import traceback
from collections.abc import Callable
from typing import Any

AT_ONCE = 2  # jobs of all visitors together: more would only make each slower
WAITING = "waiting until the work of others is done"

# Pictures are drawn one after another: matplotlib's settings are those of the whole process.
DRAWING = threading.Lock()

_room = threading.BoundedSemaphore(AT_ONCE)


class Stopped(BaseException):
    """Raised inside the work when it was asked to stop; not an Exception, so nothing catches it."""


class Job:
    """One piece of work in a thread of its own."""

    def __init__(self, work: Callable[["Job"], Any]) -> None:
        """Starts it.

        Args:
            work: is given the job, calls `report` on it now and then, and returns the result.
        """
        self.doing = "starting"
        self.share: float | None = None  # 0 .. 1 of the work, where that is known
        self.result: Any = None
        self.fault: Exception | None = None
        self.done = False
        self._asked = threading.Event()
        self._work = work
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def report(self, doing: str, share: float | None = None) -> None:
        """Says what is being done now.

        Raises:
            Stopped: somebody has asked for that.
        """
        self.doing, self.share = doing, share
        if self._asked.is_set():
            raise Stopped

    def stop(self) -> None:
        """Asks the work to stop where it reports next."""
        self._asked.set()

    @property
    def stopping(self) -> bool:
        """Whether somebody has asked for that."""
        return self._asked.is_set()

    def wait(self, seconds: float) -> None:
        """Waits until it is done, so long at most."""
        self._thread.join(seconds)

    def _run(self) -> None:
        try:
            while not _room.acquire(timeout=0.2):
                self.report(WAITING)
            try:
                self.result = self._work(self)
            finally:
                _room.release()
        except Stopped:
            self.doing = "stopped"
        except Exception as fault:  # whatever it is, the page that waits for it must hear of it
            if not isinstance(fault, ValueError):
                logging.getLogger(__name__).error("%s", traceback.format_exc())
            self.fault = fault
        finally:
            self.done = True
