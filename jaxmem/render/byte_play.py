"""What policies make of a recording in bytes in one arena: a table, the memory, and the race."""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from matplotlib.figure import Figure
from PIL.Image import Image
from rich import box
from rich.table import Table
from rich.text import Text

from jaxmem.recordings.byte_play import BytePlay, first_around
from jaxmem.render.animation import draw_frames
from jaxmem.render.byte_units import short_bytes
from jaxmem.render.memory_map import draw_memory_map
from jaxmem.render.palette import count, policy_title
from jaxmem.render.report import markdown_row
from jaxmem.render.style import Target

BYTE_HEADER = ("arena needed / peak live", "failed requests (%)", "failed bytes (%)")


class ByteResults(TypedDict):
    """The contents of results.json, but for what it was computed with; amounts are bytes."""

    command: str
    trace: str
    requests: int
    alignment: int
    peak_live: int
    arena: int
    played: dict[str, dict[str, float]]  # by policy: arena_needed, failed_requests, failed_bytes
    notes: list[str]


def byte_results(
    played: BytePlay, alignment: int, command: str, notes: Sequence[str]
) -> ByteResults:
    """Makes the results of a play."""
    return {
        "command": command,
        "trace": played.recording.name,
        "requests": played.recording.requests,
        "alignment": alignment,
        "peak_live": played.peak_live,
        "arena": played.arena,
        "played": {
            name: {"arena_needed": needed, **played.failed[name]}
            for name, needed in played.needed.items()
        },
        "notes": list(notes),
    }


def byte_rows(results: ByteResults) -> list[tuple[str, list[str]]]:
    """Returns each policy with its figures, as `BYTE_HEADER` has them."""
    return [
        (
            name,
            [
                f"{row['arena_needed'] / results['peak_live']:.4f}",
                f"{row['failed_requests']:.2f}",
                f"{row['failed_bytes']:.2f}",
            ],
        )
        for name, row in results["played"].items()
    ]


def byte_subject(results: ByteResults) -> str:
    """Says what was played, and in what."""
    return (
        f"{results['trace']}: {count(results['requests'], 'request')} in an arena of "
        f"{short_bytes(results['arena'])}, {results['arena'] / results['peak_live']:.4g} x peak "
        f"live, in units of {count(results['alignment'], 'byte')}"
    )


def byte_table(results: ByteResults) -> Table:
    """Makes the table for a terminal."""
    table = Table(
        box=box.SIMPLE_HEAD, title=Text(byte_subject(results)), title_justify="left", padding=(0, 1)
    )
    for number, title in enumerate(("policy", *BYTE_HEADER)):
        table.add_column(title, justify="right" if number else "left", overflow="fold")
    for name, cells in byte_rows(results):
        table.add_row(Text(policy_title(name)), *cells)
    return table


def byte_markdown(results: ByteResults) -> str:
    """Writes table.md."""
    lines = [f"# {byte_subject(results)}", "", markdown_row(["policy", *BYTE_HEADER])]
    lines += ["|:--" + "|--:" * len(BYTE_HEADER) + "|"]
    lines += [markdown_row([policy_title(name), *row]) for name, row in byte_rows(results)]
    lines += ["", *(f"{note}\n" for note in results["notes"]), f"`{results['command']}`"]
    return "\n".join(lines) + "\n"


def draw_byte_map(path: Target, played: BytePlay, requests: int) -> Figure:
    """Draws memory.png: address over time, of so many requests around the tightest moment."""
    size, lifetime, first, last = _shown_window(played, requests)
    return draw_memory_map(
        path,
        {name: start[:last] for name, start in played.starts.items()},
        size,
        lifetime,
        played.arena,
        first=first,
        title=_byte_title(played, first, last),
        unit="bytes",
    )


def byte_frames(played: BytePlay, requests: int) -> list[Image]:
    """Draws the frames of a race of the same requests."""
    size, lifetime, first, last = _shown_window(played, requests)
    return draw_frames(
        {name: start[:last] for name, start in played.starts.items()},
        size,
        lifetime,
        played.arena,
        title=_byte_title(played, first, last),
        first=first,
    )


def _shown_window(played: BytePlay, requests: int) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Returns sizes and lifetimes up to the last request shown; first and last + 1 of those."""
    first = first_around(played.tightest, played.recording.requests, requests)
    last = min(first + requests, played.recording.requests)
    return played.size[:last], played.recording.lifetime[:last], first, last


def _byte_title(played: BytePlay, first: int, last: int) -> str:
    which = f"requests {first + 1:,} to {last:,}" if first else count(last, "request")
    return f"{played.recording.name}: {which} in {short_bytes(played.arena)}"
