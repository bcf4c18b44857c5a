"""Time to quality: how long trainers train until their policies fail as little as rules do.

`python experiments/trainers_study.py rejax=PYTHON sb3=PYTHON` runs each trainer with each seed, one
after another, each in a process of its own by an interpreter that has its packages; those without
one are left out. What is in `out` already is not run again, so that it may be stopped at any time.
Its options are the fields of `Options`.
"""

import json
import os
import subprocess
import sys
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raced_trainers import ENTRIES, TASK
from rich.console import Console
from study_options import read_options
from trainer_race import question
from trainers_report import summary, write_report

from jaxmem.evaluation.provenance import provenance
from jaxmem.names import nearest
from jaxmem.render.progress import StagesDisplay
from jaxmem.whole_files import write_whole

HERE = Path(__file__).resolve().parent
console = Console()


@dataclass
class Options:
    """What can be asked for."""

    rejax: str = ""  # an interpreter that has rejax
    purejax: str = ""  # one that finds the files of PureJaxRL and purejaxql
    sb3: str = ""  # one that has sb3-contrib
    trainers: list[str] = field(default_factory=lambda: list(ENTRIES))
    seeds: int = 5
    limit: float = 120.0  # CPU seconds of training, of each run
    out: str = "experiments/results/trainers"


def main() -> None:
    """Runs what is not there yet; writes results.json, table.md and the picture."""
    options = _options()
    out = Path(options.out)
    (out / "rows").mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[dict[str, Any]]] = {}
    # Seed by seed, so that a study that is stopped has something to say about every trainer.
    try:
        for seed in range(options.seeds):
            for name in options.trainers:
                row = _row(name, seed, out, options)
                if row:
                    rows.setdefault(name, []).append(row)
    finally:
        if rows:
            _report(out, rows, options)
    if not rows:
        raise SystemExit("nothing was run")
    console.print((out / "table.md").read_text(encoding="utf-8"), markup=False, highlight=False)
    console.print(f"{out}: results.json, table.md, time_to_quality.png, rows/")


def _options() -> Options:
    options = read_options(Options, sys.argv[1:])
    for name in options.trainers:
        if name not in ENTRIES:
            raise SystemExit(f"trainers: unknown trainer {name!r}{nearest(name, ENTRIES)}")
    if options.seeds < 1 or options.limit <= 0:
        raise SystemExit("seeds must be at least 1, and limit above 0")
    return options


def _row(name: str, seed: int, out: Path, options: Options) -> dict[str, Any] | None:
    """Reads a row, or has it made; None: there is no interpreter for it."""
    file, entry = out / "rows" / f"{name}-{seed}.json", ENTRIES[name]
    if not file.exists():
        python = getattr(options, entry.needs) if entry.needs else sys.executable
        if not python:
            if seed == 0:
                console.print(f"{entry.title} is left out: it needs {entry.needs}=PYTHON")
            return None
        words = [f"trainer={name}", f"seed={seed}", f"limit={options.limit}", f"out={file}"]
        _run(f"{entry.title}, seed {seed}", [python, str(HERE / "trainer_race.py"), *words])
    row = json.loads(file.read_text(encoding="utf-8"))
    asked = json.loads(json.dumps(question(name, seed, options.limit)))
    differing = [key for key in asked if row.get(key) != asked[key]]
    if differing:
        raise SystemExit(f"{file} is of another {', '.join(differing)}; take another out=DIR")
    return row


def _run(title: str, command: list[str]) -> None:
    """Runs one race, and shows what it says; SystemExit with its last words where it fails."""
    last: deque[str] = deque(maxlen=8)
    paths = os.pathsep.join([str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    try:
        race = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "PYTHONPATH": paths},
        )  # fmt: skip
    except OSError as error:
        raise SystemExit(f"{title}: {command[0]}: {error.strerror}") from None
    with race, StagesDisplay(console) as display:
        display.report(f"{title}: compiling")
        assert race.stdout
        for line in race.stdout:
            last.append(line.rstrip())
            display.report(f"{title}: {last[-1]}")
    if race.returncode:
        said = "\n".join(last)
        raise SystemExit(f"{title}: exit status {race.returncode}; finished rows are kept\n{said}")
    console.print(f"{title}: {last[-1]}", markup=False, highlight=False)


def _report(out: Path, rows: dict[str, list[dict[str, Any]]], options: Options) -> None:
    trainers = summary(rows)
    results = {
        "command": " ".join(["python experiments/trainers_study.py", *_words()]),
        "workload": TASK,
        "limit": options.limit,
        "trainers": trainers,
        "settings": {name: ENTRIES[name].settings for name in rows},
        **provenance(),
    }
    write_whole(out / "results.json", json.dumps(results, indent=1) + "\n")
    write_report(out, trainers, rows, options.limit)


def _words() -> list[str]:
    """Writes the command line, less the places of interpreters."""
    words = (word.partition("=") for word in sys.argv[1:])
    return [
        f"{name}={'PYTHON' if name in ('rejax', 'purejax', 'sb3') else value}"
        for name, _, value in words
    ]


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        console.print("stopped; finished rows are kept")
        raise SystemExit(130) from None
