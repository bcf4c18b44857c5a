"""One recording in four panels: what is live, what is asked for, and what placement could save."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullLocator,
    SymmetricalLogLocator,
)

from jaxmem.render.byte_units import UNITS, label_bytes, short_bytes
from jaxmem.render.curves import short_count
from jaxmem.render.palette import GRID, INK, MUTED, NEVER, SHADES, policy_colour, policy_title
from jaxmem.render.style import (
    FIGURE_WIDTH,
    Target,
    new_figure,
    picture_style,
    save_figure,
    sequential_map,
)
from jaxmem.render.trace_info import SizeBin

Results = Mapping[str, Any]  # the contents of results.json
DENSITY_BINS = 48  # of the density, along each axis
LINEAR_UP_TO = 0.1  # % beyond peak live, up to which a logarithmic axis is linear
WIDE = 20  # times the shortest bar, from which on it is logarithmic


def draw_trace(path: Target, results: Results, size: np.ndarray, lifetime: np.ndarray) -> Figure:
    """Draws info.png, 2000 by 1560 pixels.

    Args:
        results: of `jaxmem trace info`.
        size: int64[R]  bytes of each request.
        lifetime: int64[R]  requests, from 2**30 on: never freed.
    """
    with picture_style():
        figure = new_figure(FIGURE_WIDTH, 7.8)
        figure.suptitle(
            f"{results['trace']}: {results['events']:,} events, "
            f"peak live {short_bytes(results['peak_live'])}",
            x=0.008,
            ha="left",
        )
        (live, sizes), (density, bars) = figure.subplots(2, 2)
        _draw_live(live, results)
        _draw_sizes(sizes, results["sizes"])
        _draw_density(density, size, lifetime)
        _draw_headroom(bars, results)
        return save_figure(figure, path)


def _draw_live(axes: Axes, results: Results) -> None:
    at = np.array(results["live"]["request"])
    amount = np.array(results["live"]["bytes"], np.float64)
    power = max(0, (int(results["peak_live"]).bit_length() - 1) // 10)
    amount /= 1024.0**power
    axes.fill_between(at, amount, step="post", color=SHADES[1], lw=0)
    axes.step(at, amount, where="post", color=SHADES[6], lw=1.2)
    axes.set_title("live bytes, rounded up to the alignment")
    axes.set_xlabel("time (requests)")
    axes.set_ylabel(f"live ({UNITS[power]})")
    axes.set_xlim(0, max(results["requests"] - 1, 1))
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short_count(value)))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    _grid(axes, "y")


def _draw_sizes(axes: Axes, bins: list[SizeBin]) -> None:
    left = np.array([row["from"] for row in bins], np.float64)
    requests = [row["requests"] for row in bins]
    axes.bar(left, requests, width=left, align="edge", color=SHADES[4], ec="white", lw=0.8)
    axes.set(xscale="log", yscale="log")
    axes.set_xlim(left[0] / 1.3, left[-1] * 2.6)
    axes.set_ylim(0.6, max(requests) * 2)
    label_bytes(axes.xaxis, left[0], left[-1] * 2)
    _label_counts(axes)
    axes.set_title("requests by size")
    axes.set_xlabel("size asked for (bytes, powers of two)")
    axes.set_ylabel("requests")
    _grid(axes, "y")


def _draw_density(axes: Axes, size: np.ndarray, lifetime: np.ndarray) -> None:
    mortal = lifetime < NEVER
    longest = float(lifetime[mortal].max()) if mortal.any() else 1.0
    edges_x = _edges(float(size.min()), float(size.max()))
    edges_y = _edges(1.0, longest)
    # What is never freed has a row of its own, above all lifetimes.
    step = edges_y[-1] / edges_y[-2]
    above = np.array([edges_y[-1] * step, edges_y[-1] * step**3])
    shown = np.where(mortal, lifetime, above[0] * step)
    counts, _, _ = np.histogram2d(size, shown, [edges_x, np.concatenate([edges_y, above])])
    mesh = axes.pcolormesh(edges_x, np.concatenate([edges_y, above]),
                           np.ma.masked_equal(counts.T, 0), cmap=sequential_map(),
                           norm=LogNorm(1, max(counts.max(), 2)))  # fmt: skip
    axes.set(xscale="log", yscale="log")
    axes.set_xlim(edges_x[0], edges_x[-1])
    axes.set_ylim(edges_y[0], above[-1])
    label_bytes(axes.xaxis, edges_x[0], edges_x[-1])
    _label_counts(axes)
    if not mortal.all():
        _label_never(axes, above[0] * step)
    bar = axes.figure.colorbar(mesh, ax=axes, pad=0.015)
    bar.set_label("requests")
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short_count(value)))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    axes.set_title("lifetime against size" + ("" if mortal.all() else " (never: not freed)"))
    axes.set_xlabel("size asked for (bytes)")
    axes.set_ylabel("lifetime (requests)")


def _label_never(axes: Axes, at: float) -> None:
    """Writes "never" at a lifetime, and powers of ten where there is room for them below."""
    low, high = axes.get_ylim()
    decades = 10.0 ** np.arange(10)
    decades = decades[decades < at / (high / low) ** 0.06]
    axes.yaxis.set_major_locator(FixedLocator([*decades, at]))
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda life, _: "never" if life == at else short_count(life))
    )


def _edges(low: float, high: float) -> np.ndarray:
    """Returns borders of `DENSITY_BINS` bins, even in the logarithm, around `low` to `high`."""
    return np.geomspace(low / 1.2, max(high, 2 * low) * 1.2, DENSITY_BINS + 1)


def _draw_headroom(axes: Axes, results: Results) -> None:
    found = results["headroom"]
    names = list(found["bounded"])
    for place, name in enumerate(names):
        both, colour = name in found["unbounded"], policy_colour(name)
        if both:
            _bar(axes, place - 0.2, found["unbounded"][name], colour, pale=True)
        _bar(axes, place + 0.2 * both, found["bounded"][name], colour, pale=False)
    reserved = found.get("caching_allocator", {})
    others = {f"PyTorch, {source.replace('_', ' ')}": ratio for source, ratio in reserved.items()}
    others["offline"] = found["offline"]
    for place, ratio in enumerate(others.values(), len(names)):
        _bar(axes, place, ratio, MUTED, pale=False)
    titles = [*map(policy_title, names), *others]
    axes.set_yticks(range(len(titles)), titles)
    for label in axes.get_yticklabels():
        label.set_color(INK)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(titles) - 0.4 + bool(reserved), -0.6)  # the key below long bars
    drawn = (*found["unbounded"].values(), *found["bounded"].values(), *reserved.values())
    beyond = [100 * (ratio - 1) for ratio in drawn]
    _scale_axis(axes, max(beyond), min((value for value in beyond if value > 0), default=0.0))
    axes.set_title("memory needed beyond peak live")
    axes.set_xlabel("beyond peak live (%)")
    keys = [Patch(fc=MUTED, alpha=0.45, label="unbounded"), Patch(fc=MUTED, label="bounded")]
    axes.legend(handles=keys, loc="lower right", handlelength=1.2)
    _grid(axes, "x")


def _scale_axis(axes: Axes, most: float, least: float) -> None:
    """Scales the axis of bars, `least` to `most` % beyond peak live: logarithmic if it is wide."""
    if most > WIDE * least > 0:
        # Linear up to 0.1 %, so that there is a zero for bars to begin at.
        axes.set_xscale("symlog", linthresh=LINEAR_UP_TO, linscale=0.6)
        axes.xaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=LINEAR_UP_TO))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlim(0, 4 * max(most, 10 * LINEAR_UP_TO))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlim(0, 1.2 * max(most, LINEAR_UP_TO))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.3g}"))


def _bar(axes: Axes, place: float, ratio: float, colour: str, *, pale: bool) -> None:
    beyond = 100 * (ratio - 1)
    axes.barh(place, beyond, height=0.36, color=colour, alpha=0.45 if pale else 1.0, lw=0)
    digits = 1 if beyond >= 10 else 2
    axes.annotate(f"{beyond:.{digits}f}", (beyond, place), (4, 0), textcoords="offset points",
                  va="center", fontsize=8.5, color=INK)  # fmt: skip


def _label_counts(axes: Axes) -> None:
    axes.yaxis.set_major_locator(LogLocator(10, numticks=7))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short_count(value)))


def _grid(axes: Axes, along: str) -> None:
    axes.grid(axis=along, color=GRID, lw=0.8)  # pyright: ignore[reportArgumentType]
    axes.set_axisbelow(True)
