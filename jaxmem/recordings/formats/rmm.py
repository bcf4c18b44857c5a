"""Logs of RAPIDS' memory manager: rmm's logging_resource_adaptor, `RMM_LOG_FILE`.

CSV with the header Thread,Time,Action,Pointer,Size,Stream. An action is allocate, free or
allocate failure; addresses of CUDA memory are those of one device, which has a file for itself.
"""

import re

from jaxmem.recordings.events import FAILED_ALLOCATIONS, OTHER_LINES, Events
from jaxmem.recordings.formats.format import Format
from jaxmem.recordings.lines import Lines, whole_number
from jaxmem.recordings.recording import Recording
from jaxmem.recordings.source import Source, quoted

RMM_COLUMNS = ("Thread", "Time", "Action", "Pointer", "Size", "Stream")
NEEDED = RMM_COLUMNS[:5]  # the first versions wrote no stream
ADDRESS = re.compile(r"(?:0x)?[0-9A-Fa-f]{1,16}")
NO_BLOCK = "allocations of zero bytes that got no address, left out"


def read_rmm(source: Source) -> Recording:
    lines, events = Lines(source), Events(source)
    header = next(lines.texts, "")
    if not _is_rmm_header(header):
        raise lines.fault(f"unknown header {quoted(header)}; it must be {','.join(RMM_COLUMNS)}")
    columns = _columns_of(header)
    action_at, pointer_at, size_at = (columns.index(name) for name in RMM_COLUMNS[2:5])
    for text in lines:
        fields = _columns_of(text)
        if len(fields) != len(columns) or fields == columns:
            # The last line can be cut off, and who starts again writes the header again.
            events.counted[OTHER_LINES] += fields != columns
            continue
        action, pointer = fields[action_at], _address(fields[pointer_at])
        if action == "free":
            if pointer:
                events.free(pointer)
            continue
        size = whole_number(fields[size_at])
        if action not in ("allocate", "allocate failure") or size is None or pointer is None:
            raise lines.fault(
                f"{quoted(text)}; a line is allocate, free or allocate failure with an address and "
                "a size in bytes"
            )
        if action == "allocate failure" or (not pointer and size):
            events.counted[FAILED_ALLOCATIONS] += 1
        elif pointer:
            events.allocate(pointer, size)
        else:
            events.counted[NO_BLOCK] += 1
    return events.recording()


def _columns_of(text: str) -> list[str]:
    return [field.strip().strip('"') for field in text.split(",")]


def _is_rmm_header(text: str) -> bool:
    columns = _columns_of(text)
    return set(NEEDED) <= set(columns) and len(set(columns)) == len(columns)


def _address(text: str) -> int | None:
    """Reads the number that an address is, 0 for none; None for what is no address."""
    if text in ("(nil)", "nullptr"):
        return 0
    return int(text, 16) if ADDRESS.fullmatch(text) else None


def _is_rmm(head: bytes) -> bool:
    return _is_rmm_header(head.decode("utf-8-sig", "replace").strip().partition("\n")[0])


RMM = Format("rmm", _is_rmm, read_rmm, alignment=256)
