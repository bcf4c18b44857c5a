"""Tables of a comparison, for a file and for a terminal: both are views of results.json."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

import rich
from rich.table import Table
from rich.text import Text

from jaxmem.render.palette import policy_title
from jaxmem.render.tables import markdown_lines, plain_table

Results = Mapping[str, Any]  # the contents of results.json
Entry = Mapping[str, object] | None  # an estimate in them: mean, low, high
MAIN = "failed_requests"  # policies are sorted by it, and its difference is shown


class Measure(NamedTuple):
    """The format of a measure."""

    title: str
    unit: str  # "" where it is a share or a ratio
    digits: int  # after the point
    better: Literal["lower", "higher"] | None


MEASURES = {
    "failed_requests": Measure("failed requests", "%", 2, "lower"),
    "gap_closed": Measure("gap closed", "%", 1, "higher"),
    "failed_cells": Measure("failed cells", "%", 2, "lower"),
    "external_fragmentation": Measure("external fragmentation", "", 3, "lower"),
    "holes_per_cell": Measure("holes per cell", "", 3, "lower"),
    "unusable_free": Measure("unusable free share", "", 3, "lower"),
    "utilization": Measure("utilization", "", 3, "higher"),
    "high_water_mark": Measure("high-water mark", "cells", 1, "lower"),
    "high_water_per_peak": Measure("high-water mark / peak live", "", 3, "lower"),
    "arena_needed": Measure("arena needed", "cells", 1, "lower"),
    "arena_needed_per_peak": Measure("arena needed / peak live", "", 3, "lower"),
    "placed_requests": Measure("placed requests", "count", 1, "higher"),
    "decision_nanoseconds": Measure("time a decision", "ns", 0, "lower"),
}
STAR = "the paired 95 % interval excludes 0"


# No times: a table is the same whenever its run is made.
TRAINING = {
    "steps": "{:,} steps",
    "episodes": "{:,} episodes",
    "seed": "seed {}",
}


class Cell(NamedTuple):
    """One figure of the table, and how it stands."""

    text: str
    best: bool = False
    sign: int = 0  # of a difference whose interval excludes 0: -1 better, 1 worse


class Column(NamedTuple):
    """One column, one cell a policy in the order of `policies_by_failures`."""

    header: str
    cells: list[Cell]


def markdown_table(results: Results) -> str:
    """Writes the whole comparison as a Markdown page, table.md: each policy, measure, interval."""
    names = policies_by_failures(results)
    columns = columns_of(results, names, intervals=True)
    rows = (
        [policy_title(name), *(_marked(column.cells[place]) for column in columns)]
        for place, name in enumerate(names)
    )
    lines = [f"# {_subject(results)}", "", *_compared(results), ""]
    lines += markdown_lines(["policy", *(column.header for column in columns)], rows)
    notes = ["Bold: the best of the column."] if _any_best(columns) else []
    notes += [rf"\*: {STAR}."] if _any_sign(columns) else []
    for note in [*notes, *results.get("notes", [])]:
        lines += ["", note]
    return "\n".join(lines) + "\n"


def rich_table(results: Results, width: int | None = None) -> Table:
    """Makes the comparison's table: as many columns as can stand in `width` without wrapping.

    Failed requests come first, with their interval and the paired difference to the reference;
    the other measures follow as room allows, and those left out are named below. In a terminal
    too narrow for the first columns, their intervals go before they do.

    Args:
        results: the contents of results.json.
        width: characters across (default: those of the terminal).
    """
    width = rich.get_console().width if width is None else width
    names = policies_by_failures(results)
    titles = [policy_title(name) for name in names]
    columns, hidden = _fitting_columns(results, names, width - _needs("policy", titles) - 2)
    table = plain_table(_subject(results))
    table.add_column("policy", width=_needs("policy", titles), overflow="fold")
    for column in columns:
        wide = _needs(column.header, [_starred(cell) for cell in column.cells])
        table.add_column(Text(column.header), justify="right", width=wide, overflow="fold")
    for place, title in enumerate(titles):
        row = [column.cells[place] for column in columns]
        table.add_row(Text(title), *(Text(_starred(cell), style=_style(cell)) for cell in row))
    notes = [f"* {STAR}"] if _any_sign(columns) else []
    if hidden:
        notes.append("also measured: " + ", ".join(_title(name) for name in hidden))
    notes += [str(note) for note in results.get("notes", [])]
    if notes:
        table.caption = Text("\n".join(notes), style="dim")
    return table


def policies_by_failures(results: Results) -> list[str]:
    """Sorts the policies, fewest failed requests first; those without the figure last."""
    policies = results["policies"]
    return sorted(policies, key=lambda name: _or_infinity(_mean(policies[name].get(MAIN))))


def columns_of(results: Results, names: list[str], intervals: bool) -> list[Column]:
    """Returns every measure, failed requests and their difference first; with intervals or not."""
    measured = _measured(results)
    columns = [_column(results, names, measure, intervals) for measure in measured]
    if MAIN in measured and results.get("reference") in names:
        columns.insert(1, _difference(results, names, intervals))
    return columns


def _fitting_columns(
    results: Results, names: list[str], room: int
) -> tuple[list[Column], list[str]]:
    """Returns the columns that `room` characters hold, and the measures left out."""
    full = columns_of(results, names, intervals=True)
    brief = columns_of(results, names, intervals=False)
    measured = _measured(results)
    leading = 2 if len(full) > len(measured) else 1  # failed requests and their difference
    shown = full[:leading] if _across(full[:leading]) <= room else brief[:leading]
    if leading == 2 and _across(shown) > room:
        shown = brief[:1]
    hidden = list(measured[1:])
    for measure, column in zip(measured[1:], brief[leading:], strict=True):
        if _across([*shown, column]) <= room:
            shown = [*shown, column]
            hidden.remove(measure)
    for place, column in enumerate(shown):
        wider = next(other for other in full if other.header == column.header)
        widened = [*shown[:place], wider, *shown[place + 1 :]]
        if not hidden and _across(widened) <= room:
            shown = widened
    return shown, hidden


def _across(columns: list[Column]) -> int:
    return sum(2 + _needs(c.header, [_starred(cell) for cell in c.cells]) for c in columns)


def _needs(header: str, cells: Iterable[str]) -> int:
    """Counts the characters a column needs: cells unbroken, its header broken between words."""
    return max(len(text) for text in [*header.split(), *cells])


def _measured(results: Results) -> list[str]:
    """Lists every measure of any policy: ours in the order of `MEASURES`, then unknown ones."""
    found = dict.fromkeys(name for of in results["policies"].values() for name in of)
    return [*(name for name in MEASURES if name in found), *(n for n in found if n not in MEASURES)]


def _title(measure: str) -> str:
    known = MEASURES.get(measure)
    return known.title if known else measure


def _column(results: Results, names: list[str], measure: str, intervals: bool) -> Column:
    known = MEASURES.get(measure, Measure(measure, "", 3, None))
    entries = [results["policies"][name].get(measure) for name in names]
    written = [figure(entry, known.digits, intervals) for entry in entries]
    means = [round(m, known.digits) for entry in entries if not math.isnan(m := _mean(entry))]
    wanted = None  # a column in which all are alike has no best
    if known.better and len(set(means)) > 1:
        wanted = min(means) if known.better == "lower" else max(means)
    best = [round(_mean(entry), known.digits) == wanted for entry in entries]
    header = f"{known.title} ({known.unit})" if known.unit else known.title
    return Column(header, [Cell(*figure) for figure in zip(written, best, strict=True)])


def _difference(results: Results, names: list[str], intervals: bool) -> Column:
    reference = results["reference"]
    cells = []
    for name in names:
        entry = (results["policies"][name].get(MAIN) or {}).get("difference")
        if name == reference:
            cells.append(Cell("reference"))
            continue
        low, high = _bounds(entry)
        sign = -1 if high < 0 else 1 if low > 0 else 0
        cells.append(Cell(figure(entry, MEASURES[MAIN].digits, intervals, "+"), sign=sign))
    return Column(f"difference to {policy_title(reference)} (points)", cells)


def figure(entry: Entry, digits: int, interval: bool, sign: str = "") -> str:
    """Writes "4.87 [4.80, 4.94]", or "4.87" without an interval, or "n/a" without a figure."""
    mean, (low, high) = _mean(entry), _bounds(entry)
    if math.isnan(mean):
        return "n/a"
    # Adding 0 after rounding turns -0.00 into 0.00.
    text = [f"{round(value, digits) + 0.0:{sign},.{digits}f}" for value in (mean, low, high)]
    return f"{text[0]} [{text[1]}, {text[2]}]" if interval and not math.isnan(low) else text[0]


def _mean(entry: Entry) -> float:
    mean = (entry or {}).get("mean")
    return float(mean) if isinstance(mean, int | float) else math.nan


def _bounds(entry: Entry) -> tuple[float, float]:
    """Returns the interval; both ends are NaN if there is none, as for a single sequence."""
    low, high = (entry or {}).get("low"), (entry or {}).get("high")
    if isinstance(low, int | float) and isinstance(high, int | float):
        return float(low), float(high)
    return math.nan, math.nan


def _or_infinity(value: float) -> float:
    return math.inf if math.isnan(value) else value


def _any_best(columns: list[Column]) -> bool:
    return any(cell.best for column in columns for cell in column.cells)


def _any_sign(columns: list[Column]) -> bool:
    return any(cell.sign for column in columns for cell in column.cells)


def _starred(cell: Cell) -> str:
    return f"{cell.text} *" if cell.sign else cell.text


def _style(cell: Cell) -> str:
    return {-1: "bold green", 1: "red"}.get(cell.sign, "bold" if cell.best else "")


def _marked(cell: Cell) -> str:
    text = f"**{cell.text}**" if cell.best else cell.text
    return rf"{text} \*" if cell.sign else text


def _subject(results: Results) -> str:
    sequences = results["sequences"]
    noun = "sequence" if sequences == 1 else "sequences"
    return f"{results['workload']}, {results['cells']:,} cells: {sequences:,} request {noun}"


def _compared(results: Results) -> list[str]:
    """Says what was compared, on what, and what the learned policy cost."""
    names = policies_by_failures(results)
    noun = "policy" if len(names) == 1 else "policies"
    lines = [f"{len(names)} {noun} on the same request sequences (seed {results['seed']})."]
    if any(not math.isnan(_bounds(results["policies"][name].get(MAIN))[0]) for name in names):
        lines[0] += " In brackets: 95 % intervals; differences are paired, sequence by sequence."
    lines[0] += _headline(results, names[0]) if names else ""
    if training := results.get("training"):
        told = [form.format(training[key]) for key, form in TRAINING.items() if key in training]
        lines.append(f"Training: {', '.join(told)}.")
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    lines.append(f"`{results['command']}` on {results['device']}; {versions}.")
    return lines


def _headline(results: Results, name: str) -> str:
    """Says by how much the first of the table beats the reference, if that is beyond chance."""
    reference, policies = results["reference"], results["policies"]
    entry = policies[name].get(MAIN) or {}
    base = _mean((policies.get(reference) or {}).get(MAIN))
    if not (_bounds(entry.get("difference"))[1] < 0 and base > 0):
        return ""
    share = -100 * _mean(entry["difference"]) / base
    return (
        f" {policy_title(name)} fails {share:.0f} % fewer requests than {policy_title(reference)}."
    )
