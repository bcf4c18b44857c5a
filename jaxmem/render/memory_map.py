"""The memory map: where each policy put each block, address over time, one panel a policy."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import Colormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from jaxmem.render import style
from jaxmem.render.byte_units import label_addresses
from jaxmem.render.memory import LayoutLike, free_words, holes, memory_at
from jaxmem.render.palette import EDGE, FAILED, HOLE, MUTED, NEVER, UNTOLD, WASTED, count, text_on
from jaxmem.render.style import DENSITY, FIGURE_WIDTH, failure_title

LABELLED_UP_TO = 40  # a sequence of so few requests has its blocks labelled one by one
POLYGONS = 1500  # with more blocks than this in a panel, they are painted into an image


@dataclass(frozen=True)
class DrawnBlocks:
    """The blocks of one panel that are live at some time within the window shown."""

    request: np.ndarray  # int64[B]  which request, from 0
    left: np.ndarray  # int64[B]  first request at which it is live, clipped to the window
    right: np.ndarray  # int64[B]  first request at which it is gone, clipped to the window
    start: np.ndarray  # int64[B]  cell address
    size: np.ndarray  # int64[B]  cells
    colour: np.ndarray  # float64[B, 4]  red, green, blue, opacity


def draw_memory_map(
    path: style.Target,
    placements: Mapping[str, np.ndarray],
    size: np.ndarray,
    lifetime: np.ndarray,
    cells: int,
    layout: LayoutLike = (),
    first: int = 0,
    last: int | None = None,
    title: str | None = None,
    unit: str = "cells",
) -> Figure:
    """Draws what each policy made of one request sequence.

    A block is a rectangle [t, t + lifetime) x [start, start + size), dark if it lives long.
    Where a request failed, a red mark stands above the arena, and the cells that were free at
    that moment are red: many in holes too small, that is the fragmentation that cost a request.
    At most 40 requests that are never freed are drawn as the memory they leave behind instead.

    Args:
        path: the PNG to write, 2000 pixels wide; or an open binary file.
        placements: for each policy, int[T], the start cell of each request, below 0: failed.
        size: int[T], cells of each request.
        lifetime: int[T], requests that each block is live for; 2**30 or more: never freed.
        cells: cells of the arena.
        layout: (start, size) of the blocks that are there from the beginning, for good.
        first: the request from which on it is shown, from 0.
        last: the request before which that ends (default: all are shown).
        title: above the panels; by default, what is shown.
        unit: what arena and sizes are in; or "bytes".
    Raises:
        ValueError: no policy, arrays of different lengths, or an empty window.
    """
    size, lifetime = np.asarray(size, np.int64), np.asarray(lifetime, np.int64)
    starts = {name: np.asarray(start, np.int64) for name, start in placements.items()}
    if not starts:
        raise ValueError("no placements: give the start cells of at least one policy")
    for name, array in {"size": size, "lifetime": lifetime, **starts}.items():
        if array.ndim != 1 or array.shape != size.shape:
            raise ValueError(f"{name!r} has shape {array.shape}, size {size.shape}: both are [T]")
    last = len(size) if last is None else min(last, len(size))
    if first < 0 or (first >= last and len(size)):
        raise ValueError(f"none of the {len(size)} requests lies in {first} .. {last - 1}")
    if title is None:
        which = f"requests {first + 1:,} to {last:,}" if first else count(last, "request")
        title = f"Memory map: {which} in {count(cells, 'cell')}"
    with style.picture_style():
        in_bytes = unit == "bytes"
        left_behind = last <= LABELLED_UP_TO and first == 0 and (lifetime >= NEVER).all()
        if left_behind and not in_bytes:
            shown = {name: start[:last] for name, start in starts.items()}
            figure = _draw_left_behind(shown, size[:last], cells, layout)
        else:
            figure = _draw_over_time(starts, size, lifetime, cells, layout, first, last, in_bytes)
        figure.suptitle(title, x=0.008, ha="left")
        return style.save_figure(figure, path)


def _draw_over_time(
    starts: dict[str, np.ndarray],
    size: np.ndarray,
    lifetime: np.ndarray,
    cells: int,
    layout: LayoutLike,
    first: int,
    last: int,
    in_bytes: bool,
) -> Figure:
    """Draws the map proper: up to three panels one above the other, more in two columns."""
    columns = 1 if len(starts) <= 3 else 2
    rows = -(-len(starts) // columns)
    row = 2.6 if last - first <= LABELLED_UP_TO else 2.15 if columns == 1 else 1.95
    figure = style.new_figure(FIGURE_WIDTH, 1.0 + max(rows * row, 2.6))
    panels = list(figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flat)
    shades, norm = style.sequential_map(), style.lifetime_scale(lifetime[first:last])
    drawn = list(zip(panels, starts.items(), strict=False))  # an odd panel may be to spare
    for place, (axes, (name, start)) in enumerate(drawn):
        axes.set_title(failure_title(name, start[first:last]), pad=13)
        axes.set(xlim=(first, last), ylim=(0, cells), facecolor=HOLE)
        unit = "" if in_bytes else " (cells)"
        axes.set_ylabel(f"address{unit}" if place % columns == 0 else "")
        axes.set_xlabel("time (requests)" if place // columns == rows - 1 else "")
        if in_bytes:
            label_addresses(axes.yaxis, cells)
        else:
            axes.yaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
            axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        _number_requests(axes, first, last)
        style.draw_failures(axes, first + np.flatnonzero(start[first:last] < 0), cells)
        style.draw_layout(axes, [(first, at, last - first, many) for at, many in layout])
        blocks = drawn_blocks(start, size, lifetime, first, last, shades, norm)
        draw_blocks(axes, blocks, cells, first, last, columns)
    if norm is not None:
        forever = bool((lifetime[first:last] >= NEVER).any())
        style.draw_lifetime_scale(figure, panels, shades, norm, forever)
    wasted = Patch(fc=WASTED, label="free when a request failed")
    keys = [style.free_key(), style.failure_key(), wasted, *style.layout_keys(layout)]
    if len(panels) > len(drawn):
        panels[-1].set_axis_off()
        panels[-1].legend(handles=keys, loc="center")
    else:
        figure.legend(handles=keys, loc="outside lower center", ncols=len(keys))
    if last - first <= LABELLED_UP_TO:
        figure.draw_without_rendering()  # sets the layout: what has room for a label is known
        for axes, (_, start) in drawn:
            _label_blocks(axes, drawn_blocks(start, size, lifetime, first, last, shades, norm))
            for request in first + np.flatnonzero(start[first:last] < 0):
                text = f"{request + 1}: {size[request]}" if last - first <= 20 else ""
                axes.annotate(text, (request + 0.5, 1), (6, style.FAILED_MARK_HEIGHT),
                              va="center", fontsize=9,
                              textcoords="offset points", xycoords=axes.get_xaxis_transform(),
                              color=FAILED)  # fmt: skip
    return figure


def _number_requests(axes: Axes, first: int, last: int) -> None:
    """Ticks on the requests: each has its number where there are few, else round ones."""
    if last - first > LABELLED_UP_TO:
        axes.xaxis.set_major_locator(MaxNLocator(9, integer=True, min_n_ticks=1))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        return
    numbers = np.arange(first, last, 1 if last - first <= 20 else 2)
    axes.set_xticks(numbers + 0.5, [str(number + 1) for number in numbers])


def drawn_blocks(
    start: np.ndarray,
    size: np.ndarray,
    lifetime: np.ndarray,
    first: int,
    last: int,
    shades: Colormap,
    norm: LogNorm | None,
) -> DrawnBlocks:
    """Returns the blocks seen of requests `first` .. `last` - 1; arguments as in the map."""
    time = np.arange(len(start))
    end = time + lifetime
    live = np.flatnonzero((start >= 0) & (time < last) & (end > first))
    scaled = norm(np.maximum(lifetime[live], 1)) if norm is not None else np.full(len(live), UNTOLD)
    return DrawnBlocks(
        request=live,
        left=np.maximum(time[live], first),
        right=np.minimum(end[live], last),
        start=start[live],
        size=size[live],
        colour=np.asarray(shades(np.asarray(scaled, np.float64))).reshape(-1, 4),
    )


def draw_blocks(
    axes: Axes, blocks: DrawnBlocks, cells: int, first: int, last: int, columns: int
) -> None:
    """Draws blocks in a panel of requests `first` .. `last` - 1, of which `columns` are abreast."""
    wide = FIGURE_WIDTH * 72 * 0.86 / columns / (last - first)  # points of one request, about
    high = 1.5 * 72 / cells  # points of one cell, about
    if len(blocks.request) > POLYGONS or high < 0.35:
        # Twice as fine as the panel; averaged down, thin blocks fade and do not flicker.
        image = paint(blocks, cells, first, last, int(FIGURE_WIDTH * DENSITY * 1.8 / columns), 800)
        axes.imshow(image, extent=(first, last, 0, cells), aspect="auto", origin="lower", zorder=2,
                    interpolation="antialiased", interpolation_stage="rgba")  # fmt: skip
        return
    corners = style.corners(blocks.left, blocks.start, blocks.right - blocks.left, blocks.size)
    seam = min(0.5, 0.25 * high, 0.25 * wide)
    axes.add_collection(PolyCollection(corners, facecolors=blocks.colour, edgecolors="white",
                                       lw=seam, zorder=2, label="blocks"))  # fmt: skip


def paint(
    blocks: DrawnBlocks, cells: int, first: int, last: int, columns: int, rows: int
) -> np.ndarray:
    """Paints uint8[rows, columns, 4]: the blocks with light seams, free cells transparent.

    The lowest address is the first row; requests `first` .. `last` - 1 are the columns.
    """
    image = np.full((rows, columns, 4), (255, 255, 255, 0), np.uint8)
    across, up = columns / (last - first), rows / cells
    left = np.round((blocks.left - first) * across).astype(int)
    right = np.maximum(np.round((blocks.right - first) * across).astype(int), left + 1)
    bottom = np.round(blocks.start * up).astype(int)
    top = np.maximum(np.round((blocks.start + blocks.size) * up).astype(int), bottom + 1)
    colour = np.round(blocks.colour * 255).astype(np.uint8)
    for x0, x1, y0, y1, shade in zip(left, right, bottom, top, colour, strict=True):
        image[y0:y1, x0:x1] = shade
        if x1 - x0 > 8 and y1 - y0 > 8:
            image[y1 - 1, x0:x1] = image[y0:y1, x1 - 1] = 255
    return image


def _label_blocks(axes: Axes, blocks: DrawnBlocks) -> None:
    """Writes "3: 5", the request's number and its size, on each block that has room for it."""
    box, (low, high), (_, cells) = axes.get_window_extent(), axes.get_xlim(), axes.get_ylim()
    wide, tall = np.array([box.width / (high - low), box.height / cells]) * 72 / DENSITY
    for request, left, right, start, size, colour in zip(
        blocks.request, blocks.left, blocks.right, blocks.start, blocks.size, blocks.colour,
        strict=True,
    ):  # fmt: skip
        full, number = f"{request + 1}: {size}", f"{request + 1}"
        text = full if (right - left) * wide > 6.5 * len(full) else number
        if (right - left) * wide > 6.5 * len(text) and size * tall > 8:
            axes.text((left + right) / 2, start + size / 2, text, ha="center", va="center_baseline",
                      fontsize=min(9, 0.9 * size * tall), color=text_on(colour[:3]))  # fmt: skip


