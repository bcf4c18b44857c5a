"""What policies make of a recording in bytes in one arena: a table, the memory, and the race."""

from typing import NamedTuple, TypedDict

import numpy as np
from matplotlib.figure import Figure
from PIL.Image import Image
from rich import box
from rich.table import Table
from rich.text import Text

from jaxmem.render.animation import draw_frames
from jaxmem.render.byte_units import short_bytes
from jaxmem.render.memory_map import draw_memory_map
from jaxmem.render.palette import count, policy_title
from jaxmem.render.style import Target
from jaxmem.render.tables import markdown_lines

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


class BytesShown(NamedTuple):
    """The requests up to the last that is shown, R of them; addresses and amounts are bytes."""

    name: str  # of the recording
    size: np.ndarray  # int64[R]
    lifetime: np.ndarray  # int64[R]  requests
    starts: dict[str, np.ndarray]  # int64[R] by policy, below 0: the request failed
    arena: int
    first: int  # request that is shown

    @property
    def title(self) -> str:
        """Says what is shown."""
        last = len(self.size)
        which = f"requests {self.first + 1:,} to {last:,}" if self.first else count(last, "request")
        return f"{self.name}: {which} in {short_bytes(self.arena)}"


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
    rows = ([policy_title(name), *row] for name, row in byte_rows(results))
    lines = [f"# {byte_subject(results)}", "", *markdown_lines(["policy", *BYTE_HEADER], rows)]
    lines += ["", *(f"{note}\n" for note in results["notes"]), f"`{results['command']}`"]
    return "\n".join(lines) + "\n"


def draw_byte_map(path: Target, shown: BytesShown) -> Figure:
    """Draws memory.png: address over time."""
    return draw_memory_map(
        path,
        shown.starts,
        shown.size,
        shown.lifetime,
        shown.arena,
        first=shown.first,
        title=shown.title,
        unit="bytes",
    )


def byte_frames(shown: BytesShown) -> list[Image]:
    """Draws the frames of a race."""
    return draw_frames(
        shown.starts,
        shown.size,
        shown.lifetime,
        shown.arena,
        title=shown.title,
        first=shown.first,
    )
