"""The findings of `jaxmem run`: a table and a sentence."""

from typing import TypedDict

from rich import box
from rich.table import Table

from jaxmem.names import listed
from jaxmem.render.byte_units import short_bytes
from jaxmem.render.tables import markdown_lines


class LiveRow(TypedDict):
    """What an arena comes to; amounts are bytes."""

    peak_live: int
    high_water: int
    failed: int  # requests
    failed_bytes: int


class LiveResults(TypedDict):
    """The contents of results.json, but for what it was computed with; amounts are bytes."""

    command: str
    program: str
    policy: str
    exit_status: int  # of the program
    requests: int  # that were placed or failed
    unit: int
    least: int
    arena: int  # 0: it grew
    live: LiveRow
    replayed: dict[str, LiveRow]  # by policy, that of the run first
    nanoseconds: float | None  # an operation
    peak_rss: int
    foretold: float | None  # share of the requests that the policy's profile knows
    differences: list[str]  # between the live run and its replay
    notes: list[str]
    verdict: str


LIVE_HEADER = ("placed by", "peak live", "high-water mark", "over peak", "failed", "failed bytes")


def live_table(results: LiveResults) -> Table:
    """Makes the table for a terminal."""
    table = Table(box=box.SIMPLE_HEAD, title=_live_title(results))
    for name in LIVE_HEADER:
        table.add_column(name, justify="left" if name == LIVE_HEADER[0] else "right")
    for row in _live_rows(results):
        table.add_row(*row)
    return table


def live_markdown(results: LiveResults) -> str:
    """Writes table.md."""
    lines = [f"# {_live_title(results)}", ""]
    lines += markdown_lines(LIVE_HEADER, _live_rows(results))
    told = [results["verdict"], *results["differences"], *results["notes"]]
    lines += ["", *(f"{line}\n" for line in told)]
    return "\n".join([*lines, f"`{results['command']}`"]) + "\n"


def live_verdict(results: LiveResults) -> str:
    """Says in a sentence whether the simulator is right, and what it cost."""
    many = f"{results['requests']:,} placements"
    if results["differences"]:
        return f"The live run is not its replay, of {many}:"
    cost = [f"the program took {short_bytes(results['peak_rss'])}"] if results["peak_rss"] else []
    if results["nanoseconds"] is not None:
        cost.append(f"an operation {results['nanoseconds']:.0f} ns")
    told = f"; {listed(cost)}" if cost else ""
    return f"All {many} and every figure of the live run are those of its replay{told}."


def _live_title(results: LiveResults) -> str:
    arena = f"{results['arena']:,} bytes" if results["arena"] else "an arena that grows"
    return f"{results['program']} in {arena}, under {results['policy']}"


def _live_rows(results: LiveResults) -> list[list[str]]:
    rows = {"the program": results["live"]}
    rows |= {f"replay, {name}": row for name, row in results["replayed"].items()}
    return [
        [
            name,
            f"{row['peak_live']:,}",
            f"{row['high_water']:,}",
            f"{row['high_water'] / max(row['peak_live'], 1):.4f}",
            f"{row['failed']:,}",
            f"{row['failed_bytes']:,}",
        ]
        for name, row in rows.items()
    ]
