"""The race: address over time under several policies side by side, as time goes on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from jaxmem.render import style
from jaxmem.render.memory import LayoutLike
from jaxmem.render.memory_map import drawn_blocks, paint
from jaxmem.render.palette import (
    EDGE,
    FAILED,
    HOLE,
    INK,
    LAYOUT,
    MUTED,
    WASTED,
    policy_colour,
    policy_title,
)

PANELS_ACROSS = 3  # panels side by side
PANEL = (360, 220)  # pixels of a map, across and up
MARGIN, HEAD, LANE = 24, 58, 14  # pixels: between panels, above a map, of its failures
FRAMES = 120  # at most


@dataclass(frozen=True)
class _Panel:
    name: str
    failed: np.ndarray  # bool[T]
    whole: Image.Image  # the map of the whole sequence
    corner: tuple[int, int]  # of the map in the frame


def draw_frames(
    placements: Mapping[str, np.ndarray],
    size: np.ndarray,
    lifetime: np.ndarray,
    cells: int,
    layout: LayoutLike = (),
    *,
    title: str,
    frames: int = FRAMES,
    first: int = 0,
) -> list[Image.Image]:
    """Draws every frame of the race, the last with the whole sequence.

    What is drawn is the memory map of each policy up to the request that is being answered; dark
    blocks live long, and the cells that were free while a request failed are red.

    Args:
        placements: for each policy, int[T], the start cell of each request, below 0: failed.
        size, lifetime: int[T], cells and requests.
        cells, layout: of the arena.
        title: above the panels.
        frames: how many, 1 .. `FRAMES`; never more than there are requests.
        first: the request that it begins with, in the memory that those before have left.
    Raises:
        ValueError: no policy, or no request.
    """
    if not placements or not len(size):
        raise ValueError("a race needs at least one policy and one request")
    starts = {name: np.asarray(start) for name, start in placements.items()}
    width, height, corners = _panel_corners(len(starts))
    panels = [
        _Panel(
            name, start[first:] < 0, _whole_map(start, size, lifetime, cells, layout, first), corner
        )
        for (name, start), corner in zip(starts.items(), corners, strict=True)
    ]
    empty = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(empty).text((MARGIN, 14), title, fill=INK, font=_font(19, bold=True))
    shown = len(size) - first
    many = max(1, min(frames, FRAMES, shown))
    times = np.unique(np.linspace(1, shown, many).round().astype(int))
    return [_frame(empty, panels, int(time), shown, first) for time in times]


def _panel_corners(panels: int) -> tuple[int, int, list[tuple[int, int]]]:
    """Returns width and height of a frame, even, and the corner of each map."""
    across = min(panels, PANELS_ACROSS)
    down = -(-panels // across)
    step = (PANEL[0] + MARGIN, PANEL[1] + HEAD)
    corners = [
        (MARGIN + place % across * step[0], 44 + HEAD + place // across * step[1])
        for place in range(panels)
    ]
    return MARGIN + across * step[0], 44 + down * step[1] + 52, corners


def _whole_map(
    start: np.ndarray,
    size: np.ndarray,
    lifetime: np.ndarray,
    cells: int,
    layout: LayoutLike,
    first: int,
) -> Image.Image:
    """Draws the map of a whole sequence, with what was wasted, at the size of a panel."""
    fine, last = (2 * PANEL[0], 2 * PANEL[1]), len(size)
    image = Image.new("RGB", fine, HOLE)
    draw = ImageDraw.Draw(image)
    across, up = fine[0] / (last - first), fine[1] / cells
    for time in np.flatnonzero(start[first:] < 0):
        draw.rectangle((time * across, 0, max((time + 1) * across - 1, time * across), fine[1]),
                       fill=WASTED)  # fmt: skip
    for at, many in layout:
        draw.rectangle((0, at * up, fine[0], (at + many) * up - 1), fill=LAYOUT)
    shades, norm = style.sequential_map(), style.lifetime_scale(np.asarray(lifetime)[first:])
    blocks = drawn_blocks(start, np.asarray(size), np.asarray(lifetime), first, last, shades, norm)
    painted = Image.fromarray(paint(blocks, cells, first, last, *fine))
    image.paste(painted, (0, 0), painted)
    return image.transpose(Image.Transpose.FLIP_TOP_BOTTOM).resize(PANEL, Image.Resampling.BOX)


def _frame(
    empty: Image.Image, panels: Sequence[_Panel], time: int, last: int, first: int
) -> Image.Image:
    """Draws the race when `time` requests are answered, of `last` after the first ones."""
    frame = empty.copy()
    draw = ImageDraw.Draw(frame)
    for panel in panels:
        x, y = panel.corner
        width, height = PANEL
        shown = round(width * time / last)
        draw.rectangle((x, y, x + width, y + height), fill="#fbfbfc", outline=EDGE)
        frame.paste(panel.whole.crop((0, 0, shown, height)), (x, y))
        draw.line((x + shown, y, x + shown, y + height), fill=INK, width=2)
        for request in np.flatnonzero(panel.failed[:time]):
            at = x + (request + 0.5) * width / last
            draw.line((at, y - LANE + 3, at, y - 4), fill=FAILED, width=2)
        failed = int(panel.failed[:time].sum())
        text = f"{failed:,} failed"
        colour = policy_colour(panel.name)
        top = y - HEAD + 16
        draw.rectangle((x, top + 3, x + 5, top + 20), fill=colour)
        title = policy_title(panel.name)
        draw.text((x + 13, top), title if len(title) < 26 else f"{title[:25]}…", fill=INK,
                  font=_font(18, bold=True))  # fmt: skip
        draw.text((x + width, top), text, fill=FAILED if failed else MUTED, anchor="ra",
                  font=_font(18, bold=True))  # fmt: skip
    bottom = frame.height - 34
    told = f"request {first + time:,} of {first + last:,}   left to right: time; up: address; "
    draw.text((MARGIN, bottom), told + "dark: lives long; red: a request failed", fill=MUTED,
              font=_font(14 if len(panels) > 1 else 9))  # fmt: skip
    return frame


def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(folder / f"DejaVuSans{'-Bold' if bold else ''}.ttf", size)
