"""The program: `jaxmem VERB [override ...]`, with little to import before Ctrl-C is heard."""

from collections.abc import Sequence

from jaxmem import interruption


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the exit status is 0, 2 for bad input, 130 after an interruption.

    After `trace record` and `run` it is that of the program.

    Args:
        arguments: the words; None: those of this process, which is the program then.
    """
    if arguments is None:
        interruption.end_at_once()
    from jaxmem import dispatch

    return dispatch.main(arguments)
