"""One arena at a moment as a small picture: rows of cells, and beside them what is asked for."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from jaxmem.render.memory import FREE, Stretch
from jaxmem.render.palette import EDGE, HOLE, INK, block_shade

ACROSS = 64  # cells in a row, at most
ROWS = 32  # at most; in a larger arena a square stands for several cells
SIDE = 8  # pixels of a cell
MARGIN = 6  # pixels


def arena_picture(memory: Sequence[Stretch], size: int) -> np.ndarray:
    """Draws the memory, low addresses at the top left: uint8[H, W, 3].

    Args:
        memory: the whole arena, in address order; later blocks are darker.
        size: cells that the request which waits asks for, as a bar below, an arena long at most.
    """
    cells = memory[-1].end
    each = -(-cells // (ACROSS * ROWS))
    squares = -(-cells // each)
    across, rows = min(squares, ACROSS), -(-squares // ACROSS)
    width = 2 * MARGIN + ACROSS * SIDE
    picture = Image.new("RGB", (width, 3 * MARGIN + (rows + 1) * SIDE), "white")
    draw = ImageDraw.Draw(picture)
    blocks = sum(stretch.owner != FREE for stretch in memory)
    for stretch in memory:
        free = stretch.owner == FREE
        colour = HOLE if free else block_shade(max(stretch.owner, 0), blocks)
        for square in range(stretch.start // each, -(-stretch.end // each)):
            x = MARGIN + square % across * SIDE
            y = MARGIN + square // across * SIDE
            first = not free and square == stretch.start // each
            draw.rectangle((x, y, x + SIDE - 1, y + SIDE - 2), fill=colour)
            if first:
                draw.line((x, y, x, y + SIDE - 2), fill=INK)
    y = 2 * MARGIN + rows * SIDE
    share = MARGIN + min(-(-size // each), across) * SIDE
    draw.rectangle((MARGIN, y, share - 1, y + SIDE - 1), fill=INK)
    draw.rectangle((0, 0, width - 1, picture.height - 1), outline=EDGE)
    return np.asarray(picture)
