"""The race as a page of its own: HTML with a script that plays it, and nothing from elsewhere."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jaxmem.render import palette
from jaxmem.render.memory import LayoutLike
from jaxmem.render.palette import lifetime_colours, policy_colour, policy_title, shade

TEMPLATE = Path(__file__).with_name("race.html")
COLOUR_NAMES = ("INK", "MUTED", "EDGE", "HOLE", "LAYOUT", "HATCH", "FAILED", "WASTED")


def race_page(
    placements: Mapping[str, np.ndarray],
    size: np.ndarray,
    lifetime: np.ndarray,
    cells: int,
    layout: LayoutLike = (),
) -> str:
    """Writes a page on which policies race: play, pause, and a slider over time.

    Args:
        placements: for each policy, int[T], the start cell of each request, below 0: failed.
        size, lifetime: int[T], cells and requests.
        cells, layout: of the arena.
    """
    race = {
        "cells": int(cells),
        "length": len(size),
        "layout": [[int(start), int(many)] for start, many in layout],
        "sizes": np.asarray(size).tolist(),
        "lifetimes": np.asarray(lifetime).tolist(),
        "colours": lifetime_colours(lifetime),
        "players": [
            {"title": policy_title(name), "colour": policy_colour(name), "starts": start.tolist()}
            for name, start in placements.items()
        ],
    }
    # No name may end the script that it stands in.
    data = json.dumps(race).replace("<", "\\u003c")
    page = TEMPLATE.read_text(encoding="utf-8")
    for name in COLOUR_NAMES:
        page = page.replace(name, getattr(palette, name))
    page = page.replace("PALE", shade(0.0)).replace("DARK", shade(1.0))
    return page.replace("RACE", data)
