"""An exported policy, compiled and called from Python: what it would do in runs that are known."""

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxmem.arena.arena import NOWHERE
from jaxmem.export.c_source import COMPILER_OPTIONS, SOURCE
from jaxmem.export.holes import HolesSeen
from jaxmem.native.build import c_compiler, compile_library
from jaxmem.recordings import Recording
from jaxmem.recordings.profile import CONTEXTS
from jaxmem.recordings.replay import ReplayEvents

BY_HOLES = -1  # in place of a fit: the holes have to be seen
_U32, _U64 = ctypes.c_uint32, ctypes.c_uint64


class _Arena(ctypes.Structure):
    _fields_ = [(name, _U32) for name in ("units", "live_units", "live_blocks", "cursor")]


class _Request(ctypes.Structure):
    _fields_ = [
        *(("size", _U32), ("foretold", _U32), ("died", ctypes.c_float)),
        *(("lived", ctypes.c_float), ("usual", ctypes.c_float), ("begins", _U32)),
        *(("excepted", _U32), ("planned", ctypes.c_int32)),
    ]


class _Block(ctypes.Structure):
    _fields_ = [("kind", _U32), ("born", _U32)]


class _State(ctypes.Structure):
    _fields_ = [
        *(("alignment", _U32), ("sites", _U32), ("requests", _U64)),
        *(("recent", _U64 * max(CONTEXTS)), ("context", _U64 * len(CONTEXTS))),
        *(("sizes", ctypes.c_double), ("unit", ctypes.c_float), ("freed", _U32)),
        *(("kinds", ctypes.c_void_p), ("room", _U32), ("used", _U32)),
        ("memory", ctypes.c_void_p),
    ]


_KIND = np.dtype([("site", "u8"), ("bytes", "u8"), ("lived", "f8"), ("died", "u8")])
REQUEST: np.dtype = np.dtype(_Request)


class CSituation(NamedTuple):
    """One that a policy chooses in: it can be given to it again."""

    request: np.ndarray  # of `REQUEST`
    arena: tuple[int, int, int, int]  # units, live units, live blocks, cursor
    holes: np.ndarray  # int32[N, 2]  low and high, by address


class Followed(NamedTuple):
    """What a policy says of each of R requests, in arenas in which others have placed."""

    choice: np.ndarray  # int64[R]  the start of the block, or NOWHERE; above all in one that grows
    fit: np.ndarray  # int32[R]  its fit, or BY_HOLES
    request: np.ndarray  # [R] of `REQUEST`  what is known of it
    situations: list[CSituation]  # those that were asked for


class CalledPolicy:
    """The policy of a folder that `to=c` has written."""

    def __init__(
        self, folder: Path, *, options: Sequence[str] = (), more: Sequence[Path] = ()
    ) -> None:
        """Compiles and loads it.

        Args:
            options: for the compiler, after those that are advised.
            more: sources that are compiled with it.
        Raises:
            UsageError: there is no compiler, or it fails.
        """
        library = folder / "policy.so"
        words = (*COMPILER_OPTIONS, f"-I{folder}", *options, *map(str, more))
        words = (*words, "-fPIC", "-shared", "-lm")
        compile_library(c_compiler(), folder / SOURCE, library, words)
        self.library = ctypes.CDLL(str(library))
        self.library.jaxmem_choose.restype = ctypes.c_int64
        self.name = ctypes.string_at(
            ctypes.addressof(ctypes.c_char.in_dll(self.library, "jaxmem_policy_name"))
        ).decode()
        self.kind = ctypes.c_int.in_dll(self.library, "jaxmem_policy_kind").value
        self.needs = ctypes.c_uint.in_dll(self.library, "jaxmem_policy_needs").value
        self.memory = ctypes.c_size_t.in_dll(self.library, "jaxmem_policy_memory").value

    def choose(self, situation: CSituation) -> int:
        """Returns the start of the block, or NOWHERE."""
        request = _Request.from_buffer_copy(situation.request.tobytes())
        arena, holes = _Arena(*situation.arena), np.ascontiguousarray(situation.holes, np.int32)
        return self.library.jaxmem_choose(
            ctypes.byref(request), ctypes.byref(arena), pointer(holes), len(holes)
        )

    def follow(
        self,
        events: ReplayEvents,
        cells: int,
        start: np.ndarray,
        keep: Sequence[int] = (),
        room: int | None = None,
    ) -> Followed:
        """Asks it at every request of a run, in an arena of `cells` units.

        Args:
            cells: 0: it grows.
            start: int64[R]  where the blocks do go, NOWHERE: nowhere.
            keep: requests of which the situations are wanted.
            room: entries of the table of kinds, a power of two; None: enough.
        """
        recording, kept = events.recording, set(keep)
        block, request = _Block(), _Request()
        state, kinds = new_memory(recording.requests, room)
        site, sites = request_columns(recording)
        memory = np.zeros(self.memory, np.uint8)
        given = (pointer(kinds), len(kinds), pointer(memory))
        self.library.jaxmem_begin(ctypes.byref(state), events.alignment, sites, *given)
        size, units = recording.size.tolist(), events.units.tolist()
        holes, arena = HolesSeen(cells, recording.requests + 1), _Arena(cells, 0, 0, 0)
        blocks: dict[int, tuple[int, int]] = {}
        choice = np.full(len(start), NOWHERE)
        fit, known = np.zeros(len(start), np.int32), np.zeros(len(start), REQUEST)
        situations, starts, keys = [], start.tolist(), site.tolist()
        told = [ctypes.byref(each) for each in (state, request, block, arena)]
        for frees, now in zip(events.frees.tolist(), events.request.tolist(), strict=True):
            at, length = starts[now], units[now]
            if frees:
                self.library.jaxmem_freed(told[0], _Block(*blocks.pop(now)))
                if at >= 0:
                    holes.free(at, at + length)
            else:
                self.library.jaxmem_asked(told[0], _U64(keys[now]), _U64(size[now]), *told[1:3])
                blocks[now] = block.kind, block.born
                known[now] = np.frombuffer(ctypes.string_at(told[1], REQUEST.itemsize), REQUEST)[0]
                there = holes.all
                fit[now] = self.library.jaxmem_fit(told[1], told[3])
                chosen = self.library.jaxmem_choose(told[1], told[3], pointer(there), len(there))
                choice[now] = holes.above if chosen < 0 and not cells else chosen
                if now in kept:
                    about = arena.units, arena.live_units, arena.live_blocks, arena.cursor
                    situations.append(CSituation(known[now].copy(), about, there.copy()))
                if at >= 0:
                    holes.take(at, at + length)
                    arena.cursor = at + length
            if at >= 0:
                arena.live_units += -length if frees else length
                arena.live_blocks += -1 if frees else 1
        return Followed(choice, fit, known, situations)


def new_memory(requests: int, room: int | None = None) -> tuple[ctypes.Structure, np.ndarray]:
    """Returns what a caller has to keep: a state, and a table of kinds, for so many requests."""
    return _State(), np.zeros(room or 2 ** (1 + requests.bit_length()), _KIND)


def request_columns(recording: Recording) -> tuple[np.ndarray, bool]:
    """Returns the call site of each request as a policy takes it, uint64[R], and if it is a key."""
    if recording.site_key is not None:
        return recording.site_key.astype(np.uint64), True
    none = np.zeros(recording.requests, np.uint64)
    return none if recording.site is None else (recording.site + 1).astype(np.uint64), False


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    """Returns where the memory of an array begins."""
    return ctypes.c_void_p(array.ctypes.data)
