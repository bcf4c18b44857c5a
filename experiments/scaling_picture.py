"""Steps a second against devices, and against members of one program."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from jaxmem.render.curves import short_count
from jaxmem.render.palette import GRID, MUTED, policy_colour
from jaxmem.render.style import FIGURE_WIDTH, Target, new_figure, picture_style, save_figure

Rows = Sequence[Mapping[str, Any]]


def draw_scaling(path: Target, devices: Rows, members: Rows) -> Figure:
    """Draws both, with the lines on which twice as many would do twice as much.

    Args:
        devices, members: rows with `steps_per_second` (float[R], one a timing) and with `devices`,
            or with `members` and whether they were `vectorised`.
    """
    with picture_style():
        figure = new_figure(FIGURE_WIDTH, 4.2)
        figure.suptitle("Training steps a second, all members together", x=0.01, ha="left")
        left, right = figure.subplots(1, 2)
        _draw_lines(left, [("shared arenas", "learned", devices)], "devices")
        side = [row for row in members if row["vectorised"]]
        turn = [row for row in members if not row["vectorised"]]
        named = [("side by side (vmap)", "first", side), ("one by one (map)", "learned", turn)]
        _draw_lines(right, named, "members")
        return save_figure(figure, path)


def _draw_lines(axes: Axes, lines: Sequence[tuple[str, str, Rows]], along: str) -> None:
    counts = sorted({int(row[along]) for *_, rows in lines for row in rows})
    for title, colour, rows in lines:
        at = [int(row[along]) for row in rows]
        rates = [row["steps_per_second"] for row in rows]
        axes.plot(at, [median(rate) for rate in rates], "o-", color=policy_colour(colour),
                  label=title)  # fmt: skip
        axes.vlines(at, [min(rate) for rate in rates], [max(rate) for rate in rates],
                    color=policy_colour(colour))  # fmt: skip
    alone = max(median(rows[0]["steps_per_second"]) for *_, rows in lines)
    twice = "in proportion" if len(counts) > 1 else None
    axes.plot(counts, [alone * count / counts[0] for count in counts], color=MUTED, lw=1,
              ls=(0, (4, 3)), label=twice)  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel=along, ylabel="steps a second")
    axes.xaxis.set_major_locator(FixedLocator(counts))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:.0f}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda rate, _: short_count(rate)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(color=GRID, lw=0.8)
    axes.legend(loc="upper left")
