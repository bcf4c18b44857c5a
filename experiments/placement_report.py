"""The report of the placement study, from the members that there are."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from jaxmem.evaluation.run import run
from jaxmem.evaluation.statistics import estimate_over_seeds
from jaxmem.policies import CLASSICAL, policy
from jaxmem.policies.saved import load_policy
from jaxmem.render import draw_memory_map
from jaxmem.render.study import Panel, draw_learning_bands, draw_profile
from jaxmem.workloads.registry import workload

SHOWN = ("large-short-lived", "stack-with-leaks")  # memory maps
HEURISTICS = ("two_ended", "segregated", "hint_fit")
# What a row is judged by: of its best rule, and in words.
_BETTER = {"failed_requests": min, "return": max}
_TITLES = {"failed_requests": "failed requests (%)", "return": "return"}


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
    text = _table(rows)
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (out / "table.md").write_text(text, encoding="utf-8")
    by_failures = _judged_by(rows, "failed_requests")
    if by_failures:
        draw_learning_bands(
            out / "learning_curves.png", [_panel(name, row) for name, row in by_failures.items()]
        )
        draw_profile(out / "profile.png", _ratios(by_failures))
    for name in SHOWN:
        if name in rows:
            _draw_memory(out, name, rows[name], study)
    for measure in _BETTER:
        if _judged_by(rows, measure):
            console.print(_short_table(rows, measure))
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
    measure = next(key for key in _BETTER if key in learned)
    better, ours = _BETTER[measure], learned[measure]
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
        "guides": sorted({member["guide"] for member in members}),
        "failures": members[0]["failures"],
        "addresses": {"learned": members[0]["addresses"], **about["addresses"]},
    }
    return {"summary": summary, "members": members, "played": played, "files": files}


def _arrays(file: Path) -> dict[str, np.ndarray]:
    with np.load(file, allow_pickle=False) as found:
        return {key: found[key].astype(np.float64) for key in found.files}


def _judged_by(rows: dict[str, dict[str, Any]], measure: str) -> dict[str, dict[str, Any]]:
    """The rows that are judged by this measure."""
    return {name: row for name, row in rows.items() if measure in row["summary"]["learned"]}


def _table(rows: dict[str, dict[str, Any]]) -> str:
    """The whole report in Markdown."""
    by_failures, by_return = (_judged_by(rows, measure) for measure in _BETTER)
    lines = ["# Learned placement, workload by workload", ""]
    lines += _failure_table(by_failures) if by_failures else []
    lines += _return_table(by_return) if by_return else []
    lines += [*_failures(by_failures), ""] if by_failures else []
    lines += [*_addresses(rows), "", *_made(rows)]
    return "\n".join(lines) + "\n"


def _failure_table(rows: dict[str, dict[str, Any]]) -> list[str]:
    """The rows that are judged by what fails."""
    some = next(iter(rows.values()))["members"][0]
    lines = [
        f"Failed requests (%) on {some['sequences']:,} test sequences of each workload, on which "
        "nothing was trained or tuned: interquartile mean over training seeds, with 95 % "
        "stratified bootstrap intervals over seeds and sequences; differences are paired.",
        "",
        "| workload (cells) | seeds | best of four fits | two-ended | segregated | hint-fit | "
        "learned | difference to the best of the fits | to the best heuristic | failed cells, "
        "learned / best of the fits (%) | external fragmentation, learned / best-fit | minutes |",
        "|:--|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, row in rows.items():
        one = row["summary"]
        rules, learned = one["rules"], one["learned"]
        fit, heuristic = one["best_of_four_fits"], one["best_heuristic"]
        cells = [
            f"{name} ({one['cells']})",
            f"{len(one['seeds'])}",
            f"{fit['failed_requests']:.2f} {fit['rule']}",
            *(
                f"{rules[rule]['failed_requests']:.2f}" if rule in rules else ""
                for rule in HEURISTICS
            ),
            f"**{_interval(learned['failed_requests'])}**",
            _interval(fit["difference"], signed=True),
            _interval(heuristic["difference"], signed=True),
            f"{learned['failed_cells']['mean']:.2f} / {rules[fit['rule']]['failed_cells']:.2f}",
            f"{learned['external_fragmentation']['mean']:.3f} / "
            f"{rules['best']['external_fragmentation']:.3f}",
            f"{np.mean(one['seconds']) / 60:.1f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def _return_table(rows: dict[str, dict[str, Any]]) -> list[str]:
    """The rows whose episodes end at the first failure."""
    some = next(iter(rows.values()))["members"][0]
    lines = [
        "## Until the first failure",
        "",
        "The return, 0.1 for each request placed before the first that fails, which ends the "
        f"episode: more is better. {some['sequences']:,} test sequences, intervals as above. The "
        "ceiling is what an allocator reaches that may move blocks at any time.",
        "",
        "| workload (cells) | seeds | best of four fits | two-ended | segregated | learned | "
        "difference to the best of the fits | to the best heuristic | ceiling | "
        "learned / ceiling (%) | minutes |",
        "|:--|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, row in rows.items():
        one = row["summary"]
        rules, learned = one["rules"], one["learned"]["return"]
        fit, ceiling = one["best_of_four_fits"], one["rules"]["compacting"]["return"]
        cells = [
            f"{name} ({one['cells']})",
            f"{len(one['seeds'])}",
            f"{fit['return']:.2f} {fit['rule']}",
            *(f"{rules[rule]['return']:.2f}" for rule in ("two_ended", "segregated")),
            f"**{_interval(learned)}**",
            _interval(fit["difference"], signed=True),
            _interval(one["best_heuristic"]["difference"], signed=True),
            f"{ceiling:.2f}",
            f"{100 * learned['mean'] / ceiling:.1f}",
            f"{np.mean(one['seconds']) / 60:.1f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def _short_table(rows: dict[str, dict[str, Any]], measure: str) -> Table:
    """What a terminal has room for, of the rows that are judged by a measure."""
    table = Table("workload", "seeds", title=_TITLES[measure], title_justify="left")
    for header in ("best of four fits", "best heuristic", "learned", "difference to the fit"):
        table.add_column(header, justify="right")
    for name, row in _judged_by(rows, measure).items():
        one = row["summary"]
        fit, heuristic = one["best_of_four_fits"], one["best_heuristic"]
        table.add_row(
            name,
            str(len(one["seeds"])),
            f"{fit[measure]:.2f} {fit['rule']}",
            f"{heuristic[measure]:.2f} {heuristic['rule']}",
            _interval(one["learned"][measure]),
            _interval(fit["difference"], signed=True),
        )
    return table


def _interval(estimate: dict[str, Any], *, signed: bool = False) -> str:
    form = "{:+.2f}" if signed else "{:.2f}"
    numbers = [form.format(estimate[key]) for key in ("mean", "low", "high")]
    return f"{numbers[0]} [{numbers[1]}, {numbers[2]}]"


def _failures(rows: dict[str, dict[str, Any]]) -> list[str]:
    """Failures that the learned policy has and best-fit has not, and the other way round."""
    lines = [
        "## Who fails what",
        "",
        "Requests in 10,000 that failed under both, under the learned policy of seed 0 alone, and "
        "under best-fit alone, with their mean size in cells.",
        "",
        "| workload | both | learned alone | best-fit alone | "
        "mean size: both | learned alone | best-fit alone |",
        "|:--|--:|--:|--:|--:|--:|--:|",
    ]
    groups = ("both", "only_learned", "only_best")
    for name, row in rows.items():
        failures = row["summary"]["failures"]
        shares = [
            f"{1e4 * failures[group]['requests'] / failures['counted']:.0f}" for group in groups
        ]
        sizes = [failures[group]["mean_size"] for group in groups]
        shown = [f"{size:.1f}" if size is not None else "" for size in sizes]
        lines.append("| " + " | ".join([name, *shares, *shown]) + " |")
    return lines


def _addresses(rows: dict[str, dict[str, Any]]) -> list[str]:
    """Where each policy puts which blocks."""
    lines = [
        "## Where blocks go",
        "",
        "Share of the blocks of each kind whose middle lies in the lowest / highest third of the "
        "arena (%); small and short-lived are those up to the median of the workload. Seed 0.",
        "",
        "| workload | kind | learned | best-fit | segregated |",
        "|:--|:--|--:|--:|--:|",
    ]
    for name, row in rows.items():
        found = row["summary"]["addresses"]
        for kind in found["learned"]:
            shares = [
                f"{100 * at['low_third']:.0f} / {100 * at['high_third']:.0f}" if at else ""
                for at in (found[rule].get(kind) for rule in ("learned", "best", "segregated"))
            ]
            lines.append("| " + " | ".join([name, kind, *shares]) + " |")
    return lines


def _made(rows: dict[str, dict[str, Any]]) -> list[str]:
    """What each row was trained with, and on."""
    lines = ["## How it was made", ""]
    for name, row in rows.items():
        one = row["summary"]
        episodes = int(np.mean(one["episodes"]))
        made = [f"{episodes:,} episodes a seed", *one["guides"], f"on {', '.join(one['devices'])}"]
        lines.append(f"- {name}: {'; '.join(made)}")
    return lines


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
            for rule in ("segregated", "two_ended", "best", "first"):
                ratios.setdefault(rule, []).append(one["rules"][rule]["failed_requests"] / base)
    return {name: np.array(values) for name, values in ratios.items()}


def _draw_memory(out: Path, name: str, row: dict[str, Any], study: dict[str, Any]) -> None:
    """The first test sequence as the learned policy of the first seed, and best-fit, placed it."""
    options = study["rows"][name].get("options", {})
    task = workload(study["rows"][name].get("workload", name), None, **options)
    requests = task.requests("test", study["test_seed"], study["sequences"])
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
        title=f"{name}: {task.length} requests in {task.cells} cells",
    )
