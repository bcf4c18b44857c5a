"""Records the programs beside this file and puts the recordings into the package's library.

`python experiments/traces/record.py NAME ...` records the programs named, and `all` of them; it
prints the row of each for the library's README. `families NAME ...`, or `families all`, records
the six runs of families, whose settings are the table in `families.py`.

They need memray (`uv run --extra traces python`), PyTorch (`pip install torch`), valgrind, gcc,
perl, bc and sqlite3. Networks come out the same each time by one version of PyTorch; the others
depend a little on the versions of what they are run by.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from families import FAMILIES

from jaxmem.recordings import Recording, read_trace, record_torch, write_store
from jaxmem.recordings.store import SUFFIX

HERE = Path(__file__).resolve().parent
LIBRARY = HERE.parents[1] / "jaxmem" / "recordings" / "library"
LICENCE = "ours, MIT with the project"
SEED = 0
JAXMEM = ("-c", "import sys; from jaxmem.cli import main; sys.exit(main())")
PYTHON, CC1 = "python", "cc1"  # this Python, and gcc's compiler proper
MEMRAY, OBJECTS, VALGRIND, PRELOAD = "memray", "memray, objects", "valgrind", "preload"
TORCH, XLA = "`record_torch`", "XLA's dump"
RECORDING = {
    MEMRAY: (),
    OBJECTS: ("--python-objects",),
    VALGRIND: ("recorder=valgrind",),
    PRELOAD: ("recorder=preload",),
}
MADE = "{made}"
GIVEN = "create temp table given as select {rows} as rows, {seed} as seed"


class Program(NamedTuple):
    """What is recorded, and how."""

    script: str  # beside this file; its first line says what it does
    recorder: str
    # What runs it, where in braces stand script, settings, and `made`: a file of what it prints.
    command: tuple[str, ...] = (PYTHON, "{script}")
    environment: tuple[tuple[str, str], ...] = ()


UNSEEDED = (("PERL_HASH_SEED", "0"),)
NETWORKS = sorted(file.stem for file in (HERE / "networks").glob("*.py"))
WITH_OBJECTS = ("compiler", "documents", "patterns", "sorting", "words")
PROGRAMS = {
    **{f"torch_cpu_{name}": Program(f"networks/{name}.py", TORCH) for name in NETWORKS},
    **{f"python_{name}": Program(f"programs/{name}.py", OBJECTS) for name in WITH_OBJECTS},
    "memray_python_pictures": Program("programs/pictures.py", MEMRAY),
    "memray_python_tables": Program("programs/tables.py", MEMRAY),
    "valgrind_bc_digits": Program("programs/digits.bc", VALGRIND, ("bc", "{script}")),
    "valgrind_gcc_cc1_O1": Program(
        "programs/machine.c", VALGRIND, (CC1, "-quiet", "-O1", "-o", os.devnull, "{script}")
    ),
    "valgrind_perl_words": Program("programs/words.pl", VALGRIND, ("perl", "{script}"), UNSEEDED),
    "valgrind_python_start": Program(
        "programs/nothing.py", VALGRIND, (PYTHON, "-S", "{script}"), (("PYTHONMALLOC", "malloc"),)
    ),
    "xla_cpu_jax_recurrent_train": Program("programs/recurrent.py", XLA),
}
FAMILY_PROGRAMS = {
    **{name: Program(f"networks/{name}.py", TORCH) for name in NETWORKS},
    "cc1": Program(
        "programs/functions.py", PRELOAD, (CC1, "-quiet", "-w", "-O2", "-o", os.devnull, MADE)
    ),
    "perl": Program(
        "programs/words.pl", PRELOAD, ("perl", "{script}", "{seed}", "{lines}"), UNSEEDED
    ),
    "pipeline": Program(
        "programs/pipeline.py", PRELOAD, (PYTHON, "-S", "{script}", "{seed}", "{rounds}", "{rows}")
    ),
    "sqlite": Program(
        "programs/orders.sql", PRELOAD, ("sqlite3", "-cmd", GIVEN, ":memory:", ".read {script}")
    ),
}


def main(words: Sequence[str]) -> None:
    """Records each; SystemExit for a name that is not there, or a program that fails."""
    if words[:1] == ["families"]:
        record_families(_chosen(words[1:], FAMILIES))
    else:
        record_library(_chosen(words, PROGRAMS))


def record_library(names: Sequence[str]) -> None:
    """Records programs into the library, and prints the row of each for its README."""
    for name in names:
        recording = recorded(PROGRAMS[name], name, {})
        write_store(LIBRARY / f"{name}{SUFFIX}", recording)
        print(row(recording), flush=True)


def record_families(names: Sequence[str]) -> None:
    """Records the runs of families beside the library, and prints a row of each for its README."""
    for name in names:
        folder, runs = LIBRARY / "families" / name, []
        folder.mkdir(parents=True, exist_ok=True)
        for number, settings in enumerate(FAMILIES[name], 1):
            runs.append(recorded(FAMILY_PROGRAMS[name], f"{name} {number}", settings))
            write_store(folder / f"{number}{SUFFIX}", runs[-1])
        print(family_row(name, runs), flush=True)


def recorded(program: Program, name: str, settings: dict[str, int]) -> Recording:
    """Records one run of a program, with these settings."""
    with tempfile.TemporaryDirectory() as folder:
        by = {TORCH: by_torch, XLA: by_xla}.get(program.recorder, by_command)
        found = by(program, Path(folder), settings)
    about = replace(found.about, program=told(program, settings), file="", licence=LICENCE)
    return replace(found, name=name, about=about)


def by_torch(program: Program, folder: Path, settings: dict[str, int]) -> Recording:
    """The tensors of a network, on one thread so that all of them are seen."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # or the profiler tells when it starts
    module = import_module(program.script.removesuffix(".py").replace("/", "."))
    torch = import_module("torch")
    torch.set_num_threads(1)
    given = dict(settings)
    torch.manual_seed(given.pop("seed", SEED))
    return record_torch(partial(module.run, **given))


