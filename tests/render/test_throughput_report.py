"""The tables and pictures of a bench, from figures made by hand."""

import copy
import io

import numpy as np
import pytest
from matplotlib.colors import to_hex
from rich.console import Console

from jaxmem.render.throughput import bench_markdown, bench_tables, short_ratio, spread_of
from jaxmem.render.throughput_picture import LOOKS, draw_throughput

REFERENCES = ("python_loop", "numpy", "numba", "c", "cartpole")


def spread(median):
    return {"median": median, "low": 0.9 * median, "high": 1.2 * median}


def rates(median):
    return {"steps_per_second": spread(median), "per_cpu_second": spread(median / 2)}


def measured(cells, arenas, observation, median):
    return {
        "cells": cells,
        "arenas": arenas,
        "policy": "best",
        "observation": observation,
        "representation": "unrolled",
        **rates(median),
        "compile_seconds": 2.54,
        "bytes_per_arena": 1021,
        "ratio": {"python_loop": 1234.5, "numpy": 4.56, "numba": None, "c": 0.789, "cartpole": 2},
    }


def reference(name, cells, arenas, observation, median):
    key = {"name": name, "cells": cells, "arenas": arenas, "observation": observation}
    return {**key, **rates(median)}


@pytest.fixture
def results():
    sizes = [(100, 1024), (256, 1024), (100, 1), (100, 8192)]
    environment = [
        measured(cells, arenas, observation, 4e6 * arenas / (1024 + arenas) * 100 / cells)
        for observation in ("bitmap", "none")
        for cells, arenas in sizes
    ]
    references = [reference("cartpole", None, arenas, None, 5e6) for arenas in (1, 1024)]
    for observation in ("bitmap", "none"):
        for cells in (100, 256):
            references.append(reference("python_loop", cells, 1, observation, 9e5 / cells))
            references.append(reference("c", cells, 1024, observation, 9e8 / cells))
        references.append(reference("c", 100, 1, observation, 8e6))
    return {
        "command": "jaxmem bench",
        "device": "1 x cpu, 2 CPU cores",
        "versions": {"python": "3.11.7", "jax": "0.10.2"},
        "rounds": 7,
        "seconds": 0.4,
        "environment": environment,
        "references": references,
        "reasons": {"numba": "numba cannot be imported (pip install numba)"},
        "training": {
            "learner": "pqn",
            "workload": "large-short-lived",
            "arenas": 128,
            "rollout": 64,
            **rates(1.3e5),
            "compile_seconds": 12.0,
        },
        "evaluation": [
            {"policy": "best", "workload": "large-short-lived", "sequences": 256, **rates(6e6)}
        ],
    }


def printed(results, width):
    console = Console(file=io.StringIO(), width=width)
    for table in bench_tables(results, width):
        console.print(table, highlight=False)
    return console.file.getvalue()


def curves(axes):
    """Every line of a panel by its colour: its x and y."""
    return {
        to_hex(line.get_color()): (list(line.get_xdata()), list(np.asarray(line.get_ydata())))
        for line in axes.lines
    }


def colour(name):
    return to_hex(LOOKS[name]["color"])


def test_a_spread_is_written_in_the_unit_of_its_median():
    figure = {"median": 1.02e6, "low": 987_000, "high": 1.4e6}
    assert spread_of(figure) == "1.02 M (0.987, 1.40)"
    assert spread_of(figure, spread=False) == "1.02 M"
    assert spread_of({"median": 200.0, "low": 20.0, "high": 300.0}) == "200 (20.0, 300)"


def test_a_ratio_has_three_digits():
    ratios = [0.0022, 0.28449, 2.0, 28.4, 284.4, 30_860.0, None]
    assert [short_ratio(ratio) for ratio in ratios] == [
        "0.00220", "0.284", "2.00", "28.4", "284", "30,860", "-",
    ]  # fmt: skip


