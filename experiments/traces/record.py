"""Records the programs beside this file and puts the recordings into the package's library.

`python experiments/traces/record.py NAME ...` records the programs named, and `all` of them; it
prints the row of each for the library's README. They need memray (`uv run --extra traces python`),
PyTorch (`pip install torch`), valgrind, gcc, perl and bc. Networks come out the same each time;
the others depend a little on the versions of what they are run by.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from jaxmem.recordings import Recording, read_trace, record_torch, write_store
from jaxmem.recordings.store import SUFFIX

HERE = Path(__file__).resolve().parent
LIBRARY = HERE.parents[1] / "jaxmem" / "recordings" / "library"
LICENCE = "ours, MIT with the project"
SEED = 0
JAXMEM = ("-c", "import sys; from jaxmem.cli import main; sys.exit(main())")
PYTHON, CC1 = "python", "cc1"  # this Python, and gcc's compiler proper
MEMRAY, OBJECTS, VALGRIND = "memray", "memray, objects", "valgrind"
TORCH, XLA = "`record_torch`", "XLA's dump"
SETTINGS = {MEMRAY: (), OBJECTS: ("--python-objects",), VALGRIND: ("recorder=valgrind",)}


class Program(NamedTuple):
    """What is recorded, and how."""

    script: str  # beside this file; its first line says what it does
    recorder: str
    command: tuple[str, ...] = (PYTHON,)  # that the script is given to
    environment: tuple[tuple[str, str], ...] = ()


NETWORKS = sorted(file.stem for file in (HERE / "networks").glob("*.py"))
WITH_OBJECTS = ("compiler", "documents", "patterns", "sorting", "words")
PROGRAMS = {
    **{f"torch_cpu_{name}": Program(f"networks/{name}.py", TORCH) for name in NETWORKS},
    **{f"python_{name}": Program(f"programs/{name}.py", OBJECTS) for name in WITH_OBJECTS},
    "memray_python_pictures": Program("programs/pictures.py", MEMRAY),
    "memray_python_tables": Program("programs/tables.py", MEMRAY),
    "valgrind_bc_digits": Program("programs/digits.bc", VALGRIND, ("bc",)),
    "valgrind_gcc_cc1_O1": Program(
        "programs/machine.c", VALGRIND, (CC1, "-quiet", "-O1", "-o", os.devnull)
    ),
    "valgrind_perl_words": Program(
        "programs/words.pl", VALGRIND, ("perl",), (("PERL_HASH_SEED", "0"),)
    ),
    "valgrind_python_start": Program(
        "programs/nothing.py", VALGRIND, (PYTHON, "-S"), (("PYTHONMALLOC", "malloc"),)
    ),
    "xla_cpu_jax_recurrent_train": Program("programs/recurrent.py", XLA),
}


def main(names: Sequence[str]) -> None:
    """Records each; SystemExit for a name that is not there, or a program that fails."""
    chosen = list(PROGRAMS) if list(names) == ["all"] else names
    unknown = [name for name in chosen if name not in PROGRAMS]
    if unknown or not chosen:
        raise SystemExit(f"{unknown}: name one or more of {', '.join(PROGRAMS)}, or all")
    for name in chosen:
        program = PROGRAMS[name]
        with tempfile.TemporaryDirectory() as folder:
            by = {TORCH: by_torch, XLA: by_xla}.get(program.recorder, by_command)
            found = by(program, Path(folder))
        about = replace(found.about, program=told(program), file="", licence=LICENCE)
        recording = replace(found, name=name, about=about)
        write_store(LIBRARY / f"{name}{SUFFIX}", recording)
        print(row(recording), flush=True)


def by_torch(program: Program, folder: Path) -> Recording:
    """The tensors of a network, on one thread so that all of them are seen."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # or the profiler tells when it starts
    module = import_module(program.script.removesuffix(".py").replace("/", "."))
    torch = import_module("torch")
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    return record_torch(module.run)


def by_command(program: Program, folder: Path) -> Recording:
    """What `jaxmem trace record` keeps of the program."""
    out = folder / f"recording{SUFFIX}"
    settings = (*SETTINGS[program.recorder], f"out={out}", "--", *command_of(program))
    _run((sys.executable, *JAXMEM, "trace", "record", *settings), dict(program.environment))
    return read_trace(out)


def by_xla(program: Program, folder: Path) -> Recording:
    """The buffers of the program's `train_step`, as XLA writes them when it compiles it."""
    flags = f"--xla_dump_to={folder} --xla_dump_hlo_as_text"
    _run(command_of(program), {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"})
    (ranges,) = folder.glob("*jit_train_step*-live-range.txt")
    return read_trace(ranges)


def command_of(program: Program) -> list[str]:
    """The command line that runs a program from this folder."""
    first, *others = program.command
    if first == PYTHON:
        first = sys.executable
    elif first == CC1 and (gcc := shutil.which("gcc")):
        asked = subprocess.run([gcc, "-print-prog-name=cc1"], check=True, capture_output=True)
        first = asked.stdout.decode().strip()
    return [first, *others, program.script]


def told(program: Program) -> str:
    """What a program does: its script's first line, as a part of a sentence."""
    line = (HERE / program.script).read_text(encoding="utf-8").splitlines()[0]
    line = line.strip('"#/* ').removesuffix(".")
    return line if line[1].isupper() else line[0].lower() + line[1:]


def row(recording: Recording) -> str:
    """The line of a recording in the library's README."""
    program = PROGRAMS[recording.name]
    counts = (recording.events, recording.requests, recording.peak_live)
    marked = (f"`{recording.name}`", told(program), program.recorder, f"`{program.script}`")
    return f"| {' | '.join([*marked, *(f'{count:,}' for count in counts), LICENCE])} |"


def _run(command: Sequence[str], environment: dict[str, str]) -> None:
    # Sets of texts are in the same order each time.
    environment = {**os.environ, "PYTHONHASHSEED": "0", **environment}
    ended = subprocess.run(command, cwd=HERE, env=environment, stdout=subprocess.DEVNULL)
    if ended.returncode:
        raise SystemExit(f"{' '.join(command)}: exit status {ended.returncode}")


if __name__ == "__main__":
    main(sys.argv[1:])
