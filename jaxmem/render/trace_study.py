"""A picture of many recordings: what each needs beyond peak live under each policy."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator, SymmetricalLogLocator

from jaxmem.render.palette import GRID, INK, MUTED, policy_colour, policy_title
from jaxmem.render.style import WIDTH, Target, new_figure, picture_style, save_figure

ROW = 0.23  # inches
LEAST = 0.1  # % beyond peak live, up to which the axis is linear
MARKS = {"learned": "D", "offline": "|"}


class Program(NamedTuple):
    """A recording and what it needs."""

    title: str
    family: str
    bounded: Mapping[str, float]  # arena needed / peak live by policy, and offline


def draw_programs(path: Target, programs: Sequence[Program]) -> Figure:
    """Draws a row of dots for each program; those of a family must follow each other.

    Raises:
        ValueError: there is no program.
    """
    if not programs:
        raise ValueError("no recordings to draw")
    families = [(name, list(of)) for name, of in groupby(programs, lambda each: each.family)]
    with picture_style():
        figure = new_figure(WIDTH, 1.4 + ROW * (len(programs) + 1.6 * len(families)))
        figure.suptitle("Memory needed beyond peak live (%)", x=0.01, ha="left")
        axes = figure.subplots()
        _draw_rows(axes, families)
        names = list(programs[0].bounded)
        figure.legend(handles=[_key(name) for name in names], loc="upper right",
                      ncols=len(names), handletextpad=0.1, columnspacing=1.0)  # fmt: skip
        return save_figure(figure, path)


def _draw_rows(axes: Axes, families: Sequence[tuple[str, Sequence[Program]]]) -> None:
    place, ticks, titles = 0.0, [], []
    for family, programs in families:
        axes.annotate(family, (0, place), xycoords=axes.get_yaxis_transform(), fontsize=9,
                      xytext=(4, 0), textcoords="offset points", va="center", color=MUTED,
                      weight="bold")  # fmt: skip
        for program in programs:
            place += 1
            beyond = {name: 100 * (ratio - 1) for name, ratio in program.bounded.items()}
            axes.hlines(place, min(beyond.values()), max(beyond.values()), color=GRID, lw=3)
            for name, value in beyond.items():
                axes.plot(value, place, clip_on=False, **_looks(name))
            ticks.append(place)
            titles.append(program.title)
        place += 1.6
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


def _looks(name: str) -> dict[str, Any]:
    colour = MUTED if name == "offline" else policy_colour(name)
    size = {"learned": 7.0, "offline": 11.0}.get(name, 5.5)
    front = 4 if name == "learned" else 3
    return {
        "color": colour, "marker": MARKS.get(name, "o"), "ms": size, "ls": "", "zorder": front,
        "mew": 2.0 if name == "offline" else 0.5,
    }  # fmt: skip


def _key(name: str) -> Line2D:
    return Line2D([], [], label=policy_title(name), **_looks(name))
