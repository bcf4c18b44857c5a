"""The memory in a terminal: one character a cell, coloured where the terminal has colours."""

from collections.abc import Mapping, Sequence

import numpy as np
from rich.console import Console
from rich.style import Style
from rich.text import Text

from jaxmem.render.memory import FREE, LayoutLike, Stretch, free_words, memory_at
from jaxmem.render.palette import FAILED, HATCH, block_shade, policy_colour, policy_title, text_on

MARKS = "123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"  # of requests, in turn
HOLE_MARK, LAYOUT_MARK = ".", "#"
MOST_LINES = 16  # of one memory: beyond, a character stands for several cells
LISTED = 10  # failed requests that are named; more are counted


def memory_text(memory: Sequence[Stretch], width: int, requests: int) -> Text:
    """Writes the memory as lines of characters, each with the address that it begins at.

    A block shows the number of its request, counted from 1 in 1-9, a-z, A-Z and then anew; `.` is
    free, `#` was there before. The text reads alike without colours.

    Args:
        memory: the whole arena, in address order.
        width: characters across, at least 20.
        requests: of the sequence: the scale of the colours.
    """
    cells = memory[-1].end
    margin = len(f"{cells - 1:,}") + 1
    across = max((max(width, 20) - margin) // 10 * 10, 10)
    each = -(-cells // (across * MOST_LINES)) if cells > across * MOST_LINES else 1
    lines_needed = -(-cells // (each * across))
    across = -(-(-(-cells // each) // lines_needed) // 10) * 10  # lines of one length
    owners = _owners(memory, each)
    lines = Text()
    for first in range(0, len(owners), across):
        lines.append(f"{first * each:>{margin - 1},} ", style="dim")
        for owner in owners[first : first + across]:
            lines.append(*_character(owner, requests))
        lines.append("\n")
    if each > 1:
        lines.append(f"{'':{margin}}a character stands for {each:,} cells", style="dim")
    lines.rstrip()
    return lines


def _owners(memory: Sequence[Stretch], each: int) -> list[int]:
    """Returns what each character shows: what lies on the middle one of its `each` cells."""
    cells = memory[-1].end
    middles = np.minimum(np.arange(0, cells, each) + each // 2, cells - 1)
    found = np.searchsorted([stretch.start for stretch in memory], middles, side="right") - 1
    return [memory[place].owner for place in found]


def _character(owner: int, requests: int) -> tuple[str, Style]:
    if owner == FREE:
        return HOLE_MARK, Style(dim=True)
    if owner < FREE:
        return LAYOUT_MARK, Style(color=HATCH)
    colour = block_shade(owner, requests)
    return MARKS[owner % len(MARKS)], Style(color=text_on(colour), bgcolor=colour)


def placements_text(
    placements: Mapping[str, np.ndarray],
    size: np.ndarray,
    lifetime: np.ndarray,
    cells: int,
    layout: LayoutLike = (),
    *,
    width: int,
) -> Text:
    """Shows what each policy leaves behind of one sequence: a headline and the memory.

    Args:
        placements: for each policy, int[T], the start cell of each request, below 0: failed.
        size, lifetime: int[T], cells and requests.
        cells, layout: of the arena.
        width: characters across.
    """
    page = Text()
    requests = len(size)
    for name, start in placements.items():
        memory = memory_at(requests, start, size, lifetime, cells, layout)
        failed = np.flatnonzero(np.asarray(start) < 0)
        page.append(policy_title(name), style=Style(color=policy_colour(name), bold=True))
        page.append(f": {requests - len(failed):,} of {requests:,} placed")
        if len(failed):
            page.append(f" (not {_failures(failed)})", style=FAILED)
        page.append(f"; {free_words(memory)}\n")
        page.append_text(memory_text(memory, width, requests))
        page.append("\n\n")
    page.append(f"{HOLE_MARK} free", style="dim")
    if len(layout):
        page.append(f"   {LAYOUT_MARK} there before", style="dim")
    page.append(f"   {MARKS[:3]}... the requests, in the order in which they came", style="dim")
    return page


def _failures(failed: np.ndarray) -> str:
    """Tells which requests failed, by their marks; of many, how many."""
    if len(failed) > LISTED:
        return f"{len(failed):,}"
    return ", ".join(MARKS[request % len(MARKS)] for request in failed)


def in_colours() -> bool:
    """Tells whether what is printed goes to a terminal that shows colours."""
    return Console().color_system is not None


def as_string(text: Text, width: int, colour: bool) -> str:
    """Writes the text with the codes that colour it in a terminal, or plain."""
    console = Console(
        width=width,
        force_terminal=colour,
        no_color=not colour,
        color_system="truecolor" if colour else None,
    )
    with console.capture() as captured:
        console.print(text, soft_wrap=True, end="")
    return captured.get()
