"""The tables: exact in Markdown, and readable in a terminal of any width."""

import io

import pytest
from rich.console import Console

from jaxmem.render.report import MEASURES, markdown_table, rich_table


def figures(mean, half=None, difference=None, doubt=None):
    """One measure of results.json: mean +- half, and its difference to the reference +- doubt."""
    entry = {"mean": mean, "low": None, "high": None}
    if half is not None:
        entry |= {"low": mean - half, "high": mean + half}
    if difference is not None:
        around = None if doubt is None else (difference - doubt, difference + doubt)
        low, high = around or (None, None)
        entry["difference"] = {"mean": difference, "low": low, "high": high}
    return entry


def results(policies, **more):
    return {
        "command": "jaxmem compare workload=comb",
        "workload": "comb",
        "cells": 116,
        "sequences": 1024,
        "seed": 0,
        "reference": "best",
        "versions": {"jaxmem": "0.1.0", "jax": "0.8.1"},
        "device": "cpu",
        "policies": policies,
        **more,
    }


SMALL = results(
    {
        "best": {
            "failed_requests": figures(8, 0.1, 0.0, 0.0),
            "utilization": figures(0.7, 0.01, 0.0, 0.0),
            "odd|one": figures(1.5, 0.5, 0.0, 0.0),
        },
        "first": {
            "failed_requests": figures(8.04, 0.1, 0.04, 0.2),
            "utilization": figures(0.71, 0.01, 0.01, 0.0),
            "odd|one": figures(1.0, 0.5, -0.5, 0.0),
        },
        "two_ended": {"failed_requests": figures(6, 0.25, -2, 0.5), "odd|one": {"mean": None}},
        "worst": {
            "failed_requests": figures(12.5, 1, 4.5, 1),
            "utilization": figures(0.5, 0.01, -0.2, 0.0),
        },
    },
    notes=["two-ended: threshold 4 cells."],
    training={"steps": 2_000_000, "episodes": 6250, "seconds": 184.3, "seed": 1},
)

LARGE = results(
    {
        name: {
            measure: figures(mean, mean / 50, mean - 7.77, 0.1)
            for measure in [*MEASURES, "something_of_mine"]
        }
        for name, mean in {
            "first": 6.59, "second": 8.51, "best": 7.77, "worst": 25.96, "next": 21.07,
            "two_ended": 5.71, "hint_fit": 3.1, "random": 30.2, "learned": 4.87,
        }.items()
    },
    notes=["two-ended: threshold 4 cells, tuned on 64 training sequences and on no test one."],
)  # fmt: skip


def printed(content, width):
    file = io.StringIO()
    Console(file=file, width=width).print(rich_table(content, width))
    return file.getvalue()


def test_the_markdown_page_is_exact():
    assert (
        markdown_table(SMALL)
        == r"""# comb, 116 cells: 1,024 request sequences

4 policies on the same request sequences (seed 0). In brackets: 95 % intervals; differences are paired, sequence by sequence. two-ended fails 25 % fewer requests than best-fit.
Training: 2,000,000 steps, 6,250 episodes, seed 1.
`jaxmem compare workload=comb` on cpu; jaxmem 0.1.0, jax 0.8.1.

| policy | failed requests (%) | difference to best-fit (points) | utilization | odd\|one |
|:--|--:|--:|--:|--:|
| two-ended | **6.00 [5.75, 6.25]** | -2.00 [-2.50, -1.50] \* | n/a | n/a |
| best-fit | 8.00 [7.90, 8.10] | reference | 0.700 [0.690, 0.710] | 1.500 [1.000, 2.000] |
| first-fit | 8.04 [7.94, 8.14] | +0.04 [-0.16, +0.24] | **0.710 [0.700, 0.720]** | 1.000 [0.500, 1.500] |
| worst-fit | 12.50 [11.50, 13.50] | +4.50 [+3.50, +5.50] \* | 0.500 [0.490, 0.510] | n/a |

Bold: the best of the column.

\*: the paired 95 % interval excludes 0.

two-ended: threshold 4 cells.
"""  # noqa: E501
    )


