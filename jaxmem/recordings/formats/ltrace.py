"""Logs of ltrace: `ltrace -f -o FILE -e malloc+free+calloc+realloc PROGRAM`.

`PROCESS FROM->malloc(101) = 0x55d0`, or in two lines where something else comes in between:
`malloc(101 <unfinished ...>` and `<... malloc resumed> ) = 0x55d0`. Before the call can stand a
time (-t, -r) and the address that it was made from (-i), which is taken for the call site. Threads
and processes are told by the same number; all are read as if they shared one memory.
"""

import re
from typing import Any, NamedTuple

from jaxmem.recordings.events import UNKNOWN_FREE, Events
from jaxmem.recordings.formats.calls import CALL_NAMES, NULL, REALLOCATIONS, arguments_of, take
from jaxmem.recordings.formats.format import Format
from jaxmem.recordings.lines import Lines
from jaxmem.recordings.recording import Recording
from jaxmem.recordings.source import Source

NEW = r"_Zn[wa][jm]\w*|operator new(?:\[\])?\([^()]*\)"
DELETE = r"_Zd[la]Pv\w*|operator delete(?:\[\])?\([^()]*\)|cfree"
NAME = rf"{'|'.join(CALL_NAMES)}|{NEW}|{DELETE}"
BEFORE = (
    r"(?:\[pid (?P<pid>\d+)\] +|(?P<thread>\d+) +)?(?:\d[\d:]*(?:\.\d+)? +)?"
    r"(?:\[0x(?P<site>[0-9a-f]+)\] +)?"
)
CALL = re.compile(
    rf"{BEFORE}(?:(?P<caller>[^\s()<>]+)->)?(?P<name>{NAME})(?:@[^\s()]+)?\((?P<arguments>[^()<>]*)"
    r"(?:<unfinished \.\.\.>|\) *= (?P<result>\S+)(?: <[\d.]+>)?)"
)
RESUMED = re.compile(
    rf"{BEFORE}<\.\.\. (?:[^\s()<>]+->)?(?P<name>{NAME}) resumed>[^=]*\) *= "
    r"(?P<result>\S+)(?: <[\d.]+>)?"
)
LTRACE_BEGINS = re.compile(
    rb"^[ \t]*(?:\[pid \d+\] +|\d+ +)?(?:\d[\d:]*(?:\.\d+)? +)?(?:\[0x[0-9a-f]+\] +)?"
    rb"(?:[^\s()<>]+->)?"
    rb"(?:malloc|calloc|realloc|free|_Zn[wa][jm]|operator new)[^\n=<>-]*"
    rb"(?:<unfinished \.\.\.>|\) *= )",
    re.MULTILINE,
)
NUMBER = re.compile(r"0x[0-9a-f]{1,16}|\d{1,20}")
NONE = ("nil", "(nil)", "NULL", "<void>")
CUT_OFF = "allocations whose address or size is not in the file, left out"
UNSEEN = "frees of blocks whose allocation is not in the file, left out"


class _Call(NamedTuple):
    """A call that has begun."""

    name: str  # as in CALL_NAMES
    arguments: list[Any]  # numbers; the block of a realloc can have another name meanwhile
    site: int | None  # an address, of this run only
    old: int = 0  # the address of that block


def read_ltrace(source: Source) -> Recording:
    events = Events(source)
    # Of each thread the calls that have begun: what they call in turn is a part of them.
    begun: dict[str, list[_Call]] = {}
    program = ""
    for text in Lines(source, log=True):
        if resumed := RESUMED.fullmatch(text):
            waiting = begun.get(_thread(resumed), [])
            if waiting and waiting[-1].name == _plain(resumed["name"]):
                call = waiting.pop()
                if not waiting:
                    _end(events, call, resumed["result"])
            continue
        line = CALL.fullmatch(text)
        if line is None:
            continue
        if line["caller"] and ".so" not in line["caller"]:
            program = program or line["caller"]
        site = int(line["site"], 16) if line["site"] else None
        call = _Call(_plain(line["name"]), _ltrace_numbers(line["arguments"]), site)
        waiting = begun.setdefault(_thread(line), [])
        if line["result"] is None:
            waiting.append(call if waiting else _begun(events, call, _thread(line)))
        elif not waiting:
            _end(events, call, line["result"])
    # What libraries allocate for themselves (strdup, getline) is freed by the program.
    events.counted[UNSEEN] = events.counted.pop(UNKNOWN_FREE, 0)
    return events.recording(program)


def _begun(events: Events, call: _Call, thread: str) -> _Call:
    """Returns the call that ends on a later line, once what it gives up is given up.

    Another thread can get that address before the call ends.
    """
    if call.name in REALLOCATIONS and call.arguments and call.arguments[0] in events.live:
        old, meanwhile = call.arguments[0], ("moving", thread)
        events.live[meanwhile] = events.live.pop(old)
        return call._replace(arguments=[meanwhile, *call.arguments[1:]], old=old)
    if call.name == "free" and call.arguments:
        take(events, "free", call.arguments, NULL)
        return call._replace(arguments=[NULL])
    return call


def _end(events: Events, call: _Call, result: str) -> None:
    numbers, address = call.arguments, _ltrace_number(result)
    if len(numbers) < arguments_of(call.name) or address is None or call.name == "posix_memalign":
        events.counted[CUT_OFF] += 1  # where posix_memalign puts its block, the log does not tell
        return
    take(events, call.name, numbers, address, call.site)
    if call.old and numbers[0] in events.live:  # it failed: the block is where it was
        events.live[call.old] = events.live.pop(numbers[0])


def _thread(line: re.Match[str]) -> str:
    return line["pid"] or line["thread"] or ""


def _plain(name: str) -> str:
    """Returns the name in C's allocator of what does the same."""
    if name in CALL_NAMES:
        return name
    return "malloc" if re.fullmatch(NEW, name) else "free"


def _ltrace_numbers(arguments: str) -> list[int]:
    """Reads the numbers that a call begins with; ltrace prints more than there are arguments."""
    numbers: list[int] = []
    for word in arguments.split(","):
        value = _ltrace_number(word.strip())
        if value is None:
            break
        numbers.append(value)
    return numbers


def _ltrace_number(word: str) -> int | None:
    if word in NONE:
        return NULL
    if not NUMBER.fullmatch(word):
        return None
    return int(word, 16) if word.startswith("0x") else int(word)


LTRACE = Format("ltrace", lambda head: LTRACE_BEGINS.search(head) is not None, read_ltrace)
