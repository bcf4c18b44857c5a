"""What is to be planned: blocks whose lifetimes are known, some pinned, some with an alignment."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from jaxmem.recordings.packing import check_packing, deaths_of
from jaxmem.recordings.recording import Recording
from jaxmem.recordings.replay import units_of

UNPINNED = -1  # the offset of a block that is not pinned
MOST_BUFFER_ALIGNMENT = 2**40  # bytes
MOST_PLAN_UNITS = 2**60  # that are live at once, and where a pinned block ends: sums stay in int64


@dataclass(frozen=True, eq=False)
class PlanTask:
    """The blocks of a recording, in units of `alignment` bytes."""

    recording: Recording
    alignment: int  # bytes in a unit
    pinned: np.ndarray  # int64[R]  units, UNPINNED where the block may lie anywhere
    multiple: np.ndarray  # int64[R]  units, a power of two that the block's offset is a multiple of

    @cached_property
    def size(self) -> np.ndarray:
        """int64[R] units."""
        return units_of(self.recording, self.alignment)

    @cached_property
    def birth(self) -> np.ndarray:
        """int64[R]: the request that each block is."""
        return np.arange(self.recording.requests, dtype=np.int64)

    @cached_property
    def death(self) -> np.ndarray:
        """int64[R]: the request before which each block is freed."""
        return deaths_of(self.recording)

    @cached_property
    def peak_live(self) -> int:
        """The most units that are live at once."""
        units = Recording(self.recording.name, self.size, self.recording.lifetime)
        return units.peak_live

    @cached_property
    def lower_bound(self) -> int:
        """Units below which no packing is: what is live at once, and what is pinned."""
        fixed = self.pinned >= 0
        return max(self.peak_live, int((self.pinned + self.size)[fixed].max(initial=0)))


def plan_task(recording: Recording, alignment: int) -> PlanTask:
    """Makes the task; what a file of buffers has as `offset` pins, and as `alignment` aligns.

    Raises:
        ValueError: an alignment or an offset is none, an offset is no multiple of the alignment or
            is beyond what there may be; two pinned blocks overlap; too much is live at once.
    """
    pinned = np.full(recording.requests, UNPINNED, np.int64)
    multiple = np.ones(recording.requests, np.int64)
    written = recording.written
    if written is not None:
        for number, text in enumerate(written.alignment):
            if text:
                multiple[number] = max(1, _alignment(written.id[number], text) // alignment)
        for number, text in enumerate(written.offset):
            if text:
                pinned[number] = _offset(recording, alignment, written.id[number], text, number)
                if pinned[number] % multiple[number]:
                    raise ValueError(
                        f"buffer {written.id[number]} is pinned at {text}, which is no multiple of "
                        f"its alignment {written.alignment[number]}"
                    )
    task = PlanTask(recording, alignment, pinned, multiple)
    if task.peak_live > MOST_PLAN_UNITS:
        raise ValueError(
            f"{recording.name} has {task.peak_live:,} units of {alignment:,} bytes live at once; "
            "at most 2^60 can be planned: take a larger alignment"
        )
    _check_pins(task)
    return task


def _alignment(name: str, text: str) -> int:
    """Reads what the offset of a block is a multiple of, in bytes."""
    value = int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else 0
    if value.bit_count() != 1 or value > MOST_BUFFER_ALIGNMENT:
        raise ValueError(
            f"buffer {name} has the alignment {text[:40]!r}; a power of two from 1 to 2^40 bytes, "
            "or nothing"
        )
    return value


def _offset(recording: Recording, alignment: int, name: str, text: str, number: int) -> int:
    """Reads where a block is pinned, in units."""
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(
            f"buffer {name} has the offset {text!r}; a whole number of bytes from 0 pins it, and "
            "nothing does not"
        )
    offset = int(text[:40])
    if offset % alignment:
        raise ValueError(
            f"buffer {name} is pinned at {offset:,}, which is no multiple of alignment={alignment}"
        )
    if offset + int(recording.size[number]) > MOST_PLAN_UNITS * alignment:
        raise ValueError(
            f"buffer {name} is pinned at {offset:,}; a buffer ends at 2^60 units of {alignment:,} "
            "bytes at most"
        )
    return offset // alignment


def _check_pins(task: PlanTask) -> None:
    """Raises ValueError, with their ids, where two pinned blocks overlap."""
    fixed = np.flatnonzero(task.pinned >= 0)
    if not len(fixed):
        return
    # As a recording of their own: counted among themselves, each dies where it did.
    death = np.searchsorted(fixed, task.death[fixed])
    try:
        check_packing(task.pinned[fixed], task.size[fixed], death)
    except ValueError as error:
        written = task.recording.written
        assert written is not None  # from where they are pinned
        words = [
            written.id[fixed[int(word)]] if word.isdecimal() else word
            for word in str(error).split()
        ]
        raise ValueError(f"pinned {' '.join(words)}") from None