def test_a_single_sequence_has_no_intervals_and_no_stars():
    content = results(
        {"first": {"holes_per_cell": figures(0.04), "failed_requests": figures(28.57, None, 0)},
         "best": {"holes_per_cell": figures(0.05), "failed_requests": figures(28.57, None, 0)}},
        sequences=1,
    )  # fmt: skip
    page = markdown_table(content)
    assert "| first-fit | 28.57 | +0.00 | **0.040** |" in page
    assert "| best-fit | 28.57 | reference | 0.050 |" in page
    assert page.startswith("# comb, 116 cells: 1 request sequence\n")
    assert "95 %" not in page
    assert "95 %" not in printed(content, 80)


def test_policies_without_figures_come_last_and_do_no_harm():
    page = markdown_table(results({"first": {}, "best": {"failed_requests": figures(3, 1)}}))
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    assert rows[1:] == ["| best-fit | 3.00 [2.00, 4.00] | reference |", "| first-fit | n/a | n/a |"]
    assert "first-fit" in printed(results({"first": {}}), 80)


def test_without_the_reference_there_is_no_difference():
    page = markdown_table(results({"first": {"failed_requests": figures(3, 1, 1, 0.5)}}))
    assert "difference to" not in page


def test_a_tie_has_no_best():
    page = markdown_table(
        results({"a": {"failed_cells": figures(3)}, "b": {"failed_cells": figures(3)}})
    )
    assert "**" not in page


@pytest.mark.parametrize("width", [50, 60, 80, 100, 120, 160, 240, 400])
@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
def test_a_table_fits_its_terminal_without_cutting_anything(content, width):
    lines = printed(content, width).splitlines()
    assert max(len(line) for line in lines) <= width
    assert not any("…" in line for line in lines)
    rule = next(index for index, line in enumerate(lines) if set(line.strip()) <= {"─", "-", " "}
                and line.strip())  # fmt: skip
    rows = [line.split()[0] for line in lines[rule + 1 :][: len(content["policies"])]]
    titles = {"first-fit", "second-fit", "best-fit", "worst-fit", "next-fit", "two-ended",
              "hint-fit", "random", "learned"}  # fmt: skip
    assert len(rows) == len(set(rows))
    assert set(rows) <= titles


def test_a_terminal_of_80_columns_keeps_the_main_measure_whole():
    text = printed(LARGE, 80)
    assert "4.87 [4.77, 4.97]" in text
    assert "-2.90 [-3.00, -2.80] *" in text
    assert "failed requests (%)" in text
    assert "also measured: " in text
    assert "something_of_mine" in text


def test_a_wider_terminal_shows_more():
    narrow, wide = (printed(LARGE, width) for width in (80, 400))
    assert "utilization" in wide
    assert "also measured" not in wide
    assert len(wide.splitlines()[4]) > len(narrow.splitlines()[4])
    assert wide.count("[") > narrow.count("[")


def test_a_narrow_terminal_gives_up_intervals_before_columns():
    text = printed(LARGE, 50)
    assert "-2.90 *" in text
    assert "[" not in text


def test_a_long_policy_name_is_shown_whole():
    name = "runs/2025-01-01/large-short-lived/policy [seed 3]"
    text = printed(results({name: {"failed_requests": figures(3, 1)}, "best": {}}), 80)
    assert name in text


def test_a_sure_difference_is_starred_and_coloured():
    cells = rich_table(SMALL, 120).columns[2]._cells
    styles = {str(cell): str(cell.style) for cell in cells}
    assert styles["-2.00 [-2.50, -1.50] *"] == "bold green"
    assert styles["+4.50 [+3.50, +5.50] *"] == "red"
    assert styles["+0.04 [-0.16, +0.24]"] == ""


def test_measures_say_which_way_is_better():
    more = {"utilization", "placed_requests", "gap_closed"}
    assert {MEASURES[name].better for name in more} == {"higher"}
    lower = {name for name, measure in MEASURES.items() if measure.better == "lower"}
    assert lower == set(MEASURES) - more
