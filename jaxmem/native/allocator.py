"""Runs a program under the allocator in `allocator.c`, with a policy that is compiled into it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxmem.native.build import OPTIONS, built
from jaxmem.native.preload import preloaded_words

BY_LENGTH, BY_ADDRESS, LISTED = 1, 2, 4  # what the table keeps of holes, as table.h has it
POLICY = "jaxmem_policy.c"  # which allocator.c includes
POLICY_OPTIONS = ("-fno-math-errno",)


@dataclass(frozen=True)
class LiveArena:
    """Where a program's blocks are placed."""

    units: int  # 0: it grows
    unit: int  # bytes, a power of two from 16 to 4,096
    least: int  # bytes, of the smallest request that is placed
    least_alignment: int = 0  # bytes, of the smallest alignment of one; 0: any


def allocator_words(
    log: str, policy: str, kept: int, arena: LiveArena, command: Sequence[str], depth: int
) -> list[str]:
    """Returns the command line that runs a command under a policy.

    Args:
        log: the file that is written.
        policy: its C source, as `jaxmem.export` makes it.
        kept: what of BY_LENGTH, BY_ADDRESS and LISTED its fits ask for, together.
        command: the program, by its path, and its arguments.
        depth: return addresses of a call site; 0: none are known.

    Raises:
        UsageError: the allocator cannot be had on this machine.
    """
    options = (*OPTIONS, *POLICY_OPTIONS, f"-DKEPT={kept}")
    library = built("allocator", options, {POLICY: policy})
    variables = {
        "JAXMEM_LIVE": Path(log).absolute(),
        "JAXMEM_ARENA": arena.units,
        "JAXMEM_UNIT": arena.unit,
        "JAXMEM_LEAST": arena.least,
        "JAXMEM_ALIGNED": arena.least_alignment,
        "JAXMEM_DEPTH": depth,
    }
    return preloaded_words(str(library), variables, command)
