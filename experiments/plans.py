"""How little memory MiniMalloc's benchmarks need where the offsets of all buffers are planned.

`python experiments/plans.py` runs `jaxmem plan` on the files `A` to `F`, one after the other, and
compares what is needed with what is live at the peak. Its options are the fields of `Options`, as
`seconds=5 data=FOLDER out=DIR`.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from study_options import read_options

from jaxmem.cli import main as jaxmem
from jaxmem.render.plan_report import PlanResults
from jaxmem.render.tables import markdown_row
from jaxmem.whole_files import write_whole

CHECKOUT = Path(__file__).resolve().parents[1]
FILES = "challenging_*.csv"
HEADER = ("buffers of", "buffers", "peak live", "arena needed", "ratio", "proven", "by", "seconds")


@dataclass
class Options:
    """What can be set on the command line."""

    data: str = str(CHECKOUT.parent / "shared" / "data" / "minimalloc")
    out: str = "experiments/results/plan"
    seconds: float = 60  # for each file, fewer where it is proven


def main() -> None:
    """Plans each file into a folder of its own, and writes table.md."""
    options = read_options(Options, sys.argv[1:])
    files = sorted(Path(options.data).glob(FILES))
    if not files:
        raise SystemExit(f"plans.py: there is no {FILES} in {options.data}")
    found = [_planned(file, options) for file in files]
    table = _table(found, options.seconds)
    write_whole(Path(options.out, "table.md"), table)
    print(table)


def _planned(file: Path, options: Options) -> PlanResults:
    folder = Path(options.out, file.name.partition(".")[0])
    words = [f"out={folder}", f"seconds={options.seconds:g}", "overwrite=true"]
    if jaxmem(["plan", str(file), *words]):
        raise SystemExit(1)
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return PlanResults(**results)


def _table(found: list[PlanResults], seconds: float) -> str:
    """Writes the table, with the geometric mean of the ratios."""
    rows = [
        (
            results["trace"].partition(".")[0],
            f"{results['buffers']:,}",
            f"{results['peak_live']:,}",
            f"{results['arena_needed']:,}",
            f"{results['ratio']:.4f}",
            "yes" if results["proven"] else "no",
            results["planner"],
            f"{results['heights'][results['planner']][-1][0]:.2f}",
        )
        for results in found
    ]
    mean = float(np.exp(np.mean([np.log(results["ratio"]) for results in found])))
    lines = ["# Offsets of MiniMalloc's benchmarks", "", markdown_row(HEADER)]
    lines += [markdown_row(["---"] * len(HEADER)), *map(markdown_row, rows), ""]
    lines += [
        f"Geometric mean of arena needed / peak live: {mean:.4f}, with at most {seconds:g} seconds "
        "for each; in the last column are those after which the packing was there. Proven: no "
        "packing is lower."
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
