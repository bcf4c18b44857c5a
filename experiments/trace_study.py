"""What every recording needs under every rule, and under a policy that has not seen its program.

`python experiments/trace_study.py` plays the library, and what lies beside the project in
../shared/data, whole and in bytes. The learned policy is the one in the package; of a program that
it has learned from, the weights of `experiments/buffer_policy.py` that were learned without it.
Figures of each recording are kept in `experiments/results/trace_study/rows`, and a second start
goes on from there; `results.json`, `table.md` and the picture are made of them. Others of your own
play too, on recordings of which you name the beginning:
`python experiments/trace_study.py policies=[runs/mine] recordings=torch_cpu_ out=runs/study`.
"""

import json
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from programs_picture import ProgramRow, draw_programs
from rich.console import Console
from study_options import read_options

from jaxmem.evaluation.provenance import provenance
from jaxmem.recordings import Recording, library_names, load_library, read_trace
from jaxmem.recordings.headroom import CONVENTIONS, headroom
from jaxmem.recordings.policy_file import load_byte_policy, titled_policies
from jaxmem.recordings.replay import events_of
from jaxmem.render.palette import policy_title
from jaxmem.render.progress import StagesDisplay
from jaxmem.render.tables import markdown_row
from jaxmem.whole_files import write_whole

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"
RESULTS = Path(__file__).parent / "results"
OUT = RESULTS / "trace_study"
POLICIES = ("first", "best", "two_ended", "learned")
COLUMNS = (*POLICIES, "offline")
# Families by the beginning of a recording's name, in the order of the table.
FAMILIES = {
    "challenging_": "buffers of accelerator programs (MiniMalloc)",
    "resnet50": "tensors of a training step (idealloc)",
    "torch_cpu_": "tensors of PyTorch on a CPU",
    "xla_": "buffers of XLA on a CPU",
    "medium_": "blocks of PyTorch's CUDA allocator",
    "python_": "objects of Python",
    "": "malloc of programs",
}
UNITS = {"challenging_": 1024, "medium_": 512}  # bytes; of the others 16
BESIDE = (
    *("minimalloc/challenging_*.csv", "idealloc/*.csv", "pytorch_cuda/*.csv.gz"),
    "wee_alloc/find.trace",
)
console = Console()


@dataclass
class Options:
    """What plays beside the policies of the study, and on what."""

    policies: list[str] = field(default_factory=list)  # files and run folders
    recordings: str = ""  # the beginning of their names
    out: str = str(OUT)


class Taken(NamedTuple):
    """A recording of the study."""

    name: str
    recording: Recording
    alignment: int  # bytes
    learned: str  # name or file of the scorer that has not seen it


def main(words: Sequence[str] = ()) -> None:
    """Plays what has not been played, and draws."""
    options = read_options(Options, words)
    for name in options.policies:
        load_byte_policy(name)  # or says at once why not
    out = Path(options.out)
    (out / "rows").mkdir(parents=True, exist_ok=True)
    taken = [each for each in recordings() if each.name.startswith(options.recordings)]
    rows = [row_of(each, out / "rows", options.policies) for each in taken]
    order = list(FAMILIES.values())
    rows.sort(key=lambda row: (order.index(row["family"]), row["name"]))
    columns = (*POLICIES, *titled_policies(options.policies), "offline")
    families = means(rows, columns)
    results = {
        "command": shlex.join(["python", "experiments/trace_study.py", *words]),
        "conventions": CONVENTIONS,
        "families": families,
        "recordings": rows,
        **provenance(),
    }
    write_whole(out / "results.json", json.dumps(results, indent=1) + "\n")
    write_whole(out / "table.md", table(rows, families, columns))
    draw(rows, out, columns)
    console.print(f"{len(rows)} recordings: {out.name}/table.md, programs.png")


def draw(rows: list[dict[str, Any]], out: Path, columns: Sequence[str]) -> None:
    """programs.png, of the recordings of results.json."""
    programs = [
        ProgramRow(
            short(row["name"]), row["family"], {name: row["bounded"][name] for name in columns}
        )
        for row in rows
    ]
    draw_programs(out / "programs.png", programs)


