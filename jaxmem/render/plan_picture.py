"""The picture of a plan: address over time, and how the planners came down."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxmem.render.byte_units import label_addresses, short_bytes
from jaxmem.render.memory_map import draw_blocks, drawn_blocks
from jaxmem.render.palette import GRID, HOLE, INK, OTHER_COLOURS, count
from jaxmem.render.plan_report import PlanResults
from jaxmem.render.style import (
    FIGURE_WIDTH,
    Target,
    draw_lifetime_scale,
    lifetime_scale,
    new_figure,
    picture_style,
    save_figure,
    sequential_map,
)


def draw_plan(
    path: Target,
    results: PlanResults,
    start: np.ndarray,
    size: np.ndarray,
    lifetime: np.ndarray,
) -> Figure:
    """Draws where each buffer lies and when, and the height of each planner over time.

    Args:
        results: of `jaxmem plan`.
        start: int64[R]  bytes, of each request.
        size: int64[R]  bytes.
        lifetime: int64[R]  requests.
    """
    with picture_style():
        figure = new_figure(FIGURE_WIDTH, 7.0)
        figure.suptitle(
            f"{results['trace']}: {count(results['buffers'], 'buffer')} in "
            f"{short_bytes(results['arena_needed'])}, {results['ratio']:.4f} x peak live",
            x=0.008,
            ha="left",
        )
        above, below = figure.subplots(2, 1, height_ratios=(3, 1))
        _draw_addresses(figure, above, results, start, size, lifetime)
        _draw_heights(below, results)
        return save_figure(figure, path)


def _draw_addresses(
    figure: Figure,
    axes: Axes,
    results: PlanResults,
    start: np.ndarray,
    size: np.ndarray,
    lifetime: np.ndarray,
) -> None:
    needed, requests = results["arena_needed"], len(size)
    shades, norm = sequential_map(), lifetime_scale(lifetime)
    axes.set(xlim=(0, requests), ylim=(0, needed), facecolor=HOLE)
    axes.set(title="address over time", xlabel="time (buffers)", ylabel="address")
    label_addresses(axes.yaxis, needed)
    blocks = drawn_blocks(start, size, lifetime, 0, requests, shades, norm)
    draw_blocks(axes, blocks, needed, 0, requests, 1)
    axes.axhline(results["peak_live"], color=INK, lw=1, ls="--")
    if norm is not None:
        forever = bool((lifetime >= requests).any())
        draw_lifetime_scale(figure, [axes], shades, norm, forever)


def _draw_heights(axes: Axes, results: PlanResults) -> None:
    peak, most = results["peak_live"], max(results["seconds"], 1e-3)
    colours = (INK, *OTHER_COLOURS)
    for (planner, heights), colour in zip(results["heights"].items(), colours, strict=False):
        seconds, height = zip(*heights, strict=True)
        ratios = [amount / peak for amount in height]
        axes.step([*seconds, most], [*ratios, ratios[-1]], where="post", color=colour,
                  label=planner)  # fmt: skip
    axes.axhline(results["lower_bound"] / peak, color=INK, lw=1, ls="--", label="lower bound")
    axes.set(title="lowest packing so far", xlabel="time (s)", ylabel="over peak live")
    axes.set_xlim(0, most)
    axes.grid(axis="y", color=GRID, lw=0.8)
    axes.set_axisbelow(True)
    axes.legend(ncols=2)
