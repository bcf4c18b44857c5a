"""Pictures of a study: many workloads, several training seeds."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from jaxmem.render.curves import short_count
from jaxmem.render.palette import GRID, policy_colour, policy_title
from jaxmem.render.style import FIGURE_WIDTH, Target, new_figure, picture_style, save_figure

COLUMNS = 4  # of small pictures


class Panel(NamedTuple):
    """The learning curves of one workload."""

    title: str
    steps: Sequence[np.ndarray]  # int[N] for each seed
    failed: Sequence[np.ndarray]  # float[N] for each seed, in %
    references: Mapping[str, float]  # failed requests in % on the same sequences


def draw_learning_bands(path: Target, panels: Sequence[Panel]) -> Figure:
    """Draws a small learning curve for each workload: the median over seeds, and all of them.

    Raises:
        ValueError: there is no panel.
    """
    if not panels:
        raise ValueError("no learning curve to draw")
    across = min(COLUMNS, len(panels))
    down = -(-len(panels) // across)
    with picture_style():
        figure = new_figure(FIGURE_WIDTH, 0.7 + 2.3 * down)
        figure.suptitle(
            "Failed requests on validation sequences (%): median over training seeds, band of all",
            x=0.01,
            ha="left",
        )
        grid = np.atleast_1d(figure.subplots(down, across, squeeze=False)).ravel()
        for axes, panel in zip(grid, panels, strict=False):
            _draw_panel(axes, panel)
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
        return save_figure(figure, path)


def _draw_panel(axes: Axes, panel: Panel) -> None:
    longest = max(panel.steps, key=len)
    curves = np.array([
        np.interp(longest, at, failed)
        for at, failed in zip(panel.steps, panel.failed, strict=True)
    ])  # fmt: skip
    for name, value in panel.references.items():
        axes.axhline(value, color=policy_colour(name), lw=1.3, ls=(0, (5, 2)))
        axes.annotate(policy_title(name), (1, value), xycoords=axes.get_yaxis_transform(),
                      xytext=(0, 2), textcoords="offset points", ha="right", fontsize=8.5,
                      color=policy_colour(name))  # fmt: skip
    colour = policy_colour("learned")
    axes.fill_between(longest, curves.min(axis=0), curves.max(axis=0), color=colour, alpha=0.25)
    middle = np.median(curves, axis=0)
    axes.plot(longest, middle, color=colour, lw=2)
    least = min([*panel.references.values(), float(curves.min())])
    top = max([*panel.references.values(), float(middle[-1])])
    room = max(top - least, 0.05 * top, 1e-3)
    axes.set_ylim(max(least - 0.25 * room, 0.0) if least > 0 else -0.05 * room, top + 0.5 * room)
    axes.set_xlim(0, float(longest[-1]))
    axes.set_title(panel.title)
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _: short_count(count)))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.grid(axis="y", color=GRID, lw=0.8)
    axes.set_xlabel("steps", fontsize=9)
