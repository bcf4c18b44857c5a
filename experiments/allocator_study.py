"""Real programs under our allocator: every placement beside the simulator's, and what it costs.

`python experiments/allocator_study.py` runs six programs under six policies, in an arena that grows
and in one of 1.05 times the peak live bytes, and plays each run again by `replay`: what the program
prints has to be what it prints without us, and every placement and figure the replay's. Then it
times longer runs, in turns, by the C library's malloc, by ours under best-fit, and by those
allocators of the distribution that are here. Its options are the fields of `Options`, as
`programs=[perl] torch=PYTHON libraries=DIR out=DIR`: PyTorch is run by an interpreter that has it.
What is in `out` already is not done again.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import chdir
from dataclasses import asdict, dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from allocator_tables import BOUND, GROWING, LIBRARY, OURS, Cost, Equal, table
from recorders import TORCH
from rich.console import Console
from rich.progress import track
from study_options import read_options

from jaxmem.commands.run import events_under, live_player_of
from jaxmem.evaluation.provenance import provenance
from jaxmem.export.c_source import c_source
from jaxmem.export.exported import Exported, read_exported
from jaxmem.export.indexes import kept_of
from jaxmem.names import nearest
from jaxmem.native.allocator import LiveArena, allocator_words
from jaxmem.native.recorder import DEPTH
from jaxmem.recordings.class_rule import RuleNumbers
from jaxmem.recordings.learning import learn_from_runs
from jaxmem.recordings.live_check import differences, replayed
from jaxmem.recordings.live_log import LiveRun, read_live
from jaxmem.recordings.profile import profile_of
from jaxmem.recordings.profiled_policy import ProfiledPolicy
from jaxmem.settings.recordings import RuleSearchConfig
from jaxmem.whole_files import write_whole

TRACES = Path(__file__).resolve().parent / "traces"
LARGE = 95  # per cent of the requests that are small to two-ended
EVERY_FIT = RuleNumbers(long=300, parts=64, fits=(0, 1, 2, 3))  # of a class rule
GROWN = ("first", "best", "worst", "next", "two_ended", "two_ended_tuned")
BOUNDED = ("first", "best", "next", "two_ended", "learned", "class rule")
OTHERS = {  # by the names of their libraries
    "jemalloc": "libjemalloc.so.2",
    "mimalloc": "libmimalloc.so.2.0",
    "tcmalloc": "libtcmalloc_minimal.so.4",
}
# A process of its own, since what it takes is told with that of who has started it.
LAUNCHER = """
import os, sys
null = os.open(os.devnull, os.O_RDWR)
actions = [(os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, null, 2)]
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=actions)
_, status, used = os.wait4(child, 0)
print(os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)
"""
console = Console()

Settings = dict[str, int]


class Studied(NamedTuple):
    """A program, and its runs."""

    family: str
    played: Settings  # under each policy
    other: tuple[Settings, ...]  # that a class rule has its profile from
    timed: Settings
    least: int = 0  # bytes, of the smallest block that is placed


PROGRAMS = {
    "sqlite3": Studied(
        "sqlite",
        {"seed": 1, "rows": 1_000},
        ({"seed": 2, "rows": 700},),
        {"seed": 1, "rows": 60_000},
    ),
    "cc1 -O2": Studied(
        "cc1",
        {"seed": 1, "functions": 4},
        ({"seed": 2, "functions": 3},),
        {"seed": 1, "functions": 120},
    ),
    "perl": Studied(
        "perl",
        {"seed": 1, "lines": 900},
        ({"seed": 2, "lines": 700},),
        {"seed": 1, "lines": 60_000},
    ),
    "sort, 4 threads": Studied(
        "sort",
        {"seed": 1, "lines": 40_000},
        ({"seed": 2, "lines": 30_000},),
        {"seed": 1, "lines": 900_000},
    ),
    "Python": Studied(
        "pipeline",
        {"seed": 1, "rounds": 3, "rows": 100},
        ({"seed": 2, "rounds": 4, "rows": 80},),
        {"seed": 1, "rounds": 20, "rows": 2_000},
    ),
    "PyTorch, training steps": Studied(
        "torch",
        {"seed": 3, "steps": 5, "batch": 24},
        ({"seed": 1, "steps": 6, "batch": 16}, {"seed": 2, "steps": 8, "batch": 8}),
        {"seed": 1, "steps": 12, "batch": 32},
        least=32 * 1024,
    ),
    # More than a million requests, in an arena that grows.
    "sqlite3, long": Studied("sqlite", {"seed": 1, "rows": 110_000}, (), {}),
}


@dataclass
class Options:
    """What can be asked for."""

    programs: list[str] = field(default_factory=lambda: list(PROGRAMS))
    rounds: int = 3  # of timing, of which the median counts; 0: none
    torch: str = ""  # an interpreter that has PyTorch; "": without it
    libraries: str = "/usr/lib/x86_64-linux-gnu"  # a folder of other allocators
    out: str = "experiments/results/allocator"

    @property
    def studied(self) -> dict[str, Studied]:
        """Those of the programs that can be run."""
        return {
            name: PROGRAMS[name]
            for name in self.programs
            if PROGRAMS[name].family != "torch" or self.torch
        }


class Program(NamedTuple):
    """A program that can be run, from the folder of traces."""

    name: str
    studied: Studied
    interpreter: str  # that has PyTorch
    folder: Path

    def words(self, settings: Settings) -> list[str]:
        """Returns its command line."""
        family = self.studied.family
        if family == "torch":
            code = TORCH.format(**settings) + "; print(torch.rand(3).tolist())"
            return [self.interpreter, "-c", code]
        own = self.folder / f"{family}-{'-'.join(map(str, settings.values()))}"
        own.mkdir(exist_ok=True)
        if family == "sort":
            lines = np.random.default_rng(settings["seed"]).integers(10**9, size=settings["lines"])
            (own / "lines").write_text("\n".join(map(str, lines)))
            return ["/usr/bin/sort", "--parallel=4", "--buffer-size=200K", str(own / "lines")]
        record = import_module("record")
        words = record.command_of(record.FAMILY_PROGRAMS[family], own, settings)
        return [_path(words[0]), *words[1:]]


def main() -> None:
    """Runs everything that is not there yet, prints the table, writes results.json and table.md."""
    options = _options(sys.argv[1:])
    out = Path(options.out).absolute()
    (out / "rows").mkdir(parents=True, exist_ok=True)
    sys.path.append(str(TRACES))
    played, timed = [], []
    with tempfile.TemporaryDirectory() as temporary, chdir(TRACES):
        for name, studied in options.studied.items():
            program = Program(name, studied, options.torch, Path(temporary))
            played += _once(out, name, lambda program=program: _equals(program))
            if options.rounds and studied.timed:
                timed += _once(
                    out, f"{name} timed", lambda program=program: _costs(program, options)
                )
    equal = [Equal(**row) for row in played]
    costs = [Cost(**row) for row in timed]
    results = {
        "command": " ".join(["python experiments/allocator_study.py", *sys.argv[1:]]),
        "options": {"programs": list(options.studied), "rounds": options.rounds},
        **provenance(),
        "equal": [asdict(row) for row in equal],
        "costs": [asdict(row) for row in costs],
    }
    text = table(equal, costs, options.rounds)
    write_whole(out / "results.json", json.dumps(results, indent=1) + "\n")
    write_whole(out / "table.md", text)
    console.print(text, markup=False, highlight=False)
    console.print(f"{out}: results.json, table.md")
    if not all(row.same_output and not row.differences for row in equal):
        raise SystemExit(3)


def _once(
    out: Path, name: str, make: Callable[[], Iterable[Equal] | Iterable[Cost]]
) -> list[dict[str, Any]]:
    """Returns the rows of a part of the study, which is done where its file is not there yet."""
    file = out / "rows" / f"{re.sub('[^a-zA-Z0-9]+', '-', name)}.json"
    if not file.exists():
        rows = [asdict(row) for row in track(make(), name)]
        write_whole(file, json.dumps(rows, indent=1) + "\n")
    return json.loads(file.read_text(encoding="utf-8"))


def _options(words: Sequence[str]) -> Options:
    options = read_options(Options, words)
    for name in options.programs:
        if name not in PROGRAMS:
            raise SystemExit(f"no program {name!r} to study{nearest(name, PROGRAMS)}")
    return options


def _path(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise SystemExit(f"{program} is not here")
    return found


def _environment() -> dict[str, str]:
    # Sets of texts are in the same order each time.
    fixed = {"PYTHONHASHSEED": "0", "PERL_HASH_SEED": "0", "KINETO_LOG_LEVEL": "99", "LC_ALL": "C"}
    return {**os.environ, **fixed}


def _equals(program: Program) -> Iterator[Equal]:
    """Plays a program under each policy, in arenas that grow and that are bounded."""
    studied = program.studied
    plain = printed(program.words(studied.played))
    if not studied.other:
        yield _equal(program, plain, read_exported("best"), "best", 0, GROWING)
        return
    first = _live(program, studied.played, read_exported("best"), 0, 0)
    units = -(-first.recording.size // first.unit)
    threshold = int(np.percentile(units, LARGE))
    cells = round(BOUND * first.figures.peak_live)
    for name in GROWN:
        yield _equal(program, plain, _policy(program, name, threshold), name, 0, GROWING)
    for name in BOUNDED:
        policy = _policy(program, name, threshold)
        yield _equal(program, plain, policy, name, cells, f"{BOUND:g} x peak")


def _policy(program: Program, name: str, threshold: int) -> Exported:
    if name == "class rule":
        return _class_rule(program)
    return read_exported(name, threshold if name.startswith("two_ended") else None)


def _class_rule(program: Program) -> Exported:
    """Learns one of runs on other inputs.

    Of ordinary programs, whose rule would be best-fit's, only the profile is learned, and each
    class has a fit of its own.
    """
    best = read_exported("best")
    runs = [
        replace(_live(program, settings, best, 0, DEPTH).recording, name=str(number))
        for number, settings in enumerate(program.studied.other)
    ]
    if program.studied.family == "torch":
        policy = learn_from_runs(runs, 0, 16, RuleSearchConfig()).policy
    else:
        policy = ProfiledPolicy(profile_of(runs), EVERY_FIT)
    return Exported("class_rule", policy)


def _live(
    program: Program, settings: Settings, policy: Exported, cells: int, depth: int
) -> LiveRun:
    """Runs a program under a policy, in an arena of so many units; 0: it grows."""
    return _run(program, settings, policy, cells, depth)[1]


def _run(
    program: Program, settings: Settings, policy: Exported, cells: int, depth: int
) -> tuple[bytes, LiveRun]:
    arena = LiveArena(cells, 16, program.studied.least)
    return live_run(program.words(settings), policy, arena, depth, program.folder, program.name)


def live_run(
    words: Sequence[str], policy: Exported, arena: LiveArena, depth: int, folder: Path, name: str
) -> tuple[bytes, LiveRun]:
    """Runs a command under a policy; returns what it prints, and its run.

    Args:
        depth: return addresses of a call site.
        folder: of the log.
        name: of the program.
    """
    log = folder / "log"
    log.unlink(missing_ok=True)
    words = allocator_words(str(log), c_source(policy), kept_of(policy), arena, words, depth)
    return printed(words), read_live(log, name, name)


def printed(words: Sequence[str]) -> bytes:
    """Runs a command and returns what it prints; SystemExit where it fails."""
    done = subprocess.run(words, env=_environment(), capture_output=True)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[-300:]
        raise SystemExit(f"{' '.join(words)}: exit status {done.returncode}: {said}")
    return done.stdout


def _equal(
    program: Program, plain: bytes, policy: Exported, name: str, cells: int, arena: str
) -> Equal:
    """Plays a program under a policy, and that again; `plain` is what it prints without us."""
    depth = DEPTH if name == "class rule" else 0
    printed, run = _run(program, program.studied.played, policy, cells, depth)
    again = replayed(events_under(policy, run), cells, live_player_of(policy), lambda share: None)
    figures = run.figures
    return Equal(
        program=program.name,
        policy=name,
        arena=arena,
        requests=run.recording.requests,
        same_output=printed == plain,
        differences=differences(run, again),
        peak_live=figures.peak_live * run.unit,
        high_water=figures.high_water * run.unit,
        failed=figures.failed,
        nanoseconds=run.nanoseconds,
    )


def _costs(program: Program, options: Options) -> list[Cost]:
    """Times a program by each allocator, in turns."""
    libraries = {
        name: Path(options.libraries, file)
        for name, file in OTHERS.items()
        if Path(options.libraries, file).exists()
    }
    best, log = read_exported("best"), program.folder / "log"
    arena = LiveArena(0, 16, program.studied.least)
    plain = program.words(program.studied.timed)
    words = {
        LIBRARY: plain,
        OURS: allocator_words(str(log), c_source(best), kept_of(best), arena, plain, 0),
        **{
            kind: ["/usr/bin/env", f"LD_PRELOAD={path}", *plain] for kind, path in libraries.items()
        },
    }
    turns = [kind for _ in range(options.rounds) for kind in words]
    found = {kind: [] for kind in words}
    for kind in track(turns, f"timing {program.name}"):
        found[kind].append(_used(words[kind]))
    return [
        Cost(program.name, kind, [cpu for cpu, _ in used], [size for _, size in used])
        for kind, used in found.items()
    ]


def _used(words: Sequence[str]) -> tuple[float, int]:
    """CPU seconds, user and system, and peak RSS in bytes, of a program."""
    launched = [sys.executable, "-I", "-S", "-c", LAUNCHER, *words]
    told = subprocess.run(launched, env=_environment(), capture_output=True, check=True).stdout
    status, seconds, size = told.decode().split()
    if status != "0":
        raise SystemExit(f"{' '.join(words)}: exit status {status}")
    return float(seconds), int(size)


if __name__ == "__main__":
    main()
