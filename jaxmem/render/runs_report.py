"""The findings of `jaxmem train workload=runs`: a table, a picture and a sentence."""

from collections.abc import Sequence
from typing import NotRequired, TypedDict

import numpy as np
from matplotlib.figure import Figure
from rich import box
from rich.table import Table

from jaxmem.render.byte_units import short_bytes
from jaxmem.render.palette import GRID
from jaxmem.render.style import FIGURE_WIDTH, Target, new_figure, picture_style, save_figure
from jaxmem.render.tables import markdown_row
from jaxmem.rules import RULES

RUN_COLOURS = {
    "best-fit": RULES["best"].colour,
    "class rule": "#d55e00",
    "exceptions": "#882255",
    "plan": "#44aa99",
}
BAR = 0.22  # inches


class RunRow(TypedDict):
    """One run: what it is, and the arena needed over peak live."""

    run: str
    requests: int
    peak_live: int  # bytes
    held_out: bool
    foretold: float  # share of its requests, 0 .. 1
    needed: dict[str, float]  # by policy, of those that played it


class RunsResults(TypedDict):
    """The contents of results.json."""

    command: str
    alignment: int
    runs: list[RunRow]
    rule: dict[str, int | list[str]]
    plan: NotRequired[dict[str, float]]  # where it is chosen
    contexts: int
    chosen: str  # of the policies
    why: str
    notes: list[str]
    verdict: str
    device: NotRequired[str]
    versions: NotRequired[dict[str, str]]


RUN_HEADER = ("run", "requests", "peak", "foretold")


def runs_table(results: RunsResults) -> Table:
    """Makes the table for a terminal."""
    table = Table(box=box.SIMPLE_HEAD, title="arena needed / peak live", padding=(0, 1, 0, 0))
    for name in _header(results):
        is_run = name == "run"
        table.add_column(name, justify="left" if is_run else "right", no_wrap=not is_run)
    for row in _run_rows(results):
        table.add_row(*row)
    return table


def runs_markdown(results: RunsResults) -> str:
    """Writes table.md."""
    header = _header(results)
    lines = ["# arena needed / peak live", "", markdown_row(header)]
    lines += [markdown_row(["---"] * len(header))]
    lines += [markdown_row(row) for row in _run_rows(results)]
    rule = results["rule"]
    places = rule["places"]
    assert isinstance(places, list)
    lines += ["", results["verdict"], "", f"Chosen: {results['chosen']}; {results['why']}.", ""]
    lines += [f"- {place}" for place in places]
    if "plan" in results:
        plan = results["plan"]
        lines += [
            "",
            f"{plan['slots']:,.0f} slots are planned, for blocks up to {plan['margin']:.0%} larger "
            "than foretold; where the plan does not hold, the rule plays.",
        ]
    lines += [
        "",
        f"Short-lived: foretold to live at most {rule['long']:,} requests; small: at most 1/"
        f"{rule['parts']} of the arena. {results['contexts']:,} contexts of call sites are known.",
        "",
        *(f"{note}\n" for note in results["notes"]),
        f"`{results['command']}`",
    ]
    return "\n".join(lines) + "\n"


def verdict_of(results: RunsResults) -> str:
    """Says in a sentence what the policy is worth on the runs that it was not learned from."""
    held_out = [row for row in results["runs"] if row["held_out"]]
    rows = held_out or results["runs"]
    best, learned = (
        _geometric_mean_of([row["needed"][name] for row in rows])
        for name in ("best-fit", results["chosen"])
    )
    which = f"{len(rows)} held out" if held_out else f"all {len(rows)}, which it learned from"
    if not held_out and len(rows) == 1:
        which = "the one it learned from"
    runs = "run" if len(rows) == 1 else "runs"
    head = f"On the {runs} ({which}) best-fit needs {best:.3f} x peak live"
    if results["chosen"] == "best-fit":
        return f"{head}, and the policy is best-fit: {results['why']}."
    share = (best - learned) / (best - 1) if best > 1 else 0.0
    chosen = f"the policy ({results['chosen']}) {learned:.3f}"
    return f"{head}, {chosen}: {share:.0%} of the excess is gone."


def draw_runs(path: Target, results: RunsResults) -> Figure:
    """Draws the excess over peak live of each policy, run by run."""
    rows, policies = results["runs"], _policies(results)
    place = np.arange(len(rows))
    with picture_style():
        figure = new_figure(FIGURE_WIDTH, 1.4 + (1 + len(policies)) * BAR * len(rows))
        figure.suptitle("arena needed over peak live", x=0.01, ha="left")
        axes = figure.subplots()
        thick = 0.8 / len(policies)
        for number, name in enumerate(policies):
            excess = [100 * (row["needed"].get(name, np.nan) - 1) for row in rows]
            at = place + (number - (len(policies) - 1) / 2) * thick
            drawn = axes.barh(at, excess, 0.9 * thick, color=RUN_COLOURS[name], label=name)
            axes.bar_label(drawn, fmt="{:.1f} %", padding=3, fontsize=9)
        axes.set_yticks(place, [_run_label(row) for row in rows])
        axes.set(xlabel="memory beyond peak live (%)", ylim=(len(rows) - 0.5, -0.5))
        axes.margins(x=0.12)
        axes.grid(axis="x", color=GRID, lw=0.8)
        axes.set_axisbelow(True)
        figure.legend(loc="upper right", ncols=len(policies))
        return save_figure(figure, path)


def _header(results: RunsResults) -> list[str]:
    return [*RUN_HEADER, *_policies(results)]


def _policies(results: RunsResults) -> list[str]:
    """Lists the policies that played at least one run, the simpler ones first."""
    return list(dict.fromkeys(name for row in results["runs"] for name in row["needed"]))


def _run_rows(results: RunsResults) -> list[list[str]]:
    policies = _policies(results)
    return [
        [
            _run_label(row),
            f"{row['requests']:,}",
            short_bytes(row["peak_live"]),
            f"{row['foretold']:.1%}",
            *(f"{row['needed'][name]:.3f}" if name in row["needed"] else "" for name in policies),
        ]
        for row in results["runs"]
    ]


def _run_label(row: RunRow) -> str:
    return row["run"] + (" (held out)" if row["held_out"] else "")


def _geometric_mean_of(ratios: Sequence[float]) -> float:
    """Returns the geometric mean."""
    return float(np.exp(np.mean(np.log(ratios))))
