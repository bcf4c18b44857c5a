"""Ctrl-C and SIGTERM while a run is in the middle of something that must not be torn."""

import signal
import threading
from types import FrameType
from typing import Self


class Terminated(Exception):  # noqa: N818 (no error: it was asked for)
    """SIGTERM was heard; what there was to save is saved."""


class Stop:
    """Hears Ctrl-C and SIGTERM for as long as the `with` block lasts, and lets a loop ask for them.

    A second Ctrl-C interrupts at once. Outside the main thread nothing is heard: Python delivers
    signals there only.
    """

    def __init__(self) -> None:
        self.heard: signal.Signals | None = None
        self._before: dict[signal.Signals, signal._HANDLER] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                before = signal.getsignal(number)
                # What is ignored stays ignored, as in a shell's background jobs.
                if before is not signal.SIG_IGN:
                    self._before[number] = before
                    signal.signal(number, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.heard is signal.SIGINT and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.heard = signal.Signals(number)
