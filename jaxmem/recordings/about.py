"""Facts about a recording beside its requests: where it came from, and on what terms."""

from dataclasses import dataclass


@dataclass(frozen=True)
class About:
    """The origin of a recording; an empty text or 0 where the file does not tell."""

    program: str = ""  # what was recorded, as a command line or a name
    format: str = ""  # of the file that it was imported from
    units: str = "bytes"  # of sizes
    file: str = ""  # name of the file that it was imported from, without its folder
    notes: tuple[str, ...] = ()  # what was left out or changed, each with its count
    licence: str = ""  # what may be done with it, in the words of who imported it
    reserved: int = 0  # bytes its own allocator had from the system at most; 0: not told