def recordings() -> Iterator[Taken]:
    """What lies beside the project, then the library."""
    file = RESULTS / "buffer_policy" / "accelerators.json"
    found = json.loads(file.read_text(encoding="utf-8"))["programs"] if file.exists() else {}
    unseen = {
        name: str(file.with_name(f"accelerators-{row['fold']}.safetensors"))
        for name, row in found.items()
    }

    def taken(name: str, recording: Recording) -> Taken:
        alignment = next((UNITS[start] for start in UNITS if name.startswith(start)), 16)
        return Taken(name, recording, alignment, unseen.get(name, "learned"))

    for pattern in BESIDE:
        for file in sorted(DATA.glob(pattern)):
            yield taken(file.name.split(".")[0], read_trace(file))
    for name in library_names():
        yield taken(name, load_library(name))


def row_of(taken: Taken, rows: Path, others: Sequence[str]) -> dict[str, Any]:
    """The figures of a recording; as stored, where it was played before.

    Args:
        others: policies that play beside those of the study.
    """
    file = rows / f"{taken.name}.json"
    if file.exists():
        row = json.loads(file.read_text(encoding="utf-8"))
        if row["bounded"].keys() >= titled_policies(others).keys():
            return row
    events = events_of(taken.recording, taken.alignment)
    began = time.time()
    with StagesDisplay(console) as display:
        policies = [*POLICIES[:-1], taken.learned, *others]
        found = headroom(events, policies, lambda doing: display.report(f"{taken.name}: {doing}"))
    ratios = found.ratios()
    called = {Path(taken.learned).stem: "learned"}
    bounded = {called.get(name, name): ratio for name, ratio in ratios["bounded"].items()}
    failed = {
        called.get(name, name): {str(factor): share for factor, share in of.items()}
        for name, of in found.failed.items()
    }
    row = {
        "name": taken.name,
        "family": next(text for start, text in FAMILIES.items() if taken.name.startswith(start)),
        "events": taken.recording.events,
        "requests": taken.recording.requests,
        "alignment": taken.alignment,
        "peak_live": events.peak_live * taken.alignment,
        "bounded": {**bounded, "offline": ratios["offline"]},
        "unbounded": ratios["unbounded"],
        "failed_requests": failed,
        "scorer": Path(taken.learned).name,
        "seconds": time.time() - began,
    }
    write_whole(file, json.dumps(row, indent=1) + "\n")
    console.print(
        f"{taken.name}: {row['seconds']:.0f} s", {k: round(v, 4) for k, v in bounded.items()}
    )
    return row


def means(
    rows: list[dict[str, Any]], columns: Sequence[str] = COLUMNS
) -> dict[str, dict[str, float]]:
    """For each family the geometric means of arena needed / peak live."""
    found: dict[str, list[dict[str, float]]] = {}
    for row in rows:
        found.setdefault(row["family"], []).append(row["bounded"])
    return {
        family: {
            name: float(np.exp(np.mean([np.log(row[name]) for row in of]))) for name in columns
        }
        for family, of in found.items()
    }


def short(name: str) -> str:
    """The name without what its family says."""
    start = next(start for start in FAMILIES if name.startswith(start))
    return name.removeprefix(start).removeprefix("cpu_jax_").replace("_", " ") or name


def table(
    rows: list[dict[str, Any]], families: dict[str, dict[str, float]], columns: Sequence[str]
) -> str:
    """table.md."""
    titles = [*map(policy_title, columns[:-1]), "offline"]
    head = ["recording", "requests", *titles, "learned / best-fit"]
    lines = [
        "# Arena needed / peak live",
        "",
        "The smallest arena in which no request fails, over the most that is ever live. Learned:",
        "by weights that have not seen the program. Offline: with every lifetime known.",
        "",
        markdown_row(head),
        "|:--" + "|--:" * (len(head) - 1) + "|",
    ]
    for family, mean in families.items():
        of = [row for row in rows if row["family"] == family]
        lines.append(markdown_row([f"**{family}**", "", *figures(mean, columns, "**")]))
        lines += [
            markdown_row(
                [short(row["name"]), f"{row['requests']:,}", *figures(row["bounded"], columns)]
            )
            for row in of
        ]
    lines += ["", "In bold: geometric means of a family.", ""]
    return "\n".join(lines) + "\n"


def figures(ratios: dict[str, float], columns: Sequence[str], bold: str = "") -> list[str]:
    """Ratios, and learned beside best-fit, as text."""
    values = [*(ratios[name] for name in columns), ratios["learned"] / ratios["best"]]
    return [f"{bold}{value:.4f}{bold}" for value in values]


if __name__ == "__main__":
    main(sys.argv[1:])
