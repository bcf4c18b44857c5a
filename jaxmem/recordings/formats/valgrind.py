"""Logs of `valgrind --trace-malloc=yes`: a line for each call of malloc, free and their like.

The log holds other things too: what valgrind says, and what the program prints where both go to
the same place. They are passed over, but for the total that memcheck ends with, which is compared
with what the log has shown.

How a call is written depends on the version (coregrind/m_replacemalloc/vg_replace_malloc.c): older
ones label alignments, `memalign(al 64, size 100)`, newer ones do not, and have sizes in frees; the
older ones have the malloc that a realloc of nothing comes to on its line; some between (3.21 to
3.25) tell no result of posix_memalign and aligned_alloc.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from jaxmem.recordings.events import FAILED_ALLOCATIONS, UNKNOWN_FREE, Events
from jaxmem.recordings.formats.format import Format
from jaxmem.recordings.lines import Lines
from jaxmem.recordings.recording import Recording
from jaxmem.recordings.source import Source, quoted

# As in --71-- malloc(24) = 0x4A9C040, and with --time-stamp=yes --00:00:00:00.322 71-- malloc(24).
STAMP = r"(?:\d\d:\d\d:\d\d:\d\d\.\d{3} +)?"
PREFIX = re.compile(rf"--{STAMP}(\d{{1,10}})-- (?=\w+\()")
CALL = re.compile(r"(\w+)\(([^()]*)(?:\([^()]*\))?\)(?: = (0x[0-9A-Fa-f]{1,16}|0\b))?")
SAYS = re.compile(rf"=={STAMP}(\d{{1,10}})== (.*)")
VALGRIND_BEGINS = re.compile(
    rf"^(?:--{STAMP}\d+-- \w+\([^()\n]*\)"
    rf"|=={STAMP}\d+== (?:Memcheck, |Using Valgrind-|Command:))".encode(),
    re.MULTILINE,
)
TOTAL = re.compile(
    r" *total heap usage: (\d[\d,]{0,30}) allocs, (\d[\d,]{0,30}) frees, (\d[\d,]{0,30}) bytes"
)
COMMAND_LINE = "Command: "

# What calls do, by their names; on macOS each may have a zone before its other arguments.
SIZE_FIRST, SIZE_LAST, PRODUCT, REALLOC, FREE, NO_EVENT = range(6)
BLOCK_KINDS = (
    (SIZE_FIRST, r"p?valloc|malloc(_type)?(_zone)?(_malloc)?|__builtin_\w*new\w*|_Zn[wa]\w+"),
    (SIZE_LAST, r"(posix_|zone_)?memalign|aligned_alloc"),
    (PRODUCT, r"(zone_)?calloc"),
    (REALLOC, r"(zone_)?realloc(f|array)?"),
    (FREE, r"[cv]?free|free(_aligned)?_sized|malloc_zone_free|__builtin_\w*delete\w*|_Zd[la]Pv\w*"),
    (NO_EVENT, r"malloc_usable_size|malloc_size|mallinfo2?|mallopt|malloc_(trim|stats)"),
)
ZONED = re.compile(r"zone_\w+|malloc_(type_)?zone_\w+")

ADDRESS = re.compile(r"0x[0-9A-Fa-f]{1,16}")
NUMBER = re.compile(r"(?:(size|al|alignment) )?(\d{1,40})")
NULL = 0
MOST_NAMES = 8  # of unknown functions that are named
OTHER_PROCESS = "lines of other processes, left out"
BROKEN = "allocations whose result is not in the file, left out"
NEVER_SHOWN = "frees of blocks that the log never shows, left out"
UNKNOWN = "calls of {}, which is no function known here, left out"
OTHERS = "calls of further unknown functions, left out"
TOO_FEW = "{} in valgrind's own total that the log does not show"
TOO_MANY = "{} that the log shows beyond valgrind's own total"
WITHOUT = (
    "a valgrind log without --trace-malloc=yes, which shows no single call; run valgrind "
    "--trace-malloc=yes --log-file=heap.log PROGRAM (memcheck, the tool that runs by default)"
)


class _Sum(NamedTuple):
    """The sum of the calls of a log."""

    allocations: int = 0
    frees: int = 0
    bytes: int = 0

    def plus(self, allocations: int = 0, frees: int = 0, bytes: int = 0) -> "_Sum":
        return _Sum(self.allocations + allocations, self.frees + frees, self.bytes + bytes)


def read_valgrind(source: Source) -> Recording:
    log = _Log(source)
    for text in Lines(source, log=True):
        prefix = PREFIX.search(text)
        if prefix is not None:
            log.calls(prefix[1], text, prefix.end())
        elif says := SAYS.match(text):
            log.says(says[1], says[2])
    return log.recording()


class _Log:
    """The calls of one process, and what valgrind says of it."""

    def __init__(self, source: Source) -> None:
        self.source, self.events = source, Events(source)
        self.process = ""  # the first one with a call
        self.spoken = False  # valgrind has said something
        self.begun: set[str] = set()  # processes whose beginning is in the log
        self.programs: dict[str, str] = {}
        self.totals: dict[str, _Sum] = {}  # by valgrind's own count
        self.shown, self.failed = _Sum(), _Sum()  # failed: of reallocs only
        self.untold = 0  # blocks whose address was not told and whose end was not met
        self.names: set[str] = set()  # unknown functions

    def says(self, process: str, text: str) -> None:
        """Takes what valgrind says of a process."""
        self.spoken = True
        if text.startswith(COMMAND_LINE):
            self.programs.setdefault(process, text.removeprefix(COMMAND_LINE))
            self.begun |= {process} if not self.process else set()
        elif total := TOTAL.match(text):
            self.totals[process] = _Sum(*(int(part.replace(",", "")) for part in total.groups()))

    def calls(self, process: str, text: str, at: int) -> None:
        """Takes the calls on a line, which follow each other from `at` on."""
        self.process = self.process or process
        if process != self.process:
            self.events.counted[OTHER_PROCESS] += 1
            return
        call = CALL.match(text, at)
        while call is not None:
            following = CALL.match(text, call.end())
            self._call(call[1], call[2], call[3], following is not None)
            call = following

    def recording(self) -> Recording:
        """Returns the recording; raises TraceError if there is no call, or none that allocates."""
        if not self.process and self.spoken and not self._is_idle():
            raise self.source.fault(WITHOUT, 1)
        counted = self.events.counted
        if self.process in self.begun:
            counted[NEVER_SHOWN] = counted.pop(UNKNOWN_FREE, 0)
        if self.process in self.totals:
            self._compare(self.totals[self.process])
        program = self.programs.get(self.process) or next(iter(self.programs.values()), "")
        return self.events.recording(program)

    def _is_idle(self) -> bool:
        """Tells whether valgrind says that nothing was allocated at all."""
        return any(total.allocations == 0 for total in self.totals.values())

    def _compare(self, total: _Sum) -> None:
        """Notes where valgrind counts other sums; reallocs that failed may be among its own."""
        what = ("allocations", "frees", "bytes")
        for name, told, shown_here, failed in zip(
            what, total, self.shown, self.failed, strict=True
        ):
            if told > shown_here + failed:
                self.events.counted[TOO_FEW.format(name)] = told - shown_here
            elif told < shown_here:
                self.events.counted[TOO_MANY.format(name)] = shown_here - told

    def _call(self, name: str, arguments: str, result: str | None, followed: bool) -> None:
        """Does to the blocks what one call does."""
        kind, zoned = _kind(name)
        parts = [part.strip() for part in arguments.split(",")][zoned:]
        if kind == FREE:
            self._free(_address(parts[0] if parts else ""))
        elif kind == REALLOC:
            self._reallocate(parts, result, followed)
        elif kind in (SIZE_FIRST, SIZE_LAST, PRODUCT):
            self._allocate(_bytes_of(kind, parts), result)
        elif kind != NO_EVENT:
            known = name in self.names or len(self.names) < MOST_NAMES
            self.names |= {name} if known else set()
            self.events.counted[UNKNOWN.format(quoted(name)) if known else OTHERS] += 1

    def _allocate(self, size: int | None, result: str | None) -> None:
        if size is None or result is None:
            self._break()
        elif _address(result) == NULL:
            self.events.counted[FAILED_ALLOCATIONS] += 1
        else:
            self.events.allocate(_address(result), size)
            self.shown = self.shown.plus(1, bytes=size)

    def _free(self, block: int) -> None:
        if block == NULL:
            return
        if not self._is_untold(block):
            self.events.free(block)
        self.shown = self.shown.plus(frees=1)

    def _break(self) -> None:
        self.events.counted[BROKEN] += 1
        self.untold += 1

    def _is_untold(self, block: int) -> bool:
        """Tells whether a block that ends can be one whose address was not told."""
        untold = self.untold > 0 and block not in self.events.live
        self.untold -= untold
        return untold

    def _reallocate(self, parts: list[str], result: str | None, followed: bool) -> None:
        block, size = _address(parts[0] if parts else ""), _product(parts[1:])
        if result is None and followed and (block == NULL or size == 0):
            return  # it comes to a malloc or a free, which is on the line too
        if block == NULL:
            self._allocate(size, result)
        elif size is None or result is None:
            self._free(block)  # it has moved
            self._break()
        elif _address(result) != NULL:
            if self._is_untold(block):
                self.events.allocate(_address(result), size)
            else:
                self.events.reallocate(block, _address(result), size)
            self.shown = self.shown.plus(1, 1, size or 1)  # so does memcheck count
        elif size == 0:
            self._free(block)
        else:
            self.events.counted[FAILED_ALLOCATIONS] += 1
            self.failed = self.failed.plus(1, 1, size)  # which memcheck counts


@lru_cache(maxsize=256)
def _kind(name: str) -> tuple[int | None, bool]:
    """Tells what calls of a function do, None if unknown, and whether a zone comes first."""
    kind = next((kind for kind, names in BLOCK_KINDS if re.fullmatch(names, name)), None)
    return kind, ZONED.fullmatch(name) is not None


def _bytes_of(kind: int, parts: list[str]) -> int | None:
    """Reads the bytes that a call asks for; None where they cannot be told."""
    if kind == PRODUCT:
        return _product(parts)
    numbers = [number for part in parts if (number := NUMBER.fullmatch(part))]
    labelled = [int(number[2]) for number in numbers if number[1] == "size"]
    plain = [int(number[2]) for number in numbers if number[1] is None]
    sizes = labelled or plain
    if not sizes:
        return None
    return sizes[-1] if kind == SIZE_LAST else sizes[0]


def _product(parts: list[str]) -> int | None:
    """Reads the bytes of one number, or of so many things of a size; None for neither."""
    numbers = [int(number[2]) for part in parts if (number := NUMBER.fullmatch(part))]
    if len(numbers) != len(parts) or not 1 <= len(numbers) <= 2:
        return None
    return numbers[0] * numbers[-1] if len(numbers) == 2 else numbers[0]


def _address(text: str) -> int:
    """Reads the number that an address is; 0 for what is none."""
    return int(text, 16) if ADDRESS.fullmatch(text) else NULL


VALGRIND = Format("valgrind", lambda head: VALGRIND_BEGINS.search(head) is not None, read_valgrind)
