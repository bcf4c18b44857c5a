"""The findings of `jaxmem plan`: a table and a sentence."""

from typing import TypedDict

from rich import box
from rich.table import Table

from jaxmem.render.byte_units import short_bytes
from jaxmem.render.palette import count
from jaxmem.render.tables import markdown_row


class PlanResults(TypedDict):
    """The contents of results.json, but for what it was computed with; amounts are bytes."""

    command: str
    trace: str
    buffers: int
    pinned: int  # buffers
    aligned: int  # buffers with an alignment of their own
    alignment: int
    arena_needed: int
    peak_live: int
    lower_bound: int  # below which no packing is
    ratio: float  # arena needed over peak live
    planner: str  # that found the packing
    proven: bool  # no packing is lower
    interrupted: bool
    seconds: float
    heights: dict[str, list[list[float]]]  # by planner: seconds and height of its lowest so far
    notes: list[str]
    verdict: str


PLAN_HEADER = ("planner", "arena needed", "over peak live", "after")


def plan_table(results: PlanResults) -> Table:
    """Makes the table for a terminal."""
    table = Table(
        box=box.SIMPLE_HEAD, title=f"{results['trace']}: {count(results['buffers'], 'buffer')}"
    )
    for name in PLAN_HEADER:
        table.add_column(name, justify="left" if name == "planner" else "right")
    for row in _plan_rows(results):
        table.add_row(*row)
    return table


def plan_markdown(results: PlanResults) -> str:
    """Writes table.md."""
    lines = [
        f"# {results['trace']}: {count(results['buffers'], 'buffer')}",
        "",
        markdown_row(PLAN_HEADER),
    ]
    lines += [markdown_row(["---"] * len(PLAN_HEADER))]
    lines += [markdown_row(row) for row in _plan_rows(results)]
    lines += ["", results["verdict"], "", *(f"{note}\n" for note in results["notes"])]
    return "\n".join([*lines, f"`{results['command']}`"]) + "\n"


def plan_verdict(results: PlanResults) -> str:
    """Says in a sentence how good the packing is."""
    needed, bound = results["arena_needed"], results["lower_bound"]
    one = results["buffers"] == 1
    what = "The buffer fits" if one else f"The {results['buffers']:,} buffers fit"
    head = (
        f"{what} into {count(needed, 'byte')} "
        f"({short_bytes(needed)}), {results['ratio']:.4f} x what is live at the peak"
    )
    if results["proven"]:
        if bound == results["peak_live"]:
            return f"{head}: no packing is lower."
        return f"{head}: it is proven that no packing is lower."
    over = 100 * (needed / bound - 1)
    told = f"{over:.2f} %" if over >= 0.005 else "less than 0.01 %"
    ended = "when it was interrupted" if results["interrupted"] else "in the time given"
    return f"{head}; {ended} it was not proven that none is up to {told} lower."


def _plan_rows(results: PlanResults) -> list[list[str]]:
    rows = [
        [
            planner,
            f"{int(heights[-1][1]):,}",
            f"{heights[-1][1] / results['peak_live']:.4f}",
            f"{heights[-1][0]:.2f} s",
        ]
        for planner, heights in results["heights"].items()
    ]
    bound = results["lower_bound"]
    return [*rows, ["lower bound", f"{bound:,}", f"{bound / results['peak_live']:.4f}", ""]]
