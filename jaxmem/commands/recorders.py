"""Programs that record others: which of them records a command, and what that needs."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from jaxmem.commands import checked
from jaxmem.commands.programs import executable
from jaxmem.commands.python_command import RUNS, PythonCommand, python_command
from jaxmem.configuration import UsageError
from jaxmem.extras import extra
from jaxmem.native.build import built
from jaxmem.native.program import obstacle
from jaxmem.native.recorder import DEPTH, recorder_words

MEMRAY, VALGRIND, PRELOAD = "memray", "valgrind", "preload"
# Asks an interpreter for memray, and for the module that it is to run where that is one.
PROBE = """
import sys
from importlib.util import find_spec
sys.exit(3 if not find_spec("memray") else 4 if not all(map(find_spec, sys.argv[1:])) else 0)
"""
NO_MEMRAY, NO_MODULE = 3, 4  # its exit status
INTERPRETER_PATIENCE = 60  # seconds in which an interpreter must have answered
VALGRIND_OPTIONS = (
    *("--quiet", "--trace-malloc=yes", "--leak-check=no", "--undef-value-errors=no"),
    "--child-silent-after-fork=yes",
    "--vgdb=no",  # whose files in /tmp stay when valgrind is killed
)


class Recorder(NamedTuple):
    """The way to record a command."""

    kind: str  # "memray", "valgrind" or "preload", and the format of what it writes
    name: str  # of the recording
    # The command line that records into a file: memray's by name, valgrind's by number.
    words: Callable[[str], list[str]]
    remark: str = ""  # what is to be said of the choice


def recorder_of(
    command: Sequence[str],
    kind: str | None,
    objects: bool,
    depth: int = DEPTH,
    children: bool = False,
) -> Recorder:
    """Returns how to record a command, once all that it needs is there.

    Args:
        command: the program with its arguments, one or more words.
        kind: "memray", "valgrind" or "preload"; None: memray for Python, for others preload where
            it can be had, else valgrind.
        objects: whether what Python's own allocator hands out is recorded too.
        depth: calls by which preload tells call sites apart.
        children: whether preload records the processes that the program starts too.

    Raises:
        UsageError: the program or its recorder is missing, or cannot record this.
    """
    python = python_command(command)
    if python is None and kind == MEMRAY:
        python = PythonCommand(sys.executable, (), tuple(command))
    by_memray = python is not None and kind not in (VALGRIND, PRELOAD)
    if children and (by_memray or kind == VALGRIND):
        raise UsageError("children=true is for recorder=preload, which alone records them")
    if python is not None and by_memray:
        return _memray(python, objects)
    if objects:
        raise UsageError("python_objects=true is for programs of Python that memray records")
    words = list(command) if python is None else python.command
    name = Path(command[0]).name if python is None else python.name
    if kind == VALGRIND:
        return _valgrind(words, name)
    program = executable(words[0])
    try:
        built("recorder")
    except UsageError as error:
        if kind == PRELOAD or children:
            raise UsageError(f"recorder=preload: {error}") from None
        if shutil.which(VALGRIND) is None:
            raise UsageError(
                f"{words[0]} can be recorded neither by preload ({error}) nor by valgrind (it is "
                "not on PATH)"
            ) from None
        remark = f"recorded by valgrind, which is slow; by preload it cannot be: {error}"
        return _valgrind(words, name)._replace(remark=remark)
    return _preload([program, *words[1:]], name, depth, children)


def _memray(python: PythonCommand, objects: bool) -> Recorder:
    target = python.target
    if not target or (target[0] in RUNS and len(target) == 1):
        raise UsageError(
            f"memray records no open prompt: name a FILE.py, -m MODULE or -c CODE for "
            f"{python.interpreter}, or recorder=valgrind"
        )
    interpreter = executable(python.interpreter)
    checked(extra, "memray", "traces", "recording a program of Python")
    if target[0] not in RUNS:
        _check_readable(target[0])
    _check_memray([interpreter, *python.options], target)
    before = [interpreter, *python.options, "-m", "memray", "run", "--quiet", "--no-compress"]
    before += ["--trace-python-allocators"] if objects else []
    return Recorder(MEMRAY, python.name, lambda file: [*before, "--output", file, *target])


def _valgrind(command: list[str], name: str) -> Recorder:
    program = executable(command[0])
    valgrind = shutil.which(VALGRIND)
    if valgrind is None:
        raise UsageError(
            f"recording {command[0]} needs valgrind, which is not on PATH; install it (apt install "
            "valgrind), or import a recording that was made elsewhere: jaxmem trace import FILE"
        )
    options, after = (valgrind, *VALGRIND_OPTIONS), (program, *command[1:])
    return Recorder(VALGRIND, name, lambda file: [*options, f"--log-fd={file}", *after])


def _preload(command: list[str], name: str, depth: int, children: bool) -> Recorder:
    if hindered := obstacle(command[0]):
        raise UsageError(f"{command[0]} cannot be recorded by preload: {hindered}")
    return Recorder(PRELOAD, name, lambda file: recorder_words(file, command, depth, children))


def _check_readable(script: str) -> None:
    try:
        os.stat(script)
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise UsageError(f"{script} cannot be run: {reason}") from None
    if not os.access(script, os.R_OK):
        raise UsageError(f"{script} cannot be run: no permission to read it")


def _check_memray(interpreter: list[str], target: Sequence[str]) -> None:
    """Raises UsageError where this interpreter has no memray, or not the module it is to run."""
    module = list(target[1:2]) if target[0] == "-m" else []
    probe = [*interpreter, "-c", PROBE, *module]
    try:
        asked = subprocess.run(
            probe,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INTERPRETER_PATIENCE,
        )
    except (OSError, ValueError) as error:
        raise UsageError(f"{interpreter[0]} cannot be run: {error}") from None
    except subprocess.TimeoutExpired:
        raise UsageError(
            f"{shlex.join(interpreter)} does not start: it has said nothing for "
            f"{INTERPRETER_PATIENCE} seconds"
        ) from None
    if asked.returncode == NO_MEMRAY:
        raise UsageError(
            f"{interpreter[0]} has no memray; install it there ({interpreter[0]} -m pip install "
            f"memray, or uv pip install --python {interpreter[0]} memray)"
        )
    if asked.returncode == NO_MODULE:
        raise UsageError(f"{interpreter[0]} has no module {module[0]!r}")
    if asked.returncode:
        reason = "".join(asked.stderr.splitlines()[-1:]) or f"exit status {asked.returncode}"
        raise UsageError(f"{shlex.join(interpreter)} does not start: {reason}")
