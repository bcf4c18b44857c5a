"""Traces of Android's malloc debug (`record_allocs`), which its memory_replay reads.

`THREAD: malloc ADDRESS SIZE`, `calloc ADDRESS COUNT SIZE`, `memalign ADDRESS ALIGNMENT SIZE`,
`realloc NEW OLD SIZE`, `free ADDRESS`, `thread_done 0x0`; since Android 14 with the nanoseconds at
which the call began and ended behind them. The lines of all threads are in one order.
"""

import re

from jaxmem.recordings.events import OTHER_LINES, Events
from jaxmem.recordings.formats.calls import NULL, arguments_of, take
from jaxmem.recordings.formats.format import Format
from jaxmem.recordings.lines import Lines
from jaxmem.recordings.recording import Recording
from jaxmem.recordings.source import Source

LINE = re.compile(
    r"\d{1,10}: (?P<name>malloc|calloc|realloc|memalign|free) 0x(?P<block>[0-9a-f]{1,16})"
    r"(?P<rest>(?: (?:0x[0-9a-f]{1,16}|\d{1,20}))*)"
)
DONE = re.compile(r"\d{1,10}: thread_done 0x0(?: \d+)?")
ANDROID_BEGINS = re.compile(rb"\s*\d{1,10}: (?:malloc|calloc|realloc|memalign|free|thread_done) 0x")


def read_android(source: Source) -> Recording:
    events = Events(source)
    for text in Lines(source, log=True):
        line = LINE.fullmatch(text)
        numbers = [_hex_or_decimal(word) for word in line["rest"].split()] if line else []
        if line is not None and line["name"] == "free":
            take(events, "free", [int(line["block"], 16)], NULL)
        elif line is not None and len(numbers) >= arguments_of(line["name"]):
            take(events, line["name"], numbers, int(line["block"], 16))
        elif not DONE.fullmatch(text):
            events.counted[OTHER_LINES] += 1
    return events.recording()


def _hex_or_decimal(word: str) -> int:
    return int(word, 16) if word.startswith("0x") else int(word)


ANDROID = Format("android", lambda head: ANDROID_BEGINS.match(head) is not None, read_android)
