"""Fragmentation and failures as time goes on, under each policy."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from jaxmem.render.curves import spread
from jaxmem.render.palette import GRID, INK, policy_colour, policy_title
from jaxmem.render.style import FIGURE_WIDTH, Target, new_figure, picture_style, save_figure

SHORT = 40  # requests
POINTS = 640  # of a line: what is longer is averaged, so that a line stays a line


def draw_fragmentation(
    path: Target,
    fragmentation: Mapping[str, np.ndarray],
    failed: Mapping[str, np.ndarray],
    *,
    title: str = "Fragmentation as time goes on",
) -> Figure:
    """Draws, for each policy, external fragmentation and the requests failed so far.

    Args:
        path: the PNG to write, 2000 by 1240 pixels; or an open binary file.
        fragmentation: for each policy, float[T + 1], 1 - largest hole / free cells, before each
            request and at the end; NaN leaves a gap.
        failed: for each policy, float[T], % of the requests up to and with this one.
        title: above the panels.
    Raises:
        ValueError: no policy, or not the same policies in both.
    """
    if not fragmentation or fragmentation.keys() != failed.keys():
        raise ValueError(
            f"fragmentation of {', '.join(fragmentation) or 'nobody'} and failures of "
            f"{', '.join(failed) or 'nobody'}: both are needed, of the same policies"
        )
    with picture_style():
        figure = new_figure(FIGURE_WIDTH, 6.2)
        above, below = figure.subplots(2, 1, sharex=True)
        figure.suptitle(title, x=0.008, ha="left")
        above.set_title("external fragmentation: 1 - largest hole / free cells")
        below.set_title("requests failed so far (%)")
        below.set_xlabel("time (requests)")
        for axes, lines, first in ((above, fragmentation, 0), (below, failed, 1)):
            longest = max(len(values) for values in lines.values())
            axes.set_xlim(0, max(longest - 1 + first, 1))
            axes.set_ylabel("share of the free cells" if axes is above else "requests (%)")
            for place, (name, values) in enumerate(lines.items()):
                # Of a few requests many lines are alike: those drawn later leave a rim to see.
                width = max(8 - 0.9 * place, 1.6) if longest <= SHORT else 2.0
                axes.plot(*_thinned(np.asarray(values, np.float64), first), lw=width,
                          color=policy_colour(name), label=policy_title(name))  # fmt: skip
            _dress_axes(axes)
        figure.draw_without_rendering()  # the layout must stand before heights mean anything
        for axes, lines in ((above, fragmentation), (below, failed)):
            _label_ends(axes, lines)
        return save_figure(figure, path)


def _thinned(values: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Thins time and value to at most `POINTS` points, each the mean of those it stands for."""
    time = np.arange(first, first + len(values))
    if len(values) <= POINTS:
        return time, values
    parts = np.array_split(np.arange(len(values)), POINTS)
    return np.array([time[part[-1]] for part in parts]), np.array([values[p].mean() for p in parts])


def _dress_axes(axes: Axes) -> None:
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.grid(axis="y", color=GRID, lw=0.8)
    axes.set_axisbelow(True)


def _label_ends(axes: Axes, lines: Mapping[str, np.ndarray]) -> None:
    """Writes each name and last value right of its line, nudged off its neighbours."""
    figure = axes.figure
    low, high = axes.get_ylim()
    point = (high - low) / (axes.get_window_extent().height * 72 / figure.dpi)
    ends = {name: float(np.asarray(v)[np.isfinite(v)][-1]) for name, v in lines.items()}
    names = sorted(ends, key=lambda name: (ends[name], name))
    places = spread([ends[name] for name in names], 13 * point, low, high)
    for name, beside in zip(names, places, strict=True):
        axes.annotate(
            f"{policy_title(name)} {ends[name]:.2f}",
            xy=(1.0, ends[name]),
            xytext=(1.035, beside),
            xycoords=axes.get_yaxis_transform(),
            textcoords=axes.get_yaxis_transform(),
            va="center",
            color=INK,
            weight="bold" if name == "learned" else "normal",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": policy_colour(name), "lw": 1.6,
                        "relpos": (0, 0.5), "shrinkA": 2, "shrinkB": 0},
        )  # fmt: skip
