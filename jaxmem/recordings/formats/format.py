"""The parts of a format of trace files: its name, how it is told, how it is read."""

from collections.abc import Callable
from typing import NamedTuple

from jaxmem.recordings.recording import Recording
from jaxmem.recordings.source import Source


class Format(NamedTuple):
    """A kind of trace file."""

    name: str  # as in format=NAME
    told_by: Callable[[bytes], bool]  # whether a file that begins so, unpacked, is of this format
    read: Callable[[Source], Recording]
    from_strangers: bool = True  # reading it is safe whatever is in it
    alignment: int = 16  # bytes to which the allocators of such programs round sizes
