"""Logs of Firefox's logalloc: `MALLOC_LOG=FILE` in the environment of Firefox.

`PROCESS THREAD malloc(32)=0x7f90495120e0`, a line for each call; logs of before 2014 have no
thread, and those that logalloc_munge.py has prepared have #1, #2 in place of addresses. A log has
several processes, which share no memory; the first one is read, as logalloc-replay does.
"""

import re

from jaxmem.recordings.events import OTHER_LINES, Events
from jaxmem.recordings.formats.calls import CALL_NAMES, arguments_of, take
from jaxmem.recordings.formats.format import Format
from jaxmem.recordings.lines import Lines
from jaxmem.recordings.recording import Recording
from jaxmem.recordings.source import Source

VALUE = r"#\d{1,18}|(?:0x)?[0-9A-Fa-f]{1,16}|\(nil\)"
LINE = re.compile(
    rf"(?P<process>\d{{1,10}}) (?:\d{{1,20}} )?(?P<name>{'|'.join(CALL_NAMES)})"
    rf"\((?P<arguments>(?:{VALUE}|\d{{1,20}})?(?:,\d{{1,20}})*)\)(?:=(?P<result>{VALUE}))?"
)
STATISTICS = re.compile(r"\d{1,10} (?:\d{1,20} )?jemalloc_stats\(\)")
LOGALLOC_BEGINS = re.compile(
    rf"^\d{{1,10}} (?:\d{{1,20}} )?(?:(?:{'|'.join(CALL_NAMES[:-1])})\([#\w,]*\)=[#(0-9A-Fa-f]"
    r"|free\([#\w()]*\)\s*$)".encode(),
    re.MULTILINE,
)
OTHER_PROCESSES = "calls of other processes, left out"
ADDRESSES = ("free", "realloc", "reallocarray")  # whose first argument is one


def read_logalloc(source: Source) -> Recording:
    events = Events(source)
    process = ""
    for text in Lines(source, log=True):
        line = LINE.fullmatch(text)
        numbers = _logged_numbers(line["name"], line["arguments"]) if line else []
        if line is None or len(numbers) < arguments_of(line["name"]):
            events.counted[OTHER_LINES] += not STATISTICS.fullmatch(text)
            continue
        process = process or line["process"]
        if line["process"] != process:
            events.counted[OTHER_PROCESSES] += 1
        elif line["name"] != "free" and line["result"] is None:
            events.counted[OTHER_LINES] += 1
        else:
            take(events, line["name"], numbers, _address(line["result"] or "0"))
    return events.recording()


def _logged_numbers(name: str, arguments: str) -> list[int]:
    first, *others = arguments.split(",")
    if not first:
        return []
    if name in ADDRESSES:
        return [_address(first), *map(int, others)]
    return [int(word) for word in (first, *others) if word.isdecimal()]


def _address(text: str) -> int:
    """Reads the number that stands for a block, 0 for none."""
    if text == "(nil)":
        return 0
    return int(text[1:]) if text.startswith("#") else int(text, 16)


LOGALLOC = Format("logalloc", lambda head: LOGALLOC_BEGINS.search(head) is not None, read_logalloc)
