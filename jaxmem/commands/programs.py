"""Programs of the user's that a verb runs: found, run to their end, and what that end was."""

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from jaxmem.configuration import UsageError

PATIENCE = 3  # seconds that a program has to end when it is asked to
BY_SIGNAL = 128  # and its number: the exit status after a signal, as a shell has it


def executable(program: str) -> str:
    """Finds the path of a program, as a shell does."""
    found = shutil.which(program)
    if found is not None:
        return found
    if os.path.isdir(program):
        raise UsageError(f"{program} is a folder; name a program")
    if os.path.exists(program) and os.path.dirname(program):
        raise UsageError(f"{program} cannot be run: no permission to execute (chmod +x {program})")
    where = "no such file" if os.path.dirname(program) else "it is not on PATH"
    beside = f"; did you mean ./{program}?" if os.access(f"./{program}", os.X_OK) else ""
    raise UsageError(f"there is no program {program!r}: {where}{beside}")


def run_to_its_end(words: list[str]) -> int:
    """Runs a process and returns its exit status; below 0, the signal that ended it.

    Who asks jaxmem to end asks the program: a terminal sends Ctrl-C to both, a SIGTERM is passed
    on. Asked once more, the program has 3 seconds.
    """
    with running(words) as process:
        try:
            process.wait()
        except (KeyboardInterrupt, SystemExit) as asked:
            if isinstance(asked, SystemExit):
                process.terminate()
            with suppress(KeyboardInterrupt, SystemExit):
                process.wait()
    return process.returncode


@contextmanager
def running(words: list[str], files: Sequence[int] = ()) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a process that is no longer there after the `with` block.

    Args:
        files: those of ours that it has too.
    """
    process = None
    try:
        with _held_back():  # else one that comes now would leave a process that nobody knows
            process = _started(words, files)
        yield process
    finally:
        if process is not None:
            _end_process(process)


@contextmanager
def _held_back() -> Iterator[None]:
    """Lets Ctrl-C and SIGTERM come after the `with` block, where they come within."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[int] = []
    # What is ignored stays so, for the program too.
    before = {
        number: signal.signal(number, lambda number, _: heard.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
        if callable(signal.getsignal(number))
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if heard:
            signal.raise_signal(heard[0])


def _started(words: list[str], files: Sequence[int]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(words, pass_fds=files)
    except OSError as error:
        raise UsageError(f"{words[0]} cannot be run: {error.strerror}") from None


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
def terminated_as_interrupted() -> Iterator[None]:
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


def exit_words(code: int) -> str:
    """Tells what the end of a process means."""
    return f"exit status {code}" if code >= 0 else f"signal {-code} ({signal.strsignal(-code)})"


def exit_status(code: int) -> int:
    """Returns the exit status that a shell has for the end of a process."""
    return code if code >= 0 else BY_SIGNAL - code
