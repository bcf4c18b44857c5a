"""Long work beside a page: it waits for its turn, tells how far it is, and ends when it should.

It is done in a process of its own (`jaxmem.app.worker`): the page answers meanwhile, and work that
nobody waits for any more is ended even while something is being compiled.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from jaxmem.app.pool import GONE, POOL, WORKERS, Worker
from jaxmem.app.worker import Stopped

TICK = 0.2  # seconds between two looks at what has changed
AWAY = 2.5  # seconds after which a visitor who is not there has gone; until then, a lost connection
GRACE = 1.5  # seconds in which work that was asked to stop may do so by itself


class Job:
    """One piece of work, and what is known of it."""

    def __init__(
        self,
        what: str,
        work: str,
        *arguments: object,
        present: Callable[[], bool] = lambda: True,
    ) -> None:
        """Has it done as soon as there is room.

        Args:
            what: it is, for others who wait: "a comparison".
            work: the full name of a function, which this process need not import; it is given a
                `jaxmem.app.worker.Watched`, then these arguments, which are plain data.
            present: whether there is somebody who waits for it; without, it ends soon.
        """
        self.what = what
        self.doing = "starting"
        self.share: float | None = None  # 0 .. 1 of the work, where that is known
        self.news: list[object] = []  # handed over before the end
        self.result: Any = None
        self.refusal = ""  # why it was not done, in a sentence
        self.fault = ""  # the kind of error that nobody foresaw
        self.done = False
        self.keeps = False  # asked to stop, it comes to a result all the same
        self._work, self._arguments, self._present = work, arguments, present
        self._asked = threading.Event()
        self._seen = time.monotonic()  # when somebody waited for it last
        self._until: float | None = None  # when it must have reported again
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Asks it to stop; it ends soon, whatever it is doing, unless it keeps what it has."""
        self._asked.set()

    @property
    def stopping(self) -> bool:
        """Tells whether somebody has asked for that."""
        return self._asked.is_set()

    @property
    def deserted(self) -> bool:
        """Tells whether nobody waits for it any more."""
        return time.monotonic() - self._seen > AWAY

    def wait(self, seconds: float) -> None:
        """Waits until it is done, so long at most."""
        self._thread.join(seconds)

    def _run(self) -> None:
        try:
            QUEUE.enter(self)
            worker = POOL.take()
            try:
                worker.order(self._work, *self._arguments)
                self._arguments = ()  # an upload is not kept
                self._follow(worker)
            except BaseException:
                worker.kill()
                raise
        except Stopped:
            self.doing = "stopped"
        except Exception as error:  # whatever it is, the page that waits must hear of it
            logging.getLogger(__name__).exception("%s", self.what)
            self.fault = type(error).__name__
        finally:
            QUEUE.leave(self)
            self.done = True

    def _follow(self, worker: Worker) -> None:
        """Hears what the worker says until its last word; raises Stopped where that will not come.

        The worker is then given back; if it raises, it is still at work.
        """
        asked: float | None = None  # when the worker was asked to stop
        while True:
            message = worker.hear(TICK)
            if message is not None and self._heard(worker, *message):
                return
            self.look()
            now = time.monotonic()
            if self.stopping and asked is None:
                worker.stop()
                asked = now
            if asked is not None and now - asked > GRACE and (self.deserted or not self.keeps):
                raise Stopped
            if self._until is not None and now > self._until:
                self.refusal = f"This took too long and was ended: {self.doing.rstrip(' …')}."
                raise Stopped

    def look(self) -> None:
        """Asks it to stop if nobody waits for it any more."""
        if self._present():
            self._seen = time.monotonic()
        elif self.deserted:
            self.stop()

    def _heard(self, worker: Worker, kind: str, *words: Any) -> bool:
        """Takes note of a message; whether it was the last."""
        if kind == "report":
            self.doing, self.share, self.keeps, within = words
            self._until = None if within is None else time.monotonic() + within
            return False
        if kind == "news":
            self.news.append(words[0])
            return False
        memory = 0
        if kind == "result":
            self.result, memory = words
        elif kind == "refused":
            self.refusal, memory = words
        elif kind == "failed":
            self.fault, trace = words
            logging.getLogger(__name__).error("%s", trace)
        elif kind == GONE:
            self.refusal = f"The process that worked on this has ended: {self.doing.rstrip(' …')}."
            raise Stopped
        else:
            self.doing = "stopped"
        POOL.give_back(worker, memory)
        return True


class Queue:
    """Work that waits for its turn, the first to come first."""

    def __init__(self) -> None:
        self._working: list[Job] = []
        self._waiting: list[Job] = []
        self._changed = threading.Condition()

    def enter(self, job: Job) -> None:
        """Waits until it is the turn of this job, which is told where it stands.

        Raises:
            Stopped: the job was asked to stop meanwhile, or nobody waits for it any more.
        """
        with self._changed:
            self._waiting.append(job)
            while self._waiting[0] is not job or len(self._working) >= WORKERS:
                job.doing = self._told(self._waiting.index(job) + 1)
                self._changed.wait(TICK)
                job.look()
                if job.stopping:
                    raise Stopped
            self._waiting.remove(job)
            self._working.append(job)
            job.doing = "starting"
            self._changed.notify_all()

    def leave(self, job: Job) -> None:
        """Makes room for the next; also for a job that has not come so far."""
        with self._changed:
            for line in (self._waiting, self._working):
                if job in line:
                    line.remove(job)
            self._changed.notify_all()

    def _told(self, place: int) -> str:
        now = "; ".join(
            f"{job.what} ({job.doing.rstrip(' …')}"
            + (f", {job.share:.0%})" if job.share is not None else ")")
            for job in self._working
        )
        return f"waiting, number {place} in the queue; now: {now}"


QUEUE = Queue()
