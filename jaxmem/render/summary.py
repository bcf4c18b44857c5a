"""A summary of many runs: its tables and its picture, from summary.json."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from rich.table import Table
from rich.text import Text

from jaxmem.render.palette import GRID, count, policy_colour, policy_title
from jaxmem.render.report import figure
from jaxmem.render.style import FIGURE_WIDTH, Target, new_figure, picture_style, save_figure
from jaxmem.render.tables import markdown_lines, plain_table

Summary = Mapping[str, Any]  # the contents of summary.json
DIGITS = 2  # of failed requests, in %
ONE_LINE_FROM = 110  # characters across, from which a figure and its interval stand on one line
LEGIBLE = 60  # characters of a configuration in the picture
SUMMARY_HEADER = (
    "configuration",
    "seeds",
    "mean",
    "IQM [95 %]",
    "strongest fit",
    "difference [95 %]",
)
OVER = {
    "seeds and sequences": "over seeds and test sequences",
    "seeds": "over the seeds' means alone, where runs keep no figures of each sequence",
    "sequences": "over test sequences alone, where there is one seed",
}


Settings = dict[str, object]


class Figures(TypedDict):
    """Failed requests over the seeds of a configuration, in %, or a difference in points."""

    mean: float
    iqm: float
    low: float | None  # of the interval of the interquartile mean
    high: float | None
    by_seed: list[float]


class Fit(Figures):
    """The rule that fails least, and its figures."""

    policy: str


class SummaryRow(TypedDict):
    """What summary.json says of a configuration."""

    settings: Settings  # that tell it from the others
    workload: str
    seeds: list[int]
    runs: list[str]
    policy: str
    interval: str  # what intervals are over
    failed_requests: Figures
    strongest_fit: Fit | None
    difference: Figures | None  # to that fit


def configuration_title(row: SummaryRow) -> str:
    """Writes "learner=pqn, cells=64": what tells a configuration from the others."""
    return ", ".join(f"{key}={_written(value)}" for key, value in row["settings"].items())


def summary_markdown(summary: Summary) -> str:
    """Writes the summary as a Markdown page, summary.md."""
    rows = summary["rows"]
    lines = [f"# {_summary_title(summary)}", ""]
    lines += markdown_lines(SUMMARY_HEADER, map(_row_cells, rows))
    for note in [*_summary_notes(rows), *_left_out(summary)]:
        lines += ["", note]
    return "\n".join([*lines, "", f"`{summary['command']}`"]) + "\n"


def summary_table(summary: Summary, width: int) -> Table:
    """Makes the table for a terminal of `width` characters; runs left out are named below it.

    In a narrow one, intervals go below their figures.
    """
    notes = [*_summary_notes(summary["rows"]), *_left_out(summary)]
    table = plain_table(_summary_title(summary), caption="\n".join(notes))
    rows = [list(SUMMARY_HEADER), *(_row_cells(row) for row in summary["rows"])]
    if width < ONE_LINE_FROM:
        rows = [[_in_lines(cell) for cell in row] for row in rows]
    table.add_column(SUMMARY_HEADER[0], overflow="fold")
    for header, *cells in list(zip(*rows, strict=True))[1:]:
        wide = max(len(line) for text in (header, *cells) for line in text.split("\n"))
        table.add_column(Text(header), justify="right", width=wide)
    for row in rows[1:]:
        table.add_row(*map(Text, row))
    return table


def draw_summary(path: Target, rows: Sequence[SummaryRow]) -> None:
    """Draws a line for each configuration: its seeds, what they come to, and the strongest fit.

    Args:
        path: the PNG to write; or an open binary file.
        rows: as in summary.json, at least one; those of a workload share a panel.
    """
    panels: dict[str, list[SummaryRow]] = {}
    for row in rows:
        panels.setdefault(row["workload"], []).append(row)
    with picture_style():
        page = new_figure(
            FIGURE_WIDTH, 1.0 + sum(0.75 + 0.4 * len(found) for found in panels.values())
        )
        heights = [0.6 + len(found) for found in panels.values()]
        grid = page.subplots(len(panels), squeeze=False, height_ratios=heights)[:, 0]
        page.suptitle("Failed requests on test sequences (%)", x=0.01, ha="left")
        for axes, (title, found) in zip(grid, panels.items(), strict=True):
            _draw_figures(axes, title, found)
        page.supxlabel(
            "Large: interquartile mean over seeds, with its 95 % interval. Small: seeds. "
            "Bar: the strongest fit.",
            x=0.01,
            ha="left",
            fontsize=9.5,
        )
        drawn = [row["policy"] for row in rows]
        drawn += [row["strongest_fit"]["policy"] for row in rows if row["strongest_fit"]]
        keys = [
            Line2D([], [], ls="", marker="o", color=policy_colour(name), label=policy_title(name))
            for name in dict.fromkeys(drawn)
        ]
        page.legend(handles=keys, loc="outside upper right", ncols=len(keys))
        save_figure(page, path)


def _draw_figures(axes: Axes, title: str, rows: Sequence[SummaryRow]) -> None:
    for place, row in enumerate(rows):
        own, fit = row["failed_requests"], row["strongest_fit"]
        colour = policy_colour(row["policy"])
        if fit is not None:
            beside = policy_colour(fit["policy"])
            axes.plot([fit["iqm"]] * 2, [place - 0.35, place + 0.35], lw=2.4, color=beside)
        if own["low"] is not None and own["high"] is not None:
            axes.plot([own["low"], own["high"]], [place] * 2, lw=1.6, color=colour)
        if len(own["by_seed"]) > 1:
            below = [place + 0.22] * len(own["by_seed"])
            axes.plot(own["by_seed"], below, "o", ms=3.5, mew=0, alpha=0.6, color=colour)
        axes.plot([own["iqm"]], [place], "o", ms=7, color=colour)
    titles = [configuration_title(row) for row in rows]
    axes.set_yticks(range(len(rows)), [_shortened(title) for title in titles])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_title(title)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=GRID, lw=0.8)
    axes.set_axisbelow(True)


def _shortened(title: str) -> str:
    """Keeps the end of a long title, where configurations differ that begin alike."""
    return title if len(title) <= LEGIBLE else f"\N{HORIZONTAL ELLIPSIS}{title[1 - LEGIBLE :]}"


def _row_cells(row: SummaryRow) -> list[str]:
    own, fit, difference = row["failed_requests"], row["strongest_fit"], row["difference"]
    named = "" if row["policy"] == "learned" else f"{policy_title(row['policy'])} "
    return [
        configuration_title(row),
        str(len(row["seeds"])),
        f"{named}{figure(own, DIGITS, interval=False)}",
        _iqm(own),
        f"{policy_title(fit['policy'])} {fit['iqm']:.{DIGITS}f}" if fit else "n/a",
        _iqm(difference, "+") if difference else "n/a",
    ]


def _in_lines(cell: str) -> str:
    """Breaks a cell of a narrow table into lines."""
    return cell.replace(" [", "\n[").replace("fit ", "fit\n").replace(" fit", "\nfit")


def _iqm(entry: Figures, sign: str = "") -> str:
    return figure({**entry, "mean": entry["iqm"]}, DIGITS, interval=True, sign=sign)


def _summary_title(summary: Summary) -> str:
    rows = summary["rows"]
    workloads = ", ".join(dict.fromkeys(row["workload"] for row in rows))
    runs = count(sum(len(row["runs"]) for row in rows), "run")
    return f"Failed requests (%), {workloads}: {runs} of {count(len(rows), 'configuration')}"


def _summary_notes(rows: Sequence[SummaryRow]) -> list[str]:
    """Says what the figures are."""
    kinds = dict.fromkeys(row["interval"] for row in rows)
    over = "; ".join(OVER[kind] for kind in OVER if kind in kinds)
    return [
        "Mean and IQM, the interquartile mean, are over the seeds. In brackets: 95 % bootstrap "
        f"intervals {over}. Fit and difference, in points: IQM on the same sequences."
    ]


def _left_out(summary: Summary) -> list[str]:
    return [f"left out: {name}: {reason}" for name, reason in summary["left_out"].items()]


def _written(value: object) -> str:
    """Writes a value as an override has it."""
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)
