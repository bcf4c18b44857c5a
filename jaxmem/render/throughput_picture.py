"""Steps a second against the number of arenas or of cells, beside the references."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from jaxmem.render.curves import short_count, spread
from jaxmem.render.palette import GRID, INK, MUTED, count, policy_title
from jaxmem.render.report import Results
from jaxmem.render.style import FIGURE_WIDTH, Target, new_figure, picture_style, save_figure
from jaxmem.render.throughput import REFERENCE_TITLES

LOOKS: dict[str, dict[str, Any]] = {
    "jaxmem": {"color": "#d55e00", "marker": "o", "lw": 2.6, "ms": 6, "zorder": 4},
    "c": {"color": INK, "marker": "s"},
    "numba": {"color": "#0072b2", "marker": "^"},
    "numpy": {"color": "#56b4e9", "marker": "v"},
    "python_loop": {"color": "#cc79a7", "marker": "D"},
    "cartpole": {"color": MUTED, "marker": "x", "ls": ":"},
}
TITLES = {"jaxmem": "jaxmem", **REFERENCE_TITLES}
OTHER_AXIS = {"arenas": "cells", "cells": "arenas"}

Spread = tuple[float, float, float]  # low, median, high
Points = dict[int, Spread]  # by what lies along x


def draw_throughput(path: Target, results: Results, along: str) -> Figure:
    """Draws a panel for each observation, log-log: jaxmem thick, each reference as a line.

    Args:
        results: the contents of results.json of a bench.
        along: `arenas` or `cells`, what lies along x; the other one is the first that was measured.
    """
    rows = results["environment"]
    fixed = rows[0][OTHER_AXIS[along]]
    panels = list(dict.fromkeys(row["observation"] for row in rows))
    with picture_style():
        across = min(len(panels), 2)
        down = -(-len(panels) // across)
        figure = new_figure(FIGURE_WIDTH if across > 1 else 0.65 * FIGURE_WIDTH, 4.6 * down)
        grid = figure.subplots(down, across, squeeze=False, sharey=True, sharex=True).ravel()
        figure.suptitle(_panel_title(results, along, fixed), x=0.01, ha="left")
        shown = {name: _panel_lines(results, along, fixed, name) for name in panels}
        drawn = [points for lines in shown.values() for points in lines.values()]
        # Before anything is drawn: what is drawn would set limits that a single point makes equal.
        grid[0].set(xscale="log", xlim=_limits([x for points in drawn for x in points]))
        rates = [rate for points in drawn for point in points.values() for rate in point]
        grid[0].set(yscale="log", ylim=_limits(rates))
        for axes, (name, lines) in zip(grid, shown.items(), strict=False):
            _draw_panel_lines(axes, name, lines, along)
        for axes in grid[len(panels) :]:
            axes.set_visible(False)
        figure.draw_without_rendering()  # the layout must stand before heights mean anything
        for axes, lines in zip(grid, shown.values(), strict=False):
            _label_lines(figure, axes, lines)
        return save_figure(figure, path)


def _panel_title(results: Results, along: str, fixed: int) -> str:
    player = policy_title(results["environment"][0]["policy"])
    noun = OTHER_AXIS[along].removesuffix("s")
    return f"Steps a second, {player}, {count(fixed, noun)}, on {results['device']}"


def _panel_lines(results: Results, along: str, fixed: int, observation: str) -> dict[str, Points]:
    """Returns what is drawn in one panel, by name."""
    ours = {
        row[along]: _point(row)
        for row in results["environment"]
        if row["observation"] == observation and row[OTHER_AXIS[along]] == fixed
    }
    lines: dict[str, Points] = {"jaxmem": ours}
    beside = [row for row in results["references"] if row["observation"] in (None, observation)]
    for name in dict.fromkeys(row["name"] for row in beside):
        rows = [row for row in beside if row["name"] == name]
        if along == "arenas":
            found = {row["arenas"]: _point(row) for row in rows if row["cells"] in (None, fixed)}
        else:
            # A reference has fewer arenas than jaxmem where more of them make it no faster.
            most = max(row["arenas"] for row in rows if row["arenas"] <= fixed)
            found = {row["cells"]: _point(row) for row in rows if row["arenas"] == most}
            found = dict.fromkeys(ours, found[None]) if None in found else found
        lines[name] = found
    return {name: dict(sorted(points.items())) for name, points in lines.items() if points}


def _limits(values: list[float]) -> tuple[float, float]:
    """Returns logarithmic limits with some room at both ends, also around a single value."""
    low, high = min(values), max(values)
    room = max((high / low) ** 0.06, 1.3)
    return low / room, high * room


def _point(row: Mapping[str, Any]) -> Spread:
    figure = row["steps_per_second"]
    return figure["low"], figure["median"], figure["high"]


def _draw_panel_lines(axes: Axes, observation: str, lines: dict[str, Points], along: str) -> None:
    alone = observation == "none"
    axes.set_title("arena and policy alone" if alone else f"{observation} observation and mask")
    for name, points in lines.items():
        xs = list(points)
        low, median, high = np.array(list(points.values())).T
        look = {"lw": 1.4, "ms": 5, "ls": "-", "zorder": 3, **LOOKS[name]}
        axes.plot(xs, median, **look)
        axes.vlines(xs, low, high, color=look["color"], lw=look["lw"], zorder=look["zorder"])
    ticks = sorted({x for points in lines.values() for x in points})
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    axes.yaxis.set_major_locator(LogLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: short_count(y)))
    axes.set_xlabel("arenas side by side" if along == "arenas" else "cells of an arena")
    axes.set_ylabel("steps a second")
    axes.label_outer()
    axes.grid(axis="y", color=GRID, lw=0.8)
    axes.set_axisbelow(True)


def _label_lines(figure: Figure, axes: Axes, lines: dict[str, Points]) -> None:
    """Writes each name right of the end of its line, nudged off its neighbours."""
    low, high = np.log10(axes.get_ylim())
    point = (high - low) / (axes.get_window_extent().height * 72 / figure.dpi)
    last = {name: (max(points), points[max(points)][1]) for name, points in lines.items()}
    ends = [float(np.log10(y)) for _, y in last.values()]
    for name, beside in zip(last, spread(ends, 13 * point, low, high), strict=True):
        axes.annotate(
            TITLES[name],
            xy=last[name],
            xytext=(1.06, float(10**beside)),
            textcoords=axes.get_yaxis_transform(),
            va="center",
            weight="bold" if name == "jaxmem" else "normal",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": LOOKS[name]["color"],
                "lw": 1.0,
                "ls": (0, (1, 2.5)),
                "relpos": (0, 0.5),
                "shrinkA": 2,
                "shrinkB": 4,
            },
        )