def test_a_terminal_of_80_characters_shows_every_figure_on_one_line(results):
    shown = printed(results, 80)
    assert max(map(len, shown.splitlines())) <= 80
    assert "\nbitmap         100   1,024  2.00 M (1.80, 2.40)     1.00 M    2.5 s" in shown
    assert "\nbitmap         100   1,024         1,234   4.56      -" in shown
    assert "train pqn, 128 arenas" in shown
    assert "Numba: numba cannot be imported" in shown


def test_a_wide_terminal_shows_the_spread_of_cpu_seconds_too(results):
    assert "2.00 M (1.80, 2.40)  1.00 M (0.900, 1.20)" in printed(results, 100)


def test_without_any_ratio_there_is_no_table_of_them(results):
    for row in results["environment"]:
        row["ratio"] = dict.fromkeys(REFERENCES)
    assert len(bench_tables(results, 80)) == 2
    assert "Beside" not in bench_markdown(results)


def test_the_page_has_everything(results):
    page = bench_markdown(results)
    assert page.startswith("# best-fit: steps a second\n")
    assert "| bitmap | 256 | 1,024 | 781 k (703, 938) | 391 k (352, 469) | 2.5 s | 1,021 |" in page
    assert "| bitmap | 256 | 1,024 | 1,234 | 4.56 | - | 0.789 | 2.00 |" in page
    assert "| CartPole | - | 1,024 | its own | 5.00 M (4.50, 6.00) | 2.50 M (2.25, 3.00) |" in page
    assert "evaluate best-fit, 256 sequences" in page
    assert "`jaxmem bench` on 1 x cpu, 2 CPU cores; python 3.11.7, jax 0.10.2." in page


def test_a_picture_against_arenas_has_the_first_cells_only(results, tmp_path):
    figure = draw_throughput(tmp_path / "a.png", results, "arenas")
    bitmap, alone = figure.axes
    found = curves(bitmap)
    assert found[colour("jaxmem")][0] == [1, 1024, 8192]
    assert found[colour("c")] == ([1, 1024], [8e6, 9e6])
    assert found[colour("cartpole")][0] == [1, 1024]
    assert found[colour("python_loop")] == ([1], [9e3])
    assert colour("numba") not in found
    assert alone.get_title(loc="left") == "arena and policy alone"
    assert (bitmap.get_xscale(), bitmap.get_yscale()) == ("log", "log")


def test_a_picture_against_cells_has_the_first_number_of_arenas_only(results, tmp_path):
    figure = draw_throughput(tmp_path / "c.png", results, "cells")
    found = curves(figure.axes[0])
    assert found[colour("jaxmem")][0] == [100, 256]
    assert found[colour("c")] == ([100, 256], [9e6, 9e8 / 256])
    assert found[colour("cartpole")] == ([100, 256], [5e6, 5e6])
    assert found[colour("python_loop")] == ([100, 256], [9e3, 9e5 / 256])


@pytest.mark.parametrize("along", ["arenas", "cells"])
def test_titles_and_labels_are_not_cut_off(results, along, tmp_path):
    figure = draw_throughput(tmp_path / "a.png", results, along)
    whole = figure.bbox
    texts = [text for axes in figure.axes for text in axes.texts]
    texts += [figure._suptitle, *(axes.title for axes in figure.axes)]
    assert {text.get_text() for text in texts} >= {"jaxmem", "C, one thread", "Python loops"}
    for text in texts:
        box = text.get_window_extent()
        assert whole.x0 <= box.x0 <= box.x1 <= whole.x1
        assert whole.y0 <= box.y0 <= box.y1 <= whole.y1


@pytest.mark.parametrize("along", ["arenas", "cells"])
def test_a_single_setting_without_spread_can_be_drawn(results, along, tmp_path):
    alone = copy.deepcopy(results["environment"][0])
    alone["steps_per_second"] = dict.fromkeys(("low", "median", "high"), 5.0)
    rows = [{**alone, "observation": name} for name in ("packed", "bitmap", "none")]
    for count in (1, 3):
        found = {**results, "environment": rows[:count], "references": []}
        figure = draw_throughput(tmp_path / "one.png", found, along)
        assert sum(axes.get_visible() for axes in figure.axes) == count
