"""Logs of glibc's mtrace(): a line for each block that malloc gives out or takes back.

`+ address size` allocates, `- address` frees; a realloc is `< old` and then `> new size`, or
`! old size` where it fails. Before each stands who called: `@ program:(function+offset)[address]`.
"""

import re

from jaxmem.recordings.events import FAILED_ALLOCATIONS, OTHER_LINES, Events
from jaxmem.recordings.formats.format import Format
from jaxmem.recordings.lines import Lines
from jaxmem.recordings.recording import Recording
from jaxmem.recordings.source import Source, quoted

LINE = re.compile(
    r"(?:@ (?P<site>.+?) )?(?P<op>[-+<>!]) "
    r"(?P<block>0x[0-9a-f]{1,16}|\(nil\))(?: (?P<size>0x[0-9a-f]{1,30}|0))?"
)
MTRACE_BEGINS = re.compile(rb"\s*= Start\s|\s*@ [^\n]+ [-+<>] 0x")


def read_mtrace(source: Source) -> Recording:
    lines, events = Lines(source, log=True), Events(source)
    program, moved = "", None  # the block that a realloc takes back
    for text in lines:
        line = LINE.fullmatch(text)
        if line is None:
            events.counted[OTHER_LINES] += text not in ("= Start", "= End")
            continue
        op, site, size = line["op"], line["site"], int(line["size"] or "0", 16)
        program = program or (site or "").partition(":")[0]
        site = site and _named(site)
        block = 0 if line["block"] == "(nil)" else int(line["block"], 16)
        if op in "+>" and line["size"] is None:
            raise lines.fault(f"no size in {quoted(text)}; an allocation is + ADDRESS SIZE")
        if op == "-":
            events.free(block)
        elif op == "<":
            moved = block
        elif op == "!" or not block:
            events.counted[FAILED_ALLOCATIONS] += 1
        elif op == ">" and moved is not None:
            events.reallocate(moved, block, size, site)
            moved = None
        else:
            events.allocate(block, size, site)
    return events.recording(program)


def _named(site: str) -> str:
    """Names a call site as every run has it: without folders, and without where it was loaded."""
    module, colon, place = site.rpartition("/")[2].partition(":")
    function, bracket, _ = place.partition("[")
    return module + colon + (function if bracket and function else place)


MTRACE = Format("mtrace", lambda head: MTRACE_BEGINS.match(head) is not None, read_mtrace)
