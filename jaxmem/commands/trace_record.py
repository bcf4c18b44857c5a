"""`jaxmem trace record -- COMMAND ...`."""

import os
import shlex
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from jaxmem.commands import terminal
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
PATIENCE = 3  # seconds that a program has to end when it is asked to
BY_SIGNAL = 128  # and its number: the exit status after a signal, as a shell has it


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
    with _terminated_as_interrupted(), temporary as folder:
        log = Path(folder, "recording")
        recording, code = _recorded(recorder, log, shlex.join(program), console)
        # It brings JAX, which what fails before should not wait for.
        from jaxmem.recordings.source import stem

        keep(out, replace(recording, name=stem(out.name)), settings.licence, console)
        if children:
            keep_children(out, _children(log), settings.licence, console)
    if code:
        console.print(f"\nthe program ended with {_exit_words(code)}", soft_wrap=True)
    return code if code >= 0 else BY_SIGNAL - code


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
        ended = f"; it ended with {_exit_words(code)}" if code else ""
        raise UsageError(f"{program}: nothing is kept ({recorder.kind}, {found}){ended}")
    return replace(found, about=replace(found.about, program=program, file="")), code


def _by_file(recorder: Recorder, log: Path, console: Console) -> tuple["Recording | str", int]:
    """Has the program recorded into a file, which is read when it has ended.

    Who asks jaxmem to end asks the program, and has what it has allocated: a terminal sends Ctrl-C
    to both, a SIGTERM is passed on. Asked once more, the program has 3 seconds.
    """
    with _running(recorder.words(str(log))) as process:
        try:
            process.wait()
        except (KeyboardInterrupt, SystemExit) as asked:
            if isinstance(asked, SystemExit):
                process.terminate()
            with suppress(KeyboardInterrupt, SystemExit):
                process.wait()
    if not log.exists():
        return UNSEEN, process.returncode
    with ReadingDisplay(console, recorder.name) as display:
        return _read_recording(log, recorder.kind, display.report), process.returncode


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
        _running(recorder.words(str(writing)), [writing]) as process,
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


@contextmanager
def _running(words: list[str], files: Sequence[int] = ()) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a process that is no longer there after the `with` block.

    Args:
        files: those of ours that it has too.
    """
    try:
        process = subprocess.Popen(words, pass_fds=files)
    except OSError as error:
        raise UsageError(f"{words[0]} cannot be run: {error.strerror}") from None
    try:
        yield process
    finally:
        _end_process(process)


def _end_process(process: subprocess.Popen[bytes]) -> None:
    """Asks a process to end, then does not ask; nothing where it has ended."""
    try:
        if process.poll() is None:
            process.terminate()
            process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        pass
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Lets SIGTERM end the `with` block as Ctrl-C does, so that nothing is left."""

    def leave(number: int, frame: object) -> None:
        raise SystemExit(BY_SIGNAL + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _exit_words(code: int) -> str:
    """Tells what the end of a process means."""
    return f"exit status {code}" if code >= 0 else f"signal {-code} ({signal.strsignal(-code)})"
