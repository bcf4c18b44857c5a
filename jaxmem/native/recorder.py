"""Runs a program under the recorder in `recorder.c`, which is loaded into it."""

from collections.abc import Sequence
from pathlib import Path

from jaxmem.native.build import built

DEPTH = 4  # return addresses of a call site: eight foretell little more, one is that of a wrapper
MOST_DEPTH = 32
# The shell becomes the program, so that its number is the program's; it is not recorded itself.
# What the user has loaded into programs is loaded too, after the recorder.
_SHELL = (
    "JAXMEM_RECORDING=$1 JAXMEM_DEPTH=$2 JAXMEM_CHILDREN=$3 JAXMEM_PROCESS=$$; "
    "LD_PRELOAD=$4${LD_PRELOAD:+:$LD_PRELOAD}; "
    "export JAXMEM_RECORDING JAXMEM_DEPTH JAXMEM_CHILDREN JAXMEM_PROCESS LD_PRELOAD; "
    'shift 4; exec "$@"'
)


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
    library = str(built("recorder"))
    options = [str(Path(log).absolute()), str(depth), str(int(children)), library]
    return ["/bin/sh", "-c", _SHELL, "sh", *options, *command]
