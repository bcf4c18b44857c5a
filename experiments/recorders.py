"""What it costs to record a program, whether nothing is missed, and what one run tells of the next.

`python experiments/recorders.py` runs programs as they are, under our own recorder (preload), under
valgrind and under memray, in turns, and compares their CPU seconds, user and system: of the program
with the recorder in it, without what reads the recording afterwards. Then it counts the requests of
smaller runs against valgrind's own totals, and has a run foretold by another. Its options are the
fields of `Options`, as `rounds=3 programs=[perl,sqlite] out=DIR`. PyTorch is measured where the
interpreter has it.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir
from dataclasses import asdict, dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from recorder_tables import KINDS, PLAIN, Counted, Foretold, Seconds, ratios, table
from recorders_picture import draw_recorders
from rich.console import Console
from rich.progress import track
from study_options import read_options

from jaxmem.commands.recorders import MEMRAY, PRELOAD, VALGRIND, recorder_of
from jaxmem.configuration import UsageError
from jaxmem.evaluation.provenance import provenance
from jaxmem.names import nearest
from jaxmem.native.build import built
from jaxmem.native.recorder import DEPTH
from jaxmem.recordings import Recording, read_trace
from jaxmem.recordings.explained import explained_by
from jaxmem.whole_files import write_whole

TRACES = Path(__file__).resolve().parent / "traces"
TOTAL = re.compile(r"total heap usage: ([\d,]+) allocs")
console = Console()

Settings = dict[str, int]
Environment = tuple[tuple[str, str], ...]


class Measured(NamedTuple):
    """A program of the families that is timed, and how."""

    family: str
    timed: Settings  # long enough for a second or more
    first: Settings  # of a short run that foretells ...
    other: Settings  # ... this one, on other inputs
    recorders: tuple[str, ...]  # beside our own
    environment: Environment = ()
    reach: float = 1.3  # times plain that our own recorder should cost at most


OBJECTS = (("PYTHONMALLOC", "malloc"),)
PAGES, OTHER_PAGES = {"seed": 1, "rounds": 6, "rows": 200}, {"seed": 2, "rounds": 8, "rows": 150}
PROGRAMS = {
    "cc1 -O2": Measured(
        "cc1",
        timed={"seed": 1, "functions": 250},
        first={"seed": 1, "functions": 60},
        other={"seed": 2, "functions": 40},
        recorders=(VALGRIND,),
    ),
    "sqlite3": Measured(
        "sqlite",
        timed={"seed": 1, "rows": 120_000},
        first={"seed": 1, "rows": 3_000},
        other={"seed": 2, "rows": 2_000},
        recorders=(VALGRIND,),
    ),
    "perl": Measured(
        "perl",
        timed={"seed": 1, "lines": 100_000},
        first={"seed": 1, "lines": 3_000},
        other={"seed": 2, "lines": 2_000},
        recorders=(VALGRIND,),
    ),
    "Python, json and sqlite": Measured(
        "pipeline",
        timed={"seed": 1, "rounds": 20, "rows": 3_000},
        first=PAGES,
        other=OTHER_PAGES,
        recorders=(VALGRIND, MEMRAY),
    ),
    "the same, PYTHONMALLOC=malloc": Measured(
        "pipeline",
        timed={"seed": 1, "rounds": 20, "rows": 5_000},
        first=PAGES,
        other=OTHER_PAGES,
        recorders=(MEMRAY,),
        environment=OBJECTS,
        reach=1.6,
    ),
    "PyTorch, import and steps": Measured(
        "torch",
        timed={"seed": 1, "steps": 8, "batch": 16},
        first={"seed": 1, "steps": 8, "batch": 16},
        other={"seed": 2, "steps": 10, "batch": 8},
        recorders=(MEMRAY,),
    ),
}
NEEDED = {"cc1": "gcc", "perl": "perl", "sqlite": "sqlite3"}  # by families
TORCH = (
    "import torch; from networks.convnet import run; torch.set_num_threads(1); "
    "torch.manual_seed({seed}); run(steps={steps}, batch={batch})"
)
QUERY = '[range(3000) | {a: ., b: tostring}] | group_by(.a % 7) | map(map(.b) | join(" "))'


@dataclass
class Options:
    """What can be asked for."""

    rounds: int = 5  # of the plain program, our own recorder and memray, of which the median counts
    slow: int = 1  # of those, with valgrind too
    programs: list[str] = field(default_factory=lambda: list(PROGRAMS))
    out: str = "experiments/results/recorders"


def main() -> None:
    """Measures everything, prints the table, writes results.json, table.md and recorders.png."""
    options = _options(sys.argv[1:])
    out = Path(options.out).absolute()
    out.mkdir(parents=True, exist_ok=True)
    names = [name for name in options.programs if _is_here(name)]
    load = [os.getloadavg()[0]]
    sys.path.append(str(TRACES))
    with tempfile.TemporaryDirectory() as folder, chdir(TRACES):
        seconds = _timed(names, options, Path(folder))
        load.append(os.getloadavg()[0])
        counted = _counted(_deterministic(Path(folder)), Path(folder))
        foretold = [_foretold(name, Path(folder)) for name in track(names, "foretelling")]
    reach = {name: PROGRAMS[name].reach for name in names}
    text = table(seconds, reach, counted, foretold, (options.rounds, options.slow))
    results = {
        "command": " ".join(["python experiments/recorders.py", *sys.argv[1:]]),
        "options": asdict(options),
        "depth": DEPTH,
        **provenance(),
        "load": load,  # processes that wanted a core before and after the timing
        "seconds": seconds,
        "requests": [asdict(row) for row in counted],
        "foretold": [asdict(row) for row in foretold],
    }
    write_whole(out / "results.json", json.dumps(results, indent=1) + "\n")
    write_whole(out / "table.md", text)
    draw_recorders(out / "recorders.png", {name: ratios(seconds[name]) for name in seconds})
    console.print(text, markup=False, highlight=False)
    console.print(f"{out}: results.json, table.md, recorders.png")


def _options(words: Sequence[str]) -> Options:
    options = read_options(Options, words)
    if options.rounds < 1 or options.slow < 0 or not options.programs:
        raise SystemExit("rounds and programs must be at least 1, slow at least 0")
    for name in options.programs:
        if name not in PROGRAMS:
            raise SystemExit(f"no program {name!r} to record{nearest(name, PROGRAMS)}")
    try:
        built("recorder")
    except UsageError as error:
        raise SystemExit(f"our own recorder cannot be had: {error}") from None
    return options


def _is_here(name: str) -> bool:
    family = PROGRAMS[name].family
    needed = NEEDED.get(family)
    here = find_spec("torch") if family == "torch" else needed is None or shutil.which(needed)
    if not here:
        console.print(f"{name} is left out: {needed or f'torch in {sys.executable}'} is not here")
    return bool(here)


def _timed(names: Sequence[str], options: Options, folder: Path) -> Seconds:
    """CPU seconds of each program under each recorder, a timing a round, all in turns."""
    found = {name: {kind: [] for kind in _kinds(name)} for name in names}
    turns = [
        (turn, name, kind)
        for turn in range(options.rounds)
        for name in names
        for kind in _kinds(name)
        if kind != VALGRIND or turn < options.slow
    ]
    commands = {name: _command(name, PROGRAMS[name].timed, folder) for name in names}
    for _, name, kind in track(turns, "timing"):
        words = commands[name]
        if kind == VALGRIND:  # what it writes is long, and is not part of what is measured
            words = recorder_of(words, kind, False).words("2")
        elif kind != PLAIN:
            words = recorder_of(words, kind, False).words(str(_fresh(folder)))
        found[name][kind].append(_cpu_seconds(words, PROGRAMS[name].environment))
    return {name: {kind: of for kind, of in kinds.items() if of} for name, kinds in found.items()}


def _kinds(name: str) -> Iterator[str]:
    """Yields how a program is run, as far as what that needs is here."""
    asked = {PLAIN, PRELOAD, *PROGRAMS[name].recorders}
    asked -= {VALGRIND} if shutil.which(VALGRIND) is None else set()
    asked -= {MEMRAY} if find_spec(MEMRAY) is None else set()
    return (kind for kind in KINDS if kind in asked)


def _command(name: str, settings: Settings, folder: Path) -> list[str]:
    """The command line that runs a program from the folder of traces."""
    if PROGRAMS[name].family == "torch":
        return [sys.executable, "-c", TORCH.format(**settings)]
    own = folder / f"{PROGRAMS[name].family}-{'-'.join(map(str, settings.values()))}"
    own.mkdir(exist_ok=True)
    record = import_module("record")
    words = record.command_of(record.FAMILY_PROGRAMS[PROGRAMS[name].family], own, settings)
    return [word for word in words if word != "-S"]  # without which Python finds no memray


def _cpu_seconds(words: Sequence[str], environment: Environment) -> float:
    process = _started(words, environment)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)}: exit status {process.returncode}")
    return used.ru_utime + used.ru_stime


def _started(words: Sequence[str], environment: Environment) -> subprocess.Popen[bytes]:
    # Sets of texts are in the same order each time.
    fixed = {"PYTHONHASHSEED": "0", "PERL_HASH_SEED": "0", "KINETO_LOG_LEVEL": "99"}
    env = {**os.environ, **fixed, **dict(environment)}
    silent = subprocess.DEVNULL
    return subprocess.Popen(words, env=env, stdout=silent, stderr=silent)


def _recorded(words: Sequence[str], environment: Environment, folder: Path) -> Recording:
    log = _fresh(folder)
    _cpu_seconds(recorder_of(words, PRELOAD, False).words(str(log)), environment)
    return read_trace(log)


def _fresh(folder: Path) -> Path:
    """A file that is not there: what a recorder wrote before may be long."""
    log = folder / "recording"
    log.unlink(missing_ok=True)
    return log


def _deterministic(folder: Path) -> dict[str, list[str]]:
    """Command lines of short runs that ask for the same each time.

    Neither perl nor Python does, which keep the variables of their environment, a recorder's too,
    nor cc1, of which a few requests depend on the addresses that it is given.
    """
    record = import_module("record")
    return {
        "sqlite3": _command("sqlite3", PROGRAMS["sqlite3"].first, folder),
        "bc": record.command_of(record.PROGRAMS["valgrind_bc_digits"], folder, {}),
        "jq": ["jq", "--null-input", QUERY],
    }


def _counted(commands: Mapping[str, list[str]], folder: Path) -> list[Counted]:
    """Requests of each, where it and valgrind are there."""
    log, found = folder / "totals", []
    for name, words in commands.items():
        if not all(map(shutil.which, (VALGRIND, words[0]))):
            console.print(f"{name} is not counted: it or valgrind is not here")
            continue
        _cpu_seconds([VALGRIND, "--leak-check=no", f"--log-file={log}", *words], ())
        total = TOTAL.search(log.read_text(encoding="utf-8", errors="replace"))
        if total is None:
            raise SystemExit(f"{name}: valgrind tells no total")
        requests = _recorded(words, (), folder).requests
        found.append(Counted(name, requests, int(total[1].replace(",", ""))))
    return found


def _foretold(name: str, folder: Path) -> Foretold:
    program = PROGRAMS[name]
    settings = (program.first, program.first, program.other)
    first, again, other = (
        _recorded(_command(name, each, folder), program.environment, folder) for each in settings
    )
    same, found = explained_by(first, again), explained_by(first, other)
    assert same is not None  # our own recorder has call sites
    assert found is not None
    measured = (same.known, found.known, found.size, found.site, found.both)
    return Foretold(name, other.requests, *measured)


if __name__ == "__main__":
    main()
