"""A search for settings: its tables, which settings mattered, and how the best was come to."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from rich.table import Table
from rich.text import Text

from jaxmem.render.grid import grid_markdown
from jaxmem.render.palette import FAILED, GRID, MUTED, count, policy_colour
from jaxmem.render.report import Results
from jaxmem.render.style import FIGURE_WIDTH, Target, new_figure, picture_style, save_figure
from jaxmem.render.tables import markdown_lines, plain_table

SHOWN_TRIALS = 10  # trials in a terminal: the best
SQUEEZED = 3.0  # times the least failures, from where on trials are drawn at the upper end

Trials = Sequence[Mapping[str, Any]]  # as results.json has them


def three_figures(value: object) -> str:
    """Writes a value of a setting in three figures."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def search_markdown(results: Results) -> str:
    """Writes table.md of a search: the best trial beside the rules, then all trials."""
    header, rows = _trial_rows(results["trials"], results["best_trial"])
    lines = [
        *(grid_markdown(results), f"## {count(len(rows), 'trial')}", ""),
        "Failed requests on validation sequences, mean over seeds; the least first.",
        "",
    ]
    shown = (
        [f"**{cell}**" if cell else "" for cell in row] if number == results["best_trial"] else row
        for row, number in rows
    )
    return "\n".join([*lines, *markdown_lines(header, shown, left=0)]) + "\n"


def trials_table(results: Results) -> Table:
    """Makes the table of the best trials for a terminal."""
    header, rows = _trial_rows(results["trials"], results["best_trial"])
    best = f", the best {SHOWN_TRIALS}" if len(rows) > SHOWN_TRIALS else ""
    table = plain_table(f"{count(len(rows), 'trial')}{best}")
    for name in header:
        table.add_column(Text(name), justify="right", overflow="fold")
    for row, number in rows[:SHOWN_TRIALS]:
        table.add_row(*map(Text, row), style="bold" if number == results["best_trial"] else "")
    return table


def _trial_rows(trials: Trials, best: int) -> tuple[list[str], list[tuple[list[str], int]]]:
    """Returns the header, and the cells and the number of each trial."""
    names = list(next(trial["settings"] for trial in trials if trial["number"] == best))
    ranked = sorted(
        trials, key=lambda trial: (trial["validation_failed"] is None, trial["validation_failed"])
    )
    rows = []
    for trial in ranked:
        failed = trial["validation_failed"]
        settings = [three_figures(trial["settings"][name]) for name in names]
        come = trial["note"] if failed is None else f"{failed:.2f}"
        rows.append(([str(trial["number"]), *settings, come], trial["number"]))
    return ["trial", *names, "validation (%)"], rows


def draw_importances(path: Target, importances: Mapping[str, float]) -> Figure:
    """Draws a bar for each setting, the one that matters most at the top.

    Args:
        importances: shares of 1, as Optuna gives them.
    Raises:
        ValueError: there are none.
    """
    if not importances:
        raise ValueError("no importances to draw")
    names = sorted(importances, key=lambda name: importances[name])
    with picture_style():
        figure = new_figure(FIGURE_WIDTH, 1.3 + 0.45 * len(names))
        axes = figure.subplots()
        figure.suptitle(
            "What tells the best trials from the others (PED-ANOVA, share of each setting)",
            x=0.01,
            ha="left",
        )
        shares = [importances[name] for name in names]
        bars = axes.barh(names, shares, color=policy_colour("learned"), height=0.62)
        axes.bar_label(bars, [f"{100 * share:.0f} %" for share in shares], padding=4)
        axes.set_xlim(0, 1.1 * max(max(shares), 1e-9))
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.grid(axis="x", color=GRID, lw=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", length=0)
        return save_figure(figure, path)


def draw_trials(path: Target, trials: Trials) -> Figure:
    """Draws what each trial failed, and the best so far.

    Trials that came to nothing are marked at the upper end, those far above it are drawn there.

    Raises:
        ValueError: no trial has come to anything.
    """
    at = np.array([trial["number"] for trial in trials])
    found = [trial["validation_failed"] for trial in trials]
    failed = np.array([np.nan if value is None else value for value in found], np.float64)
    seen = np.isfinite(failed)
    if not seen.any():
        raise ValueError("no trial to draw")
    with picture_style():
        figure = new_figure(FIGURE_WIDTH, 4.8)
        axes = figure.subplots()
        figure.suptitle(
            "Failed requests on validation sequences, trial by trial: mean over seeds",
            x=0.01,
            ha="left",
        )
        best = np.minimum.accumulate(np.where(seen, failed, np.inf))
        _limit_trials(axes, failed[seen])
        top = axes.get_ylim()[1]
        axes.plot(at[seen], np.minimum(failed[seen], top), "o", color=MUTED, ms=5, alpha=0.75,
                  label="a trial", clip_on=False)  # fmt: skip
        if not seen.all():
            axes.plot(at[~seen], np.full((~seen).sum(), top), ls="", marker="x", ms=7, mew=1.8,
                      color=FAILED, label="came to nothing", clip_on=False)  # fmt: skip
        known = np.isfinite(best)
        axes.step(at[known], best[known], where="post", color=policy_colour("learned"), lw=2.6,
                  label=f"best so far: {best[-1]:.2f} %")  # fmt: skip
        axes.set_xlim(-0.5, at[-1] + 0.5)
        axes.set_xlabel("trial")
        axes.set_ylabel("failed requests, validation (%)")
        axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
        axes.grid(axis="y", color=GRID, lw=0.8)
        axes.set_axisbelow(True)
        figure.legend(loc="outside lower center", ncols=3)
        return save_figure(figure, path)


def _limit_trials(axes: Axes, failed: np.ndarray) -> None:
    """Sets the y limits: a few bad trials must not squeeze the others."""
    least = float(failed.min())
    most = min(float(failed.max()), SQUEEZED * least) if least > 0 else float(failed.max())
    room = max(most - least, 0.05 * most, 1e-3)
    axes.set_ylim(max(least - 0.15 * room, 0.0), most + 0.08 * room)
