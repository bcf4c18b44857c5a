"""Tables as HTML: on a phone every row is a small table of its own, so nothing is cut off."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

from jaxmem.render.palette import EDGE, FAILED, INK, MUTED, policy_colour, policy_title
from jaxmem.render.report import STAR, Results, columns_of, policies_by_failures

TABLE_STYLE = f"""<style>
.jm-table {{ overflow-x: auto; margin: .3rem 0 .8rem; }}
.jm-table table {{ border-collapse: collapse; font: .84rem/1.35 system-ui, sans-serif;
  color: {INK}; min-width: 60%; }}
.jm-table th {{ text-align: right; font-weight: 600; color: {MUTED}; vertical-align: bottom;
  border-bottom: 1px solid {EDGE}; padding: .25rem .7rem; max-width: 9.5rem; }}
.jm-table td {{ text-align: right; padding: .25rem .7rem; white-space: nowrap;
  border-bottom: 1px solid #eceef1; font-variant-numeric: tabular-nums; }}
.jm-table th:first-child, .jm-table td:first-child {{ text-align: left; position: sticky; left: 0;
  background: #fff; }}
.jm-table td:first-child {{ border-left: .3rem solid transparent; }}
.jm-table .best {{ font-weight: 700; }}
.jm-table .better {{ color: #0b6e4f; }}
.jm-table .worse {{ color: {FAILED}; }}
.jm-table .interval {{ display: block; font-size: .86em; font-weight: 400; color: {MUTED}; }}
@media (max-width: 640px) {{
  .jm-table table, .jm-table tbody {{ display: block; }}
  .jm-table thead {{ display: none; }}
  .jm-table tr {{ display: grid; grid-template-columns: 1fr 1fr; gap: 0 1rem; padding: .4rem 0;
    border-bottom: 1px solid {EDGE}; }}
  .jm-table td {{ border: 0; padding: .1rem 0 .1rem .5rem; text-align: left; }}
  .jm-table td:first-child {{ grid-column: 1 / -1; font-weight: 700; }}
  .jm-table td::before {{ content: attr(data-of); display: block; font-size: .8em;
    font-weight: 400; color: {MUTED}; white-space: normal; }}
  .jm-table td:first-child::before {{ display: none; }}
}}
.jm-note {{ font: .8rem/1.4 system-ui, sans-serif; color: {MUTED}; margin: 0 0 .3rem; }}
</style>"""


class WebCell(NamedTuple):
    """A figure and how it looks: "", "best", "better" or "worse"."""

    text: str
    look: str = ""


def table(
    header: Sequence[str], rows: Iterable[tuple[str, Sequence[WebCell]]], notes: Sequence[str] = ()
) -> str:
    """Writes a table with a row for each policy.

    Args:
        header: of the columns after the first, which has the policies.
        rows: a policy and its cells.
        notes: sentences below.
    """
    head = "".join(f"<th>{escape(title)}</th>" for title in ("policy", *header))
    body = "".join(_html_row(name, header, cells) for name, cells in rows)
    below = "".join(f'<p class="jm-note">{escape(note)}</p>' for note in notes)
    return (
        f'<div class="jm-table"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>{below}"
    )


def _html_row(name: str, header: Sequence[str], cells: Sequence[WebCell]) -> str:
    figures = "".join(
        f'<td class="{cell.look}" data-of="{escape(title)}">{_figure(cell.text)}</td>'
        for title, cell in zip(header, cells, strict=True)
    )
    colour = f"border-left-color:{policy_colour(name)}"
    return f'<tr><td style="{colour}">{escape(policy_title(name))}</td>{figures}</tr>'


def _figure(text: str) -> str:
    """Writes a figure, with the interval that may follow, "3.5 [3.4, 3.6] *", on a line below."""
    value, bracket, rest = text.partition(" [")
    interval, _, mark = rest.partition("]")
    below = f' <span class="interval">[{escape(interval)}]</span>' if bracket else ""
    return escape(value + mark) + below


def comparison_table(results: Results) -> str:
    """Writes every policy, measure and interval of a comparison.

    Args:
        results: the contents of results.json.
    """
    names = policies_by_failures(results)
    columns = columns_of(results, names, intervals=True)
    rows = []
    for place, name in enumerate(names):
        cells = [column.cells[place] for column in columns]
        looks = {-1: "better", 0: "", 1: "worse"}
        rows.append(
            (
                name,
                [
                    WebCell(
                        cell.text + (" *" if cell.sign else ""),
                        f"{looks[cell.sign]} {'best' if cell.best else ''}".strip(),
                    )
                    for cell in cells
                ],
            )
        )
    starred = any(cell.sign for column in columns for cell in column.cells)
    notes = [f"* {STAR}"] if starred else []
    notes += [str(note) for note in results.get("notes", [])]
    return table([column.header for column in columns], rows, notes)
