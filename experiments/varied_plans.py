"""What a plan needs on MiniMalloc's benchmarks when sizes are no longer those it was made for.

`python experiments/varied_plans.py` learns from each of the files `A` to `F` as from one run of a
program in which each buffer has its own call site, and plays runs with sizes that vary. Those runs
choose nothing: margins are chosen on variations that the learner makes itself. Its options are the
fields of `Options`, as `varied=0.03 tests=4 data=FOLDER out=DIR`.
"""

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from study_options import read_options

from jaxmem.evaluation.provenance import provenance
from jaxmem.recordings import Recording, read_trace
from jaxmem.recordings.headroom import units_needed
from jaxmem.recordings.learning import LearnedFromRuns, learn_from_runs
from jaxmem.recordings.orders import order_of
from jaxmem.recordings.policy_file import small_units
from jaxmem.recordings.replay import events_of
from jaxmem.recordings.sites import call_sites
from jaxmem.recordings.variations import Variety, varied
from jaxmem.render.progress import StagesDisplay
from jaxmem.render.tables import markdown_row
from jaxmem.settings.recordings import RuleSearchConfig
from jaxmem.whole_files import write_whole

CHECKOUT = Path(__file__).resolve().parents[1]
FILES = "challenging_*.csv"
FIRST_TEST = 1000  # seed of the first run that tests; the learner's begin at 0
POLICIES = ("best-fit", "two-ended", "class rule", "plan", "chosen")
console = Console()


@dataclass
class Options:
    """What can be set on the command line."""

    data: str = str(CHECKOUT.parent / "shared" / "data" / "minimalloc")
    out: str = "experiments/results/varied_plans"
    varied: float = 0.03  # deviation of the logarithm of sizes
    tests: int = 4  # runs of each file


def main() -> None:
    """Learns from each file, plays its variations, and writes results.json and table.md."""
    options = read_options(Options, sys.argv[1:])
    files = sorted(Path(options.data).glob(FILES))
    if not files:
        raise SystemExit(f"varied_plans.py: there is no {FILES} in {options.data}")
    rows = []
    for file in files:
        rows.append(row_of(file, options))
        console.print(rows[-1])
    mean = {
        name: float(np.exp(np.mean([np.log(row["needed"][name]) for row in rows])))
        for name in POLICIES
    }
    results = {
        "command": " ".join(["python experiments/varied_plans.py", *sys.argv[1:]]),
        "varied": options.varied,
        "rows": rows,
        "mean": mean,
        **provenance(),
    }
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "results.json", json.dumps(results, indent=1) + "\n")
    write_whole(out / "table.md", _table(rows, mean, options))


def row_of(file: Path, options: Options) -> dict:
    """Learns from a file and plays its variations: geometric means over them, by policy."""
    run = profile_run(file)
    config = RuleSearchConfig(sizes_vary=options.varied)
    with StagesDisplay(console) as display:
        learned = learn_from_runs([run], 0, 1, config, display.report)
    played = [
        _needed(variation(run, seed, options.varied), learned)
        for seed in range(FIRST_TEST, FIRST_TEST + options.tests)
    ]
    plan = learned.tried["plan"].plan if "plan" in learned.tried else None
    return {
        "file": file.name.partition(".")[0],
        "buffers": run.requests,
        "margin": None if plan is None else plan.margin,
        "chosen": learned.chosen,
        "needed": {
            name: float(np.exp(np.mean([np.log(needed[name]) for needed in played])))
            for name in POLICIES
        },
        "worst": max(needed["chosen"] for needed in played),
    }


def profile_run(file: Path) -> Recording:
    """Reads a file as a run in which each buffer has its own call site."""
    run = read_trace(file)
    sites = call_sites([f"buffer {number}" for number in range(run.requests)])
    number = np.arange(run.requests, dtype=np.int32)
    return Recording(run.name, run.size, run.lifetime, number, call_sites=sites)


def variation(run: Recording, seed: int, deviation: float) -> Recording:
    """Makes a later run, with the same requests in other sizes."""
    variety = Variety(sizes=deviation, dropped=0, backward=0, mixed=0)
    return replace(run, size=varied(run, np.random.default_rng(seed), variety).size)


def _needed(run: Recording, learned: LearnedFromRuns) -> dict[str, float]:
    """Finds what each policy needs over peak live; what was not tried is what is before it."""
    events = events_of(run, 1)
    two_ended = order_of("two_ended", small_units(events))
    found = {"two-ended": units_needed(events, two_ended) / events.peak_live}
    for name, policy in learned.tried.items():
        needed = units_needed(policy.foretold(events), policy.player)
        found[name] = needed / events.peak_live
    found.setdefault("class rule", found["best-fit"])
    found.setdefault("plan", found["class rule"])
    return {**found, "chosen": found[learned.chosen]}


def _table(rows: list[dict], mean: dict[str, float], options: Options) -> str:
    head = ["buffers of", "buffers", *POLICIES, "worst", "margin"]
    lines = [
        f"# Arena needed / peak live, sizes varied by {options.varied:.0%}",
        "",
        markdown_row(head),
        markdown_row(["---"] * len(head)),
    ]
    for row in rows:
        margin = "" if row["margin"] is None else f"{row['margin']:.0%}"
        needed = [f"{row['needed'][name]:.4f}" for name in POLICIES]
        cells = [row["file"], f"{row['buffers']:,}", *needed, f"{row['worst']:.4f}", margin]
        lines.append(markdown_row(cells))
    means = [f"**{mean[name]:.4f}**" for name in POLICIES]
    lines += [markdown_row(["**geometric mean**", "", *means, "", ""]), ""]
    lines.append(
        f"One run to learn from, {options.tests} others to test, geometric means; in the last but "
        "one column the worst of them for what was chosen."
    )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
