"""The report of the placement study, from the members that there are."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from matplotlib.ticker import PercentFormatter
from placement_tables import BETTER, HEURISTICS, judged_by, markdown, short_table
from rich.console import Console

from jaxmem.evaluation.hindsight import Bounds, way
from jaxmem.evaluation.run import run
from jaxmem.evaluation.statistics import estimate_over_seeds
from jaxmem.policies import policy
from jaxmem.policies.policy_file import load_policy
from jaxmem.render import draw_memory_map
from jaxmem.render.palette import GRID, MUTED, policy_colour, policy_title
from jaxmem.render.study import Panel, draw_learning_bands
from jaxmem.render.style import FIGURE_WIDTH, new_figure, picture_style, save_figure
from jaxmem.rules import CLASSICAL
from jaxmem.whole_files import write_whole
from jaxmem.workloads.registry import workload

SHOWN = ("large-short-lived", "stack-with-leaks")  # memory maps


def write_report(out: Path, study: dict[str, Any], console: Console) -> None:
    """results.json, table.md and the pictures, of every row with a finished member."""
    rows = {name: found for name in study["rows"] if (found := _row(out, name)) is not None}
    if not rows:
        console.print("no member is finished yet: nothing to report")
        return
    results = {
        "study": {key: value for key, value in study.items() if key != "hydra"},
        "rows": {name: row["summary"] for name, row in rows.items()},
    }
    text = markdown(rows)
    write_whole(out / "results.json", json.dumps(results, indent=1) + "\n")
    write_whole(out / "table.md", text)
    by_failures = judged_by(rows, "failed_requests")
    if by_failures:
        draw_learning_bands(
            out / "learning_curves.png", [_panel(name, row) for name, row in by_failures.items()]
        )
        _draw_profile(out / "profile.png", _ratios(by_failures))
    for name in SHOWN:
        if name in rows:
            _draw_memory(out, name, rows[name], study)
    for measure in BETTER:
        if judged_by(rows, measure):
            console.print(short_table(rows, measure))
    console.print(f"\n{out}: results.json, table.md, pictures, members/")


def _row(out: Path, name: str) -> dict[str, Any] | None:
    """Everything that is known of one workload, and its summary for results.json."""
    files = sorted(file for file in (out / "members").glob(f"{name}-[0-9]*.json"))
    if not files:
        return None
    members = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    arrays = [_arrays(file.with_suffix(".npz")) for file in files]
    rules = _arrays(out / "members" / f"{name}-rules.npz")
    about = json.loads((out / "members" / f"{name}-rules.json").read_text(encoding="utf-8"))
    learned = {key: np.stack([one[key] for one in arrays]) for key in arrays[0]}
    played: dict[str, dict[str, np.ndarray]] = {}
    for column, found in rules.items():
        rule, key = column.split("/")
        played.setdefault(rule, {})[key] = found
    measure = next(key for key in BETTER if key in learned)
    better, ours = BETTER[measure], learned[measure]
    values = {rule: played[rule][measure].mean() for rule in played}

    def best_of(known: tuple[str, ...]) -> dict[str, Any]:
        rule = better((rule for rule in known if rule in played), key=lambda rule: values[rule])
        difference = estimate_over_seeds(ours - played[rule][measure], 0)
        return {"rule": rule, measure: values[rule], "difference": vars(difference)}

    summary = {
        "cells": members[0]["cells"],
        "seeds": [member["seed"] for member in members],
        "learned": {key: vars(estimate_over_seeds(learned[key], 0)) for key in learned},
        "by_seed": ours.mean(axis=1).tolist(),
        "best_of_four_fits": best_of(CLASSICAL),
        "best_heuristic": best_of(HEURISTICS),
        "rules": {
            rule: {key: float(found.mean()) for key, found in columns.items()}
            for rule, columns in played.items()
        },
        "seconds": [member["seconds"] for member in members],
        "episodes": [member["episodes"] for member in members],
        "devices": sorted({member["device"] for member in members}),
        "base_policies": sorted({member["base_policy"] for member in members}),
        "hindsight": _hindsight(out / "members" / f"{name}-bounds.npz", ours, played),
        "failures": members[0]["failures"],
        "addresses": {"learned": members[0]["addresses"], **about["addresses"]},
    }
    return {"summary": summary, "members": members, "played": played, "files": files}


def _hindsight(
    file: Path, ours: np.ndarray, played: dict[str, dict[str, np.ndarray]]
) -> dict[str, Any] | None:
    """The bounds on the first test sequences, beside the mean over seeds and best-fit there.

    Args:
        ours: float64[S, P]  failed requests of each seed, in %.
    """
    if not file.exists():
        return None
    known = _arrays(file)
    searched = len(known["hindsight"])
    learned = ours[:, :searched].mean(axis=0)
    best = played["best"]["failed_requests"][:searched]
    found = Bounds(best=best, start=np.empty(0), **known)
    gone = way(learned, found, 0)
    columns = {"best": best, "learned": learned, **known}
    return {
        "sequences": searched,
        "failed_requests": {name: float(column.mean()) for name, column in columns.items()},
        "gap_closed": vars(gone) if gone else None,
    }


def _arrays(file: Path) -> dict[str, np.ndarray]:
    with np.load(file, allow_pickle=False) as found:
        return {key: found[key].astype(np.float64) for key in found.files}


def _panel(name: str, row: dict[str, Any]) -> Panel:
    members = row["members"]
    references = members[0]["validation_references"]
    strongest = min(CLASSICAL, key=lambda rule: references[rule])
    return Panel(
        title=name,
        steps=[np.array([point["steps"] for point in one["curve"]]) for one in members],
        failed=[np.array([point["failed"] for point in one["curve"]]) for one in members],
        references={strongest: references[strongest]},
    )


def _ratios(rows: dict[str, dict[str, Any]]) -> dict[str, np.ndarray]:
    """Failures over those of the best of the four fits, one number a member."""
    ratios: dict[str, list[float]] = {}
    for row in rows.values():
        one = row["summary"]
        base = one["best_of_four_fits"]["failed_requests"]
        for failed in one["by_seed"]:
            ratios.setdefault("learned", []).append(failed / base)
            for rule in ("two_ended_tuned", "two_ended", "best", "first"):
                ratios.setdefault(rule, []).append(one["rules"][rule]["failed_requests"] / base)
    return {name: np.array(values) for name, values in ratios.items()}


def _draw_memory(out: Path, name: str, row: dict[str, Any], study: dict[str, Any]) -> None:
    """A typical test sequence as the learned policy of the first seed, and best-fit, placed it."""
    options = study["rows"][name].get("options", {})
    task = workload(study["rows"][name].get("workload", name), None, **options)
    requests = task.requests("test", study["test_seed"], study["sequences"])
    number = typical(_arrays(row["files"][0].with_suffix(".npz")), row["played"]["best"])
    requests = jax.tree.map(lambda column: column[number : number + 1], requests)
    players = {
        "learned": load_policy(row["files"][0].with_suffix(".safetensors")),
        "best": policy("best"),
    }
    starts = {
        key: np.asarray(run(player, requests, task).start)[0] for key, player in players.items()
    }
    draw_memory_map(
        out / f"memory-{name}.png",
        starts,
        np.asarray(requests.size[0]),
        np.asarray(requests.lifetime[0]),
        task.cells,
        layout=task.layout,
        title=f"{name}: test sequence {number + 1}, a typical one (median difference); "
        f"{task.length} requests, {task.cells} cells",
    )


def typical(learned: dict[str, np.ndarray], best: dict[str, np.ndarray]) -> int:
    """The sequence, from 0, on which learning gains what it gains in the median.

    It is the one whose difference of failed requests to best-fit is nearest to the median of all
    differences; of several, that on which best-fit itself is nearest to its median.

    Args:
        learned, best: with "failed_requests", float64[P], % of the requests of each sequence.
    """
    base = best["failed_requests"]
    difference = learned["failed_requests"] - base
    off = np.abs(difference - np.median(difference)), np.abs(base - np.median(base))
    return int(np.lexsort(off[::-1])[0])


def _draw_profile(path: Path, ratios: Mapping[str, np.ndarray]) -> None:
    """Draws the performance profile: in which share of the runs a policy fails at most x times as
    much as the best of the four textbook fits.

    Args:
        ratios: float[R] for each policy: its failures over those of that fit, one a run. (Dolan
            and More 2002, Benchmarking optimization software with performance profiles.)
    """
    with picture_style():
        figure = new_figure(FIGURE_WIDTH, 4.4)
        axes = figure.subplots()
        figure.suptitle("How often a policy fails how little", x=0.01, ha="left")
        for name, values in ratios.items():
            at = np.sort(np.asarray(values, np.float64))
            share = np.arange(1, at.size + 1) / at.size
            width = 3.0 if name == "learned" else 1.8
            axes.step([0, *at, 10], [0, *share, share[-1]], where="post", lw=width,
                      color=policy_colour(name), label=policy_title(name))  # fmt: skip
        axes.axvline(1.0, color=MUTED, lw=0.8)
        axes.set_xlim(0, 1.6)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("failed requests, over those of the best of first-, second-, best- and "
                        "worst-fit on the same workload")  # fmt: skip
        axes.set_ylabel("share of workloads and seeds")
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.grid(color=GRID, lw=0.8)
        axes.legend(loc="upper left")
        save_figure(figure, path)
