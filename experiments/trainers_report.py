"""What the comparison of trainers comes to: who needs how long, a table, and a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from raced_trainers import ENTRIES, TASK
from trainer_race import GROWTH, VALIDATION

from jaxmem.names import listed
from jaxmem.render.curves import short_count
from jaxmem.render.palette import GRID, MUTED, OTHER_COLOURS, POLICY_COLOURS
from jaxmem.render.style import FIGURE_WIDTH, Target, new_figure, picture_style, save_figure
from jaxmem.render.tables import markdown_row
from jaxmem.whole_files import write_whole

THRESHOLDS = {6.5: "first-fit", 4.9: "tuned two-ended", 3.7: "a quarter less"}  # % failed
LOWEST, HIGHEST = 2.5, 15.0  # % failed, in the picture
COLOURS = (
    *(POLICY_COLOURS[name] for name in ("learned", "first", "two_ended")),
    *OTHER_COLOURS,
    MUTED,
)
Row = Mapping[str, Any]  # as trainer_race.py writes it
Rows = Mapping[str, Sequence[Row]]  # of each trainer, one a seed
Summaries = Mapping[str, Mapping[str, Any]]  # of each trainer


def reached(row: Row, threshold: float) -> Mapping[str, float] | None:
    """Returns the first point at which at most `threshold` % failed; None: there is none."""
    return next((point for point in row["points"] if point["failed"] <= threshold), None)


def summary(rows: Rows) -> dict[str, dict[str, Any]]:
    """Summarises each trainer over its seeds: medians, and how many seeds came how far."""
    return {name: _summary(of) for name, of in rows.items()}


def _summary(rows: Sequence[Row]) -> dict[str, Any]:
    last = [row["points"][-1] for row in rows]
    return {
        "seeds": len(rows),
        "reached": {str(at): _crossing(rows, at) for at in THRESHOLDS},
        "failed_at_end": median(point["failed"] for point in last),
        "least_failed": median(min(point["failed"] for point in row["points"]) for row in rows),
        "cpu": median(point["cpu"] for point in last),
        "wall": median(point["wall"] for point in last),
        "steps": median(point["steps"] for point in last),
        "preparing": max(row["preparing"] for row in rows),
        "judging": median(row["judging"] for row in rows),
        "load": float(np.mean([row["load"] for row in rows])),
    }


def _crossing(rows: Sequence[Row], threshold: float) -> dict[str, Any]:
    """Finds medians over all seeds, of which those that never came so far took forever."""
    found = [point for row in rows if (point := reached(row, threshold))]
    crossing: dict[str, Any] = {"seeds": len(found), "trained": _shortest(rows)}
    for measure in ("cpu", "wall", "steps"):
        values = [point[measure] for point in found]
        padded = [*values, *[np.inf] * (len(rows) - len(found))]
        middle = float(np.median(padded))
        known = {"median": middle, "least": min(values), "most": max(values)} if values else {}
        crossing[measure] = known if np.isfinite(middle) else None
    return crossing


def _shortest(rows: Sequence[Row]) -> float:
    return min(row["points"][-1]["cpu"] for row in rows)


def table(found: Summaries, limit: float) -> str:
    """Writes table.md."""
    load = max(of["load"] for of in found.values())
    targets = [f"{at:g} %: {name}" for at, name in THRESHOLDS.items()]
    head = ["trainer", "seeds", *targets, "least failed (%)", "at its end (%)", "after"]
    head += ["steps a CPU second", "preparation (CPU s)", "validation (CPU s)"]
    lines = [
        "# Time to quality",
        "",
        verdict(found, limit),
        "",
        f"CPU seconds of training, all cores together, on {TASK}, until a policy first fails at "
        f"most so many of the requests of {VALIDATION} sequences that nothing was trained on, the "
        "same for all: medians over seeds, with the fastest and the slowest of those that came so "
        f"far; then seconds on the wall, beside other work (load average {load:.0f}), and "
        "environment steps. >: the median seed did not come so far in that time, the shortest of "
        f"all seeds'. A run ends when its steps are done, or after {limit:g} CPU s. Counted are "
        "steps, gradients, and the tuning of rules that a learner begins with; not imports, the "
        "drawing of sequences, and compilation (preparation: of the slowest seed), nor validation. "
        f"Each validation comes {GROWTH:g} times as late as the one before: no time is known more "
        "closely.",
        "",
        markdown_row(head),
        "|:--|--:" + "|:--" * len(targets) + "|--:" * 6 + "|",
    ]
    for name, of in found.items():
        cells = [ENTRIES[name].title, str(of["seeds"])]
        cells += [_cell(of["reached"][str(at)], of["seeds"]) for at in THRESHOLDS]
        cells += [f"{of[key]:.2f}" for key in ("least_failed", "failed_at_end")]
        cells += [f"{of['cpu']:.0f} s"]
        cells += [short_count(of["steps"] / of["cpu"])]
        cells += [f"{of['preparing']:.0f}", f"{of['judging']:.0f}"]
        lines.append(markdown_row(cells))
    return "\n".join(lines) + "\n"


def _cell(crossing: Mapping[str, Any], seeds: int) -> str:
    if crossing["cpu"] is None:
        some = f" ({crossing['seeds']} of {seeds} seeds did)" if crossing["seeds"] else ""
        return f"> {crossing['trained']:.0f} s{some}"
    cpu, wall = crossing["cpu"], crossing["wall"]
    between = f" [{cpu['least']:.1f}, {cpu['most']:.1f}]" if seeds > 1 else ""
    missed = f", {seeds - crossing['seeds']} never" if crossing["seeds"] < seeds else ""
    steps = f"{wall['median']:.1f} s on the wall; {short_count(crossing['steps']['median'])} steps"
    return f"{cpu['median']:.1f} s{between}{missed}; {steps}"


def verdict(found: Summaries, limit: float) -> str:
    """Says in one sentence who is first at each threshold, and who comes next."""
    said = []
    for at in THRESHOLDS:
        times = {
            ENTRIES[name].title: of["reached"][str(at)]["cpu"]["median"]
            for name, of in found.items()
            if of["reached"][str(at)]["cpu"]
        }
        order = sorted(times, key=lambda title: times[title])
        ranked = [f"{title} after {times[title]:.1f} s" for title in order[:2]]
        others = len(found) - len(order)
        missing = f", and {others} of {len(found)} do not" if others else ""
        said.append(f"{at:g} % by {listed(ranked)}{missing}" if ranked else f"{at:g} % by none")
    return f"Within {limit:g} CPU s, failures come down to {'; to '.join(said)}."


def draw(path: Target, rows: Rows) -> None:
    """Draws failed requests against seconds, the median of each trainer in the band of seeds."""
    with picture_style():
        figure = new_figure(FIGURE_WIDTH, 5.6)
        axes = figure.subplots()
        figure.suptitle("Failed requests on validation sequences, by CPU seconds of training",
                        x=0.01, ha="left")  # fmt: skip
        for name, colour in zip(ENTRIES, COLOURS, strict=True):
            if name not in rows:
                continue
            at, curves = _on_one_grid(rows[name])
            axes.fill_between(at, curves.min(axis=0), curves.max(axis=0), color=colour, alpha=0.2,
                              lw=0)  # fmt: skip
            axes.plot(at, np.median(curves, axis=0), color=colour, label=ENTRIES[name].title,
                      ls="-" if not ENTRIES[name].needs else (0, (5, 1.5)))  # fmt: skip
        for threshold, name in THRESHOLDS.items():
            axes.axhline(threshold, color=MUTED, lw=1, ls=(0, (2, 2)), zorder=1)
            axes.annotate(f"{name}, {threshold:g} %", (0, threshold), (3, 2), color=MUTED,
                          xycoords=axes.get_yaxis_transform(), textcoords="offset points",
                          fontsize=8.5)  # fmt: skip
        axes.set(xscale="log", yscale="log", xlabel="CPU seconds of training, all cores together",
                 ylabel="failed requests (%)", ylim=(LOWEST, HIGHEST))  # fmt: skip
        for axis, ticks in ((axes.xaxis, (0.5, 1, 2, 5, 10, 20, 50, 100)),
                            (axes.yaxis, (3, 4, 5, 6, 8, 10, 12, 15))):  # fmt: skip
            axis.set_major_locator(FixedLocator(ticks))
            axis.set_minor_locator(NullLocator())
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.grid(color=GRID, lw=0.8)
        axes.legend(loc="upper right", ncols=3)
        save_figure(figure, path)


def _on_one_grid(rows: Sequence[Row]) -> tuple[np.ndarray, np.ndarray]:
    """Reads the curves of all seeds at the times that all have: float64[N], float64[seeds, N]."""
    trained = [[point for point in row["points"] if point["steps"]] for row in rows]
    curves = [
        (np.array([point["cpu"] for point in points]), np.array([of["failed"] for of in points]))
        for points in trained
    ]
    low, high = max(at[0] for at, _ in curves), min(at[-1] for at, _ in curves)
    grid = np.geomspace(low, max(high, low), 200)
    return grid, np.array([np.interp(np.log(grid), np.log(at), failed) for at, failed in curves])


def write_report(out: Path, found: Summaries, rows: Rows, limit: float) -> None:
    """Writes table.md and the picture into a folder."""
    write_whole(out / "table.md", table(found, limit))
    draw(out / "time_to_quality.png", rows)
