"""The tables of the placement study: everything in Markdown, and what a terminal has room for."""

from typing import Any

import numpy as np
from rich.table import Table

HEURISTICS = ("two_ended", "two_ended_tuned", "hint_fit")
# What a row is judged by: of its best rule, and in words.
BETTER = {"failed_requests": min, "return": max}
_TITLES = {"failed_requests": "failed requests (%)", "return": "return"}


def judged_by(rows: dict[str, dict[str, Any]], measure: str) -> dict[str, dict[str, Any]]:
    """The rows that are judged by this measure."""
    return {name: row for name, row in rows.items() if measure in row["summary"]["learned"]}


def markdown(rows: dict[str, dict[str, Any]]) -> str:
    """The whole report in Markdown."""
    by_failures, by_return = (judged_by(rows, measure) for measure in BETTER)
    lines = ["# Learned placement, workload by workload", ""]
    lines += _failure_table(by_failures) if by_failures else []
    lines += _return_table(by_return) if by_return else []
    lines += _way_table(by_failures)
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
        "| workload (cells) | seeds | best of four fits | two-ended | tuned two-ended | hint-fit | "
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


def _way_table(rows: dict[str, dict[str, Any]]) -> list[str]:
    """What could have been reached with every lifetime known, of the rows that were searched."""
    searched = {
        name: found
        for name, row in rows.items()
        if (found := row["summary"]["hindsight"]) is not None
    }
    if not searched:
        return []
    sequences = next(iter(searched.values()))["sequences"]
    lines = [
        "## The gap closed",
        "",
        f"Failed requests (%) on the first {sequences} test sequences, mean over seeds. With every "
        "lifetime known: greedily (clairvoyant), and the best placements that a beam search finds "
        "(hindsight), which are no proof that fewer failures are impossible. The way is the share "
        "that learning goes of that from best-fit to hindsight, in %.",
        "",
        "| workload | best-fit | learned | clairvoyant | hindsight | way |",
        "|:--|--:|--:|--:|--:|--:|",
    ]
    for name, found in searched.items():
        failed = found["failed_requests"]
        figures = [f"{failed[key]:.2f}" for key in ("best", "learned", "clairvoyant", "hindsight")]
        gone = found["gap_closed"]
        told = f"{gone['mean']:.0f} [{gone['low']:.0f}, {gone['high']:.0f}]" if gone else ""
        lines.append("| " + " | ".join([name, *figures, told]) + " |")
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
        "| workload (cells) | seeds | best of four fits | two-ended | tuned two-ended | learned | "
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
            *(f"{rules[rule]['return']:.2f}" for rule in ("two_ended", "two_ended_tuned")),
            f"**{_interval(learned)}**",
            _interval(fit["difference"], signed=True),
            _interval(one["best_heuristic"]["difference"], signed=True),
            f"{ceiling:.2f}",
            f"{100 * learned['mean'] / ceiling:.1f}",
            f"{np.mean(one['seconds']) / 60:.1f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def short_table(rows: dict[str, dict[str, Any]], measure: str) -> Table:
    """What a terminal has room for, of the rows that are judged by a measure."""
    table = Table("workload", "seeds", title=_TITLES[measure], title_justify="left")
    for header in ("best of four fits", "best heuristic", "learned", "difference to the fit"):
        table.add_column(header, justify="right")
    for name, row in judged_by(rows, measure).items():
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
        "| workload | kind | learned | best-fit | tuned two-ended |",
        "|:--|:--|--:|--:|--:|",
    ]
    for name, row in rows.items():
        found = row["summary"]["addresses"]
        for kind in found["learned"]:
            shares = [
                f"{100 * at['low_third']:.0f} / {100 * at['high_third']:.0f}" if at else ""
                for at in (found[rule].get(kind) for rule in ("learned", "best", "two_ended_tuned"))
            ]
            lines.append("| " + " | ".join([name, kind, *shares]) + " |")
    return lines


def _made(rows: dict[str, dict[str, Any]]) -> list[str]:
    """What each row was trained with, and on."""
    lines = ["## How it was made", ""]
    for name, row in rows.items():
        one = row["summary"]
        episodes = int(np.mean(one["episodes"]))
        made = [
            f"{episodes:,} episodes a seed",
            *one["base_policies"],
            f"on {', '.join(one['devices'])}",
        ]
        lines.append(f"- {name}: {'; '.join(made)}")
    return lines