def by_command(program: Program, folder: Path, settings: dict[str, int]) -> Recording:
    """What `jaxmem trace record` keeps of the program."""
    out = folder / f"recording{SUFFIX}"
    command = command_of(program, folder, settings)
    words = (*RECORDING[program.recorder], f"out={out}", "--", *command)
    _run((sys.executable, *JAXMEM, "trace", "record", *words), dict(program.environment))
    return read_trace(out)


def by_xla(program: Program, folder: Path, settings: dict[str, int]) -> Recording:
    """The buffers of the program's `train_step`, as XLA writes them when it compiles it."""
    flags = f"--xla_dump_to={folder} --xla_dump_hlo_as_text"
    _run(command_of(program, folder, settings), {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"})
    (ranges,) = folder.glob("*jit_train_step*-live-range.txt")
    return read_trace(ranges)


def command_of(program: Program, folder: Path, settings: dict[str, int]) -> list[str]:
    """The command line that runs a program from this folder; what it needs is made in `folder`."""
    first, *others = program.command
    if first == PYTHON:
        first = sys.executable
    elif first == CC1 and (gcc := shutil.which("gcc")):
        asked = subprocess.run([gcc, "-print-prog-name=cc1"], check=True, capture_output=True)
        first = asked.stdout.decode().strip()
    made = folder / "made.c"
    if MADE in others:
        words = [sys.executable, program.script, *map(str, settings.values())]
        made.write_bytes(subprocess.run(words, cwd=HERE, check=True, capture_output=True).stdout)
    places = {"script": program.script, "made": made, **settings}
    return [first, *(word.format(**places) for word in others)]


def told(program: Program, settings: dict[str, int]) -> str:
    """What a program does: its script's first line, as a part of a sentence, and its settings."""
    line = (HERE / program.script).read_text(encoding="utf-8").splitlines()[0]
    line = line.strip('"#/*- ').removesuffix(".")
    line = line if line[1].isupper() else line[0].lower() + line[1:]
    given = ", ".join(f"{name} {value}" for name, value in settings.items())
    return f"{line}; {given}" if given else line


def row(recording: Recording) -> str:
    """The line of a recording in the library's README."""
    program = PROGRAMS[recording.name]
    counts = (recording.events, recording.requests, recording.peak_live)
    marked = (f"`{recording.name}`", told(program, {}), program.recorder, f"`{program.script}`")
    return f"| {' | '.join([*marked, *(f'{count:,}' for count in counts), LICENCE])} |"


def family_row(name: str, runs: Sequence[Recording]) -> str:
    """The line of a family in the library's README; counts are the least and the most of a run."""
    program = FAMILY_PROGRAMS[name]
    spans = (
        f"{min(counts):,} to {max(counts):,}"
        for counts in ([run.requests for run in runs], [run.peak_live for run in runs])
    )
    varied = ", ".join(FAMILIES[name][0])
    marked = (name, told(program, {}), program.recorder, f"`{program.script}`", varied)
    return f"| {' | '.join([*marked, *spans])} |"


def _chosen(names: Sequence[str], known: Mapping[str, object]) -> Sequence[str]:
    chosen = list(known) if list(names) == ["all"] else names
    unknown = [name for name in chosen if name not in known]
    if unknown or not chosen:
        raise SystemExit(f"{unknown}: name one or more of {', '.join(known)}, or all")
    return chosen


def _run(command: Sequence[str], environment: dict[str, str]) -> None:
    # Sets of texts are in the same order each time.
    environment = {**os.environ, "PYTHONHASHSEED": "0", **environment}
    ended = subprocess.run(command, cwd=HERE, env=environment, stdout=subprocess.DEVNULL)
    if ended.returncode:
        raise SystemExit(f"{' '.join(command)}: exit status {ended.returncode}")


if __name__ == "__main__":
    main(sys.argv[1:])
