"""The table of a grid: what each choice of the settings gives, over its seeds."""

from rich.table import Table
from rich.text import Text

from jaxmem.render.palette import count, policy_title
from jaxmem.render.report import Results
from jaxmem.render.tables import markdown_lines, plain_table

GRID_HEADER = ("settings", "validation (%)", "failed requests (%)", "difference (points)")


def grid_markdown(results: Results) -> str:
    """Writes table.md of a grid."""
    lines = [
        f"# {results['workload']}, {results['cells']:,} cells: {_member_words(results)}",
        "",
        f"Failed requests on {results['sequences']:,} test sequences: interquartile mean over "
        "seeds, with 95 % stratified bootstrap intervals over seeds and sequences; differences are "
        f"paired, to {policy_title(results['reference'])}. In bold the choice that fails least on "
        "validation sequences, by which choices are to be made.",
        "",
    ]
    rows = enumerate(map(_choice_cells, results["choices"]))
    shown = ([f"**{cell}**" for cell in row] if at == results["best"] else row for at, row in rows)
    lines += markdown_lines(GRID_HEADER, shown)
    for name, failed in results["rules"].items():
        lines.append(f"| {policy_title(name)} | | {failed:.2f} | |")
    lines += ["", *(f"- {note}" for note in results["notes"])]
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    lines += ["", f"`{results['command']}` on {results['device']}; {versions}."]
    return "\n".join(lines) + "\n"


def grid_table(results: Results) -> Table:
    """Makes the same for a terminal."""
    table = plain_table(
        f"{results['workload']}, {results['cells']:,} cells: {_member_words(results)}"
    )
    table.add_column(GRID_HEADER[0])
    for header in GRID_HEADER[1:]:
        table.add_column(header, justify="right")
    for number, choice in enumerate(results["choices"]):
        table.add_row(*_choice_cells(choice), style="bold" if number == results["best"] else "")
    for name, failed in results["rules"].items():
        table.add_row(policy_title(name), "", f"{failed:.2f}", "", style="dim")
    notes = [
        "in bold: least on validation sequences, by which choices are to be made",
        f"test: interquartile mean over seeds; differences to {policy_title(results['reference'])}",
        *results["notes"],
    ]
    table.caption = Text("\n".join(notes), style="dim")
    return table


def _member_words(results: Results) -> str:
    seeds = count(len(results["seeds"]), "seed")
    if "trials" in results:
        return f"the best of {count(len(results['trials']), 'trial')}, {seeds}"
    each = "" if len(results["seeds"]) == 1 else " each"
    return f"{count(len(results['choices']), 'choice')} of the settings, {seeds}{each}"


def _choice_cells(choice: Results) -> list[str]:
    validation, test = choice["validation_failed"], choice["failed_requests"]
    return [
        choice["title"],
        "" if validation is None else f"{validation:.2f}",
        _interval(test),
        _interval(choice["difference"], "+"),
    ]


def _interval(estimate: dict[str, float | None], sign: str = "") -> str:
    numbers = [estimate["mean"], estimate["low"], estimate["high"]]
    text = [f"{number:{sign}.2f}" for number in numbers if number is not None]
    return f"{text[0]} [{text[1]}, {text[2]}]" if len(text) == 3 else text[0]
