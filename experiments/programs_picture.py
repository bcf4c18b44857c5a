"""A picture of many recordings: what each needs beyond peak live under each policy."""

from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator, SymmetricalLogLocator

from jaxmem.render.palette import GRID, INK, MUTED, policy_colour, policy_title
from jaxmem.render.style import FIGURE_WIDTH, Target, new_figure, picture_style, save_figure

ROW = 0.3  # inches
LEAST = 0.1  # % beyond peak live, up to which the axis is linear
MARKERS = {"learned": "D", "offline": "|"}
BAND = "#f4f5f7"
SPREAD = 0.7  # of a row, over which the policies lie one below the other


class ProgramRow(NamedTuple):
    """A recording and what it needs."""

    title: str
    family: str
    bounded: Mapping[str, float]  # arena needed / peak live by policy, and offline


def draw_programs(path: Target, programs: Sequence[ProgramRow]) -> Figure:
    """Draws a row of marks for each program; those of a family must follow each other.

    Within a row each policy has a height of its own, so that no mark hides another.

    Raises:
        ValueError: there is no program.
    """
    if not programs:
        raise ValueError("no recordings to draw")
    families = [(name, list(of)) for name, of in groupby(programs, lambda each: each.family)]
    with picture_style():
        figure = new_figure(FIGURE_WIDTH, 1.4 + ROW * (len(programs) + 1.3 * len(families)))
        figure.suptitle("Memory needed beyond peak live (%)", x=0.01, ha="left")
        axes = figure.subplots()
        _draw_rows(axes, families)
        names = list(programs[0].bounded)
        figure.legend(handles=[_legend_entry(name) for name in names], loc="upper right",
                      ncols=len(names), handletextpad=0.1, columnspacing=1.0)  # fmt: skip
        return save_figure(figure, path)


def _draw_rows(axes: Axes, families: Sequence[tuple[str, Sequence[ProgramRow]]]) -> None:
    place, ticks, titles = 0.0, [], []
    for family, programs in families:
        axes.annotate(family, (0, place), xycoords=axes.get_yaxis_transform(), fontsize=9,
                      xytext=(4, 0), textcoords="offset points", va="center", color=MUTED,
                      weight="bold")  # fmt: skip
        for program in programs:
            place += 1
            beyond = {name: 100 * (ratio - 1) for name, ratio in program.bounded.items()}
            axes.axhspan(place - 0.46, place + 0.46, color=BAND, lw=0, zorder=0)
            for height, (name, value) in zip(_row_heights(beyond), beyond.items(), strict=True):
                axes.plot(value, place + height, clip_on=False, **_looks(name))
            ticks.append(place)
            titles.append(program.title)
        place += 1.3
    axes.set_yticks(ticks, titles, color=INK)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(place - 0.6, -0.8)
    axes.set_xscale("symlog", linthresh=LEAST, linscale=0.6)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=LEAST))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.3g}"))
    axes.grid(axis="x", color=GRID, lw=0.8)
    axes.set_axisbelow(True)


def _row_heights(names: Collection[str]) -> list[float]:
    """Returns where in its row each policy lies, from above its middle down; offline is in it."""
    others = np.linspace(-SPREAD / 2, SPREAD / 2, max(len(names) - ("offline" in names), 2))
    places = iter(others.tolist())
    return [0.0 if name == "offline" else next(places) for name in names]


def _looks(name: str) -> dict[str, Any]:
    colour = MUTED if name == "offline" else policy_colour(name)
    size = 18.0 if name == "offline" else 4.6
    return {
        "color": colour, "marker": MARKERS.get(name, "o"), "ms": size, "ls": "",
        "zorder": 2 if name == "offline" else 3, "mew": 2.0 if name == "offline" else 0.0,
    }  # fmt: skip


def _legend_entry(name: str) -> Line2D:
    looks = _looks(name)
    return Line2D([], [], label=policy_title(name), **{**looks, "ms": min(looks["ms"], 10.0)})