def _draw_left_behind(
    starts: dict[str, np.ndarray], size: np.ndarray, cells: int, layout: LayoutLike
) -> Figure:
    """Draws the memory after the last request, a strip for each policy, requests labelled."""
    figure = style.new_figure(FIGURE_WIDTH, 1.15 + 1.25 * len(starts))
    panels = list(figure.subplots(len(starts), 1, squeeze=False, sharex=True).flat)
    shades = style.sequential_map()(np.full(max(len(size), 1), UNTOLD))  # dark is: lives long
    for axes, (name, start) in zip(panels, starts.items(), strict=True):
        axes.set(xlim=(0, cells), ylim=(0, 1.62), yticks=[])
        axes.spines["left"].set_visible(False)
        axes.set_title(failure_title(name, start))
        axes.add_patch(Rectangle((0, 0), cells, 1, fc=HOLE, ec=EDGE, lw=0.8, zorder=1))
        style.draw_layout(axes, [(at, 0, many, 1) for at, many in layout])
        lifetime = np.full(len(size), NEVER)
        memory = memory_at(len(size), start, size, lifetime, cells, layout)
        axes.set_title(free_words(memory), loc="right", color=MUTED, weight="normal")
        for at, many, _ in holes(memory):
            _write(axes, at + many / 2, 0.5, f"{many}", MUTED, many)
        for request in np.flatnonzero(start >= 0):
            at, many, shade = start[request], size[request], shades[request]
            seam = min(1.0, 0.2 * many * FIGURE_WIDTH * 72 / cells)
            axes.add_patch(Rectangle((at, 0), many, 1, fc=shade, ec="white", lw=seam, zorder=3,
                                     label="blocks"))  # fmt: skip
            _write(axes, at + many / 2, 0.5, f"{request + 1}\n{many}", text_on(shade[:3]), many)
        _draw_refused(axes, np.flatnonzero(start < 0), size, cells)
    panels[-1].set_xlabel("address (cells)")
    panels[-1].xaxis.set_major_locator(MaxNLocator(10, integer=True, min_n_ticks=1))
    placed = Patch(fc=shades[(len(shades) - 1) // 2], label="placed (number above size)")
    refused = Patch(fc="white", ec=FAILED, ls="--", label="failed (number: size)")
    keys = [placed, refused, *style.layout_keys(layout), style.free_key("free (size)")]
    figure.legend(handles=keys, loc="outside lower center", ncols=len(keys))
    return figure


def _write(axes: Axes, x: float, y: float, text: str, ink: str, room: float) -> None:
    """Writes centred text if it is no wider than `room` cells."""
    if _width(axes, text) <= room:
        axes.text(x, y, text, ha="center", va="center", fontsize=9.5, color=ink, zorder=4)


def _width(axes: Axes, text: str) -> float:
    """Counts the cells that a text takes on a strip, about."""
    letters = max(map(len, text.split("\n")))
    return (6.3 * letters + 4) * axes.get_xlim()[1] / (FIGURE_WIDTH * 72 * 0.97)


def _draw_refused(axes: Axes, failed: np.ndarray, size: np.ndarray, cells: int) -> None:
    """Draws failed requests to scale in the lane above a strip: one sees that no hole would do."""
    left, gap = 0.0, 0.008 * cells
    for place, request in enumerate(failed):
        many, text = float(size[request]), f"{request + 1}: {size[request]}"
        inside = _width(axes, text) <= many
        rest = f"and {len(failed) - place} more"
        needed = many if inside else many + _width(axes, text)
        spare = 0.0 if place == len(failed) - 1 else _width(axes, rest)
        if left + needed + spare > cells:
            axes.text(left, 1.36, rest, va="center", fontsize=9.5, color=FAILED)
            return
        axes.add_patch(Rectangle((left, 1.16), many, 0.4, fc="white", ec=FAILED, ls="--", lw=1,
                                 clip_on=False, label="failed"))  # fmt: skip
        axes.text(left + (many / 2 if inside else many + gap / 2), 1.36, text, va="center",
                  ha="center" if inside else "left", fontsize=9.5, color=FAILED)  # fmt: skip
        left += needed + gap
