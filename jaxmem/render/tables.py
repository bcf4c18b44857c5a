"""Tables: for a terminal, and in Markdown."""

from collections.abc import Iterable, Sequence

from rich import box
from rich.table import Table
from rich.text import Text


def plain_table(title: str = "", caption: str = "", width: int | None = None) -> Table:
    """Makes a table for a terminal that has a line below its header and no other.

    Args:
        width: characters across (default: what it needs).
    """
    return Table(
        title=Text(title, style="bold") if title else None,
        caption=Text(caption, style="dim") if caption else None,
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
        title_justify="left",
        caption_justify="left",
        width=width,
    )


def markdown_lines(
    header: Sequence[str], rows: Iterable[Iterable[str]], left: int = 1
) -> list[str]:
    """Writes a table in Markdown, its first `left` columns to the left, the others to the right."""
    rule = "|:--" * left + "|--:" * (len(header) - left) + "|"
    return [markdown_row(header), rule, *map(markdown_row, rows)]


def markdown_row(cells: Iterable[str]) -> str:
    """Writes one row of a table in Markdown."""
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"
