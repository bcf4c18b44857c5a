"""Command lines that run a program with a library loaded into it, ahead of all others."""

from collections.abc import Mapping, Sequence

# The shell becomes the program, so that its number is the program's; nothing is loaded into it.
# What the user has loaded into programs is loaded too, after ours.
_SHELL = (
    "JAXMEM_PROCESS=$$; LD_PRELOAD=$1${LD_PRELOAD:+:$LD_PRELOAD}; "
    'export JAXMEM_PROCESS LD_PRELOAD; shift; exec "$@"'
)


def preloaded_words(
    library: str, variables: Mapping[str, object], command: Sequence[str]
) -> list[str]:
    """Returns the command line that runs a command with a library.

    Args:
        variables: of the environment, that tell the library what to do; JAXMEM_PROCESS is told it
            besides, the number of the process that is meant.
        command: the program, by its path, and its arguments.
    """
    told = (f"{name}={value}" for name, value in variables.items())
    return ["/usr/bin/env", *told, "/bin/sh", "-c", _SHELL, "sh", library, *command]
