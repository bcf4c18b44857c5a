"""`jaxmem trace record -- COMMAND ...`."""

import os
import shlex
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from jaxmem.commands import terminal
from jaxmem.commands.programs import (
    exit_status,
    exit_words,
    run_to_its_end,
    running,
    terminated_as_interrupted,
)
from jaxmem.commands.recorders import PRELOAD, VALGRIND, Recorder, recorder_of
from jaxmem.commands.trace_file import check_children, check_out, keep, keep_children
from jaxmem.configuration import UsageError
from jaxmem.render.progress import ReadingDisplay
from jaxmem.settings.recordings import TraceRecordSettings

if TYPE_CHECKING:
    from jaxmem.recordings import Recording
    from jaxmem.recordings.source import Report

UNSEEN = (
    "the recorder was not loaded: a static program, one of Go or musl, or one with special rights"
)


def run(settings: TraceRecordSettings, command: str) -> int:
    """Runs the program, writes the store, says what is in it; the exit status is the program's."""
    del command
    # What the program prints may go into a file, which is to hold nothing else.
    console = terminal(stderr=True)
    program = settings.program
    objects, depth, children = settings.python_objects, settings.depth, settings.children
    recorder = recorder_of(program, settings.recorder, objects, depth, children)
    out = check_out(settings, recorder.name)
    check_children(settings, out)
    if recorder.remark:
        console.print(recorder.remark, soft_wrap=True)
    # A child that goes on may write into the folder while it is removed.
    temporary = tempfile.TemporaryDirectory(prefix="jaxmem-", ignore_cleanup_errors=True)
    with terminated_as_interrupted(), temporary as folder:
        log = Path(folder, "recording")
        recording, code = _recorded(recorder, log, shlex.join(program), console)
        # It brings JAX, which what fails before should not wait for.
        from jaxmem.recordings.source import stem

        keep(out, replace(recording, name=stem(out.name)), settings.licence, console)
        if children:
            keep_children(out, _children(log), settings.licence, console)
    if code:
        console.print(f"\nthe program ended with {exit_words(code)}", soft_wrap=True)
    return exit_status(code)


def _recorded(
    recorder: Recorder, log: Path, program: str, console: Console
) -> tuple["Recording", int]:
    """Records one run; returns also its exit status; below 0, the signal that ended it.

    Raises:
        UsageError: there is nothing to keep.
    """
    by_pipe = recorder.kind == VALGRIND
    found, code = _by_pipe(recorder) if by_pipe else _by_file(recorder, log, console)
    if isinstance(found, str):
        ended = f"; it ended with {exit_words(code)}" if code else ""
        raise UsageError(f"{program}: nothing is kept ({recorder.kind}, {found}){ended}")
    return replace(found, about=replace(found.about, program=program, file="")), code


def _by_file(recorder: Recorder, log: Path, console: Console) -> tuple["Recording | str", int]:
    """Has the program recorded into a file, which is read when it has ended."""
    code = run_to_its_end(recorder.words(str(log)))
    if not log.exists():
        return UNSEEN, code
    with ReadingDisplay(console, recorder.name) as display:
        return _read_recording(log, recorder.kind, display.report), code


def _children(log: Path) -> Iterator["Recording | str"]:
    """Reads the logs of child processes, in the order of their numbers."""
    for file in sorted(log.parent.glob(f"{log.name}.*"), key=lambda file: int(file.suffix[1:])):
        yield _read_recording(file, PRELOAD)


def _by_pipe(recorder: Recorder) -> tuple["Recording | str", int]:
    """Reads the recording as it is made, since logs are long.

    The pipe ends when all processes that have it do, which the program's own may be too.
    """
    reading, writing = os.pipe()
    with (
        os.fdopen(reading, "rb") as reader,
        os.fdopen(writing, "wb") as writer,
        running(recorder.words(str(writing)), [writing]) as process,
    ):
        writer.close()
        found = _read_recording(Path(f"/dev/fd/{reading}"), recorder.kind)
        reader.close()  # if the reader has given up, the recorder must not wait for it
        process.wait()
    return found, process.returncode


def _read_recording(raw: Path, kind: str, report: "Report | None" = None) -> "Recording | str":
    """Returns what a recorder has written, or why it is no recording."""
    from jaxmem.recordings import TraceError, read_trace

    try:
        return read_trace(raw, kind, report)
    except TraceError as error:
        return str(error).removeprefix(str(raw)).lstrip(",: ")
