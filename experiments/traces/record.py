"""Records the programs beside this file and puts the recordings into the package's library.

`python experiments/traces/record.py NAME ...` records the programs named, and `all` of them; it
prints the row of each for the library's README. PyTorch: `pip install torch`.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from jaxmem.workloads.traces import Recording, record_torch, write_store
from jaxmem.workloads.traces.store import SUFFIX

HERE = Path(__file__).resolve().parent
LIBRARY = HERE.parents[1] / "jaxmem" / "workloads" / "traces" / "library"
LICENCE = "ours, MIT with the project"
SEED = 0
TORCH = "torch_cpu_"
NETWORKS = tuple(sorted(file.stem for file in (HERE / "networks").glob("*.py")))
NAMES = tuple(f"{TORCH}{network}" for network in NETWORKS)


def main(names: Sequence[str]) -> None:
    """Records each; SystemExit for a name that is not there."""
    chosen = NAMES if list(names) == ["all"] else names
    unknown = [name for name in chosen if name not in NAMES]
    if unknown or not chosen:
        raise SystemExit(f"{unknown}: name one or more of {', '.join(NAMES)}, or all")
    for name in chosen:
        recording = record_network(name)
        licensed = replace(recording.about, licence=LICENCE)
        write_store(LIBRARY / f"{name}{SUFFIX}", replace(recording, about=licensed))
        print(row(recording))


def record_network(name: str) -> Recording:
    """The tensors of a network beside this file, on one thread so that all of them are seen."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # or the profiler tells when it starts
    module, torch = import_module(f"networks.{name.removeprefix(TORCH)}"), import_module("torch")
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    return record_torch(module.run, name, told(module))


def told(module: Any) -> str:
    """What a program does: the first line of its docstring, as a part of a sentence."""
    line = str(module.__doc__).splitlines()[0].removesuffix(".")
    return line if line[1].isupper() else line[0].lower() + line[1:]


def row(recording: Recording) -> str:
    """The line of a recording in the library's README."""
    name, program = recording.name, recording.about.program
    script = f"networks/{name.removeprefix(TORCH)}.py"
    counts = (recording.events, recording.requests, recording.peak_live)
    marked = (f"`{name}`", program, "`record_torch`", f"`{script}`")
    return f"| {' | '.join([*marked, *(f'{count:,}' for count in counts), LICENCE])} |"


if __name__ == "__main__":
    main(sys.argv[1:])
