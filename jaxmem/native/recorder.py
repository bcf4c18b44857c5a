"""Runs a program under the recorder in `recorder.c`, which is loaded into it."""

from collections.abc import Sequence
from pathlib import Path

from jaxmem.native.build import built
from jaxmem.native.preload import preloaded_words

DEPTH = 4  # return addresses of a call site: eight foretell little more, one is that of a wrapper
MOST_DEPTH = 32


def recorder_words(
    log: str, command: Sequence[str], depth: int = DEPTH, children: bool = False
) -> list[str]:
    """Returns the command line that runs a command and records it.

    Args:
        log: the file that is written; of its children `log`.PROCESS.
        command: the program, by its path, and its arguments.
        depth: return addresses of a call site, 0 to MOST_DEPTH.
        children: whether programs that it starts are recorded too.

    Raises:
        UsageError: the recorder cannot be had on this machine.
    """
    variables = {
        "JAXMEM_RECORDING": Path(log).absolute(),
        "JAXMEM_DEPTH": depth,
        "JAXMEM_CHILDREN": int(children),
    }
    return preloaded_words(str(built("recorder")), variables, command)
