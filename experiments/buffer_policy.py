"""A policy for the buffers of neural networks, judged on programs that it was not trained on.

`python experiments/buffer_policy.py` learns the weights of a `HoleScorer` for each fold of the
programs, from one seed or several, and says how much memory each program needs under weights that
have not seen it. Then it learns from all accelerator programs, and puts that policy into the
package. What is finished is kept in `experiments/results/buffer_policy`, and a second start goes on
from there. `accelerators`, `tensors`, `variations` or `ship` does one part alone.

Two families are learned apart, as they are alike in little: the accelerator programs of MiniMalloc,
where they lie beside the project in ../shared/data, one left out at a time; and the tensors of
PyTorch in the library, in three folds. Weights are the mean over the last third of the generations,
which differ by chance more than by what they have learned; nothing is chosen on the programs left
out. As chance decides much in one program, `variations` plays each accelerator program in many
slight variations, under the weights that have not seen it.
"""

import itertools
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.progress import track

from jaxmem.evaluation.provenance import provenance
from jaxmem.evaluation.statistics import estimates
from jaxmem.recordings import Recording, library_names, load_library, read_trace
from jaxmem.recordings.evolution import EvolutionConfig, evolve, prior_of
from jaxmem.recordings.headroom import units_needed
from jaxmem.recordings.hole_scorer import HoleScorer
from jaxmem.recordings.orders import order_of
from jaxmem.recordings.policy_file import SMALL_SHARE
from jaxmem.recordings.replay import ReplayEvents, events_of
from jaxmem.recordings.scorer_file import load_scorer, save_scorer
from jaxmem.recordings.variations import Variety, varied, window
from jaxmem.whole_files import write_whole

ROOT = Path(__file__).resolve().parent.parent
MINIMALLOC = ROOT.parent / "shared" / "data" / "minimalloc"
OUT = Path(__file__).parent / "results" / "buffer_policy"
SHIPPED = ROOT / "jaxmem" / "policies" / "shipped" / "scorers"
SEEDS = {"accelerators": (0, 1, 2), "tensors": (0,)}  # of training; the first's weights are kept
STREAMS = 800  # variations or windows that a fold learns from
BEGINNING, WINDOW = 512, 256  # requests
VARIATIONS = 32  # of each accelerator program, to judge by
SLIGHT = Variety(sizes=0.03, dropped=0.05, backward=0.0, mixed=0.0)
LIKE_IT = Variety(sizes=0.1, dropped=0.05, backward=0.0, mixed=0.0)  # tensors' programs
RULES = ("first", "best", "two_ended")
FOLDS = 3  # of the tensors' programs
ALIGNMENT = {"accelerators": 1024, "tensors": 16}  # bytes
CONFIG = {
    "accelerators": EvolutionConfig(factors=(1.15, 1.3, 1.45, 1.7)),
    "tensors": EvolutionConfig(
        generations=80, recordings=16, factors=(1.02, 1.06, 1.12, 1.25), slots=48
    ),
}
NAMES = {"accelerators": "learned"}  # in the package
console = Console()


def main(parts: list[str]) -> None:
    """Runs the parts named, or all."""
    OUT.mkdir(parents=True, exist_ok=True)
    for family in CONFIG:
        if not parts or family in parts:
            judge(family)
    if not parts or "variations" in parts:
        judge_variations()
    if not parts or "ship" in parts:
        for family, name in NAMES.items():
            ship(family, name)


def programs(family: str) -> dict[str, Recording]:
    """The recordings of a family, by name; none where they are not there."""
    if family == "tensors":
        names = [name for name in library_names() if name.startswith("torch_cpu_")]
        return {name: load_library(name) for name in names}
    files = sorted(MINIMALLOC.glob("challenging_*.csv"))
    return {file.name.split(".")[0]: read_trace(file) for file in files}


def judge(family: str) -> None:
    """Learns once for each fold, and plays the programs left out of it."""
    known = programs(family)
    if not known:
        console.print(f"{family}: no programs in {MINIMALLOC.name}; left out")
        return
    folds = len(known) if family == "accelerators" else FOLDS
    file = OUT / f"{family}.json"
    rows = json.loads(file.read_text(encoding="utf-8"))["programs"] if file.exists() else {}
    seeds = SEEDS[family]
    for seed, fold in itertools.product(seeds, range(folds)):
        left_out = list(known)[fold::folds]
        if all(len(rows.get(name, {}).get("learned", [])) > seeds.index(seed) for name in left_out):
            continue
        others = {name: known[name] for name in known if name not in left_out}
        scorer = learn(family, list(others.values()), seed, f"without {', '.join(left_out)}")
        if seed == seeds[0]:
            save_scorer(OUT / f"{family}-{fold}.safetensors", scorer, {"without": left_out})
        for name in track(left_out, "judging", console=console):
            events = events_of(known[name], ALIGNMENT[family])
            row = rows.setdefault(name, {**ruled(events), "learned": [], "fold": fold})
            row["learned"].append(units_needed(events, scorer) / events.peak_live)
            console.print(name, row)
        results = {
            "command": f"python experiments/buffer_policy.py {family}",
            "config": asdict(CONFIG[family]),
            "alignment": ALIGNMENT[family],
            "seeds": seeds,
            "geometric_mean": means(rows),
            "programs": rows,
            **provenance(),
        }
        write_whole(file, json.dumps(results, indent=1) + "\n")


