"""Ctrl-C before a command has begun: nothing is made that would have to be tidied up."""

import os
import signal
from types import FrameType


def end_at_once() -> None:
    """Lets Ctrl-C end this process, with status 130, up to `hear_again`.

    While modules are imported an exception would end up anywhere, and be swallowed there or become
    a traceback. Where Ctrl-C is ignored, as in a shell's background jobs, it stays so.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end_at_once)


def hear_again() -> None:
    """Has Ctrl-C raise KeyboardInterrupt again: the command begins."""
    if signal.getsignal(signal.SIGINT) is _end_at_once:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end_at_once(number: int, frame: FrameType | None) -> None:
    del number, frame
    os.write(2, b"jaxmem: interrupted\n")
    os._exit(130)
