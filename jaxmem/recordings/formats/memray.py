"""Recordings of memray (`memray run`), by memray's own reader in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from jaxmem.extras import extra
from jaxmem.recordings.events import Events
from jaxmem.recordings.formats import memray_events
from jaxmem.recordings.formats.format import Format
from jaxmem.recordings.formats.memray_events import EVENT, FREED, MAPPED, MOVED, NAMES
from jaxmem.recordings.recording import Recording
from jaxmem.recordings.source import Source, TraceError, printable

MEMRAY_MAGIC = b"memray\0"
LZ4_MAGIC = b"\x04\x22\x4d\x18"  # memray packs what it writes, unless it is told not to
EVENTS_AT_ONCE = 4096  # events that are passed on together
EVENTS_BETWEEN_REPORTS = 50_000  # events after which is told how far we are
LONGEST_HEAD = 2**22  # bytes of the line before the events; a command line has at most 2 MiB
LONGEST_COMPLAINT = 200  # characters that are shown of it
MAPS = "mmap and munmap, which take whole pages, left out"
GUESSED = "frees just before a realloc on their thread, taken for its own and put after it"


def read_memray(source: Source) -> Recording:
    extra("memray", "traces", "a memray recording")
    events = Events(source)
    with source.on_disk() as path:
        _check_complete(source, path)
        with _reader(source, path) as output:
            program = _take(events, output)
    return events.recording(program)


@contextmanager
def _reader(source: Source, path: Path) -> Iterator[IO[bytes]]:
    """Opens what memray tells of a recording; the `with` block's end ends memray's process.

    Raises:
        TraceError: it complains, ends by a signal, or cannot read such a recording.
    """
    # By -P the folder of the program, which has modules named as others are, is not searched.
    command = [sys.executable, "-P", "-W", "ignore", memray_events.__file__, str(path)]
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints
        ) as process,
    ):
        assert process.stdout is not None
        fault: TraceError | None = None
        try:
            yield process.stdout
        except TraceError as error:  # of what is damaged, memray's own words say more
            fault = error
            process.kill()
        except BaseException:
            process.kill()
            raise
        code = process.wait()
        complaints.seek(0)
        said = complaints.read().decode("utf-8", "replace").splitlines()
    if code == memray_events.AGGREGATED:
        raise source.fault(
            "the recording is aggregated: it has no single events; run memray without --aggregate"
        )
    complaint = next((line for line in said if "memray" in line.lower()), "")
    if not complaint and fault is not None:
        raise fault
    if not complaint and code:
        complaint = (said or [_ended(code)])[-1]
    if complaint:
        reason = printable(complaint.removeprefix("memray: ")[:LONGEST_COMPLAINT])
        raise source.fault(
            f"memray cannot read the recording from here on ({reason}): it is damaged; copy or "
            "record it again"
        )


def _ended(code: int) -> str:
    return f"its process ended by {signal.strsignal(-code)}" if code < 0 else f"exit status {code}"


def _take(events: Events, output: IO[bytes]) -> str:
    """Takes every event of a recording; returns the program that was recorded."""
    source = events.source
    source.unit = "event"
    line = output.readline(LONGEST_HEAD)
    if not line:
        return ""  # memray has said why
    head = json.loads(line)
    waiting: tuple[int, int] | None = None  # a free, which may be one half of a realloc
    for number, event in enumerate(_records(output), 1):
        source.number = number
        if number % EVENTS_BETWEEN_REPORTS == 0:
            source.reached(number, head["total"])
        if isinstance(event, dict):
            _name_sites(events, event)
            break
        kind, thread, address, size, stack = event
        if waiting is not None:
            if kind == MOVED and thread == waiting[0]:
                events.counted[GUESSED] += 1
                events.reallocate(waiting[1], address, size, stack)
                waiting = None
                continue
            events.free(waiting[1])
            waiting = None
        if kind == FREED:
            waiting = thread, address
        elif kind == MAPPED:
            events.counted[MAPS] += 1
        else:
            events.allocate(address, size, stack)
    if waiting is not None:
        events.free(waiting[1])
    return head["program"]


def _name_sites(events: Events, stacks: dict[str, list[str]]) -> None:
    """Puts the frames of the stacks in the place of their numbers, which mean nothing elsewhere."""
    frames = (tuple(stacks.get(str(stack), ())) for stack in events.sites)
    events.rename_sites([found or ("?",) for found in frames])


def _records(
    output: IO[bytes],
) -> Iterator[tuple[bytes, int, int, int, int] | dict[str, list[str]]]:
    """Yields the events as they come, and in the end the frames of each stack.

    The last event, if the process has ended in it, is left out.
    """
    while piece := output.read(EVENT.size * EVENTS_AT_ONCE):
        for at in range(0, len(piece) - EVENT.size + 1, EVENT.size):
            event = EVENT.unpack_from(piece, at)
            if event[0] == NAMES:
                with suppress(ValueError):  # the process has ended in it
                    yield json.loads(piece[at + EVENT.size :] + output.read())
                return
            yield event


def _check_complete(source: Source, path: Path) -> None:
    """Raises TraceError if a file that memray has packed is cut off, which its reader passes over.

    An LZ4 frame is a header, blocks that begin with their size, and a size of 0.
    """
    with path.open("rb") as file:
        if file.read(4) != LZ4_MAGIC:
            return
        flags = file.read(3)[:1] or b"\0"
        file.seek((flags[0] >> 3 & 1) * 8 + (flags[0] & 1) * 4, os.SEEK_CUR)
        checksum = (flags[0] >> 4 & 1) * 4
        size = -1
        while size:
            word = file.read(4)
            if len(word) < 4:
                at = min(file.tell(), path.stat().st_size)
                raise source.fault("the recording is cut off here; copy it again", at)
            size = int.from_bytes(word, "little") & 0x7FFFFFFF  # the first bit: it is not packed
            file.seek(size + checksum if size else 0, os.SEEK_CUR)


def _is_memray(head: bytes) -> bool:
    # The first bytes of an LZ4 frame are its header, then the contents as they are.
    return head.startswith(MEMRAY_MAGIC) or (head.startswith(LZ4_MAGIC) and b"memray" in head[:64])


MEMRAY = Format("memray", _is_memray, read_memray, from_strangers=False)