def ruled(events: ReplayEvents) -> dict[str, float]:
    """Arena needed / peak live, by rule."""
    peak = events.peak_live
    rules = {name: order_of(name, peak // SMALL_SHARE) for name in RULES}
    return {name: units_needed(events, rule) / peak for name, rule in rules.items()}


def means(rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Geometric means over the programs, of learned one for each seed that has played them all."""
    played = min(len(row["learned"]) for row in rows.values())
    columns = {name: [[row[name]] for row in rows.values()] for name in RULES}
    columns["learned"] = [row["learned"][:played] for row in rows.values()]
    found = {name: np.exp(np.log(column).mean(axis=0)) for name, column in columns.items()}
    return {
        **{name: float(found[name][0]) for name in RULES},
        "learned": found["learned"].tolist(),
    }


def judge_variations() -> None:
    """Plays variations of the accelerator programs, each under weights that have not seen them."""
    family = "accelerators"
    known, file = programs(family), OUT / f"{family}.json"
    if not known or not file.exists():
        console.print(f"variations: no {file.name}, or no programs; left out")
        return
    fold = {
        name: row["fold"]
        for name, row in json.loads(file.read_text(encoding="utf-8"))["programs"].items()
    }
    rng = np.random.default_rng(VARIATIONS)
    needed: dict[str, list[dict[str, float]]] = {name: [] for name in fold}
    for name in track(sorted(VARIATIONS * list(fold)), "variations", console=console):
        events = events_of(varied(known[name], rng, SLIGHT), ALIGNMENT[family])
        scorer = load_scorer(OUT / f"{family}-{fold[name]}.safetensors")
        learned = units_needed(events, scorer) / events.peak_live
        needed[name].append({**ruled(events), "learned": learned})
    results = {
        "command": "python experiments/buffer_policy.py variations",
        "variety": SLIGHT._asdict(),
        "variations": VARIATIONS,
        "geometric_mean": compared(needed),
        "programs": needed,
        **provenance(),
    }
    text = json.dumps(results, indent=1) + "\n"
    write_whole(OUT / "variations.json", text)
    console.print(results["geometric_mean"])


def compared(needed: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, float | None]]:
    """Geometric means with their 95 % intervals, over variations of all programs.

    Of learned also in the share of what each rule needs on the same variations.
    """
    names = (*RULES, "learned")
    logs = np.log([[[row[name] for name in names] for row in rows] for rows in needed.values()])
    columns = logs.mean(axis=0)  # [VARIATIONS, 4]: each row has one variation of every program
    shares = columns[:, -1:] - columns[:, :-1]
    found = estimates(np.concatenate([columns, shares], axis=1), seed=0)
    titles = (*names, *(f"learned / {name}" for name in RULES))
    return {
        title: {
            "mean": float(np.exp(estimate.mean)),
            "low": None if estimate.low is None else float(np.exp(estimate.low)),
            "high": None if estimate.high is None else float(np.exp(estimate.high)),
        }
        for title, estimate in zip(titles, found, strict=True)
    }


def learn(family: str, known: list[Recording], seed: int, what: str) -> HoleScorer:
    """The mean of the weights of the last third of the generations."""
    config = replace(CONFIG[family], seed=seed)
    learning = evolve(list(streams_of(family, known, seed)), prior_of(known), config)
    title = f"{family}, seed {seed}, {what}"
    turns = list(track(learning, title, total=config.generations, console=console))
    last = [scorer.weights for scorer, _loss in turns[2 * len(turns) // 3 :]]
    return turns[-1][0].replace(weights=jnp.mean(jnp.stack(last), axis=0))


def streams_of(family: str, known: list[Recording], seed: int) -> Iterator[ReplayEvents]:
    """What weights learn from.

    Of short programs variations; of long ones variations of how they begin, and windows of the
    rest, which begin with the blocks that are live then, where best fit has put them.
    """
    rng = np.random.default_rng(seed)
    for number in range(STREAMS):
        recording, given = known[number % len(known)], 0
        if family == "accelerators":
            recording = varied(recording, rng)
        elif number // len(known) % 2:
            first = int(rng.integers(recording.requests - WINDOW + 1))
            recording, given = window(recording, first, WINDOW, full=True)
        else:
            recording = varied(window(recording, 0, BEGINNING, full=False)[0], rng, LIKE_IT)
        yield events_of(recording, ALIGNMENT[family], given)


def ship(family: str, name: str) -> None:
    """Learns from every program of a family, and writes the policy that comes with the package."""
    known = programs(family)
    if not known:
        console.print(f"{family}: no programs in {MINIMALLOC.name}; left out")
        return
    scorer = learn(family, list(known.values()), SEEDS[family][0], "all programs")
    SHIPPED.mkdir(parents=True, exist_ok=True)
    training = {
        "command": "python experiments/buffer_policy.py ship",
        "programs": list(known),
        "config": asdict(CONFIG[family]),
    }
    save_scorer(SHIPPED / f"{name}.safetensors", scorer, training)
    console.print(f"{name}: learned from {len(known)} programs")


if __name__ == "__main__":
    main(sys.argv[1:])
