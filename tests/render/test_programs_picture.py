"""The picture of many recordings."""

import sys
from pathlib import Path

import numpy as np
import pytest

BOUNDED = {"first": 1.3, "best": 1.25, "learned": 1.1, "offline": 1.0}


@pytest.fixture
def pictures(monkeypatch):
    """The module of the experiments that draws them."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "experiments"))
    import programs_picture

    yield programs_picture
    sys.modules.pop("programs_picture")


def test_every_program_has_a_row_and_every_policy_a_dot(pictures, tmp_path):
    programs = [
        pictures.ProgramRow("a", "one", BOUNDED),
        pictures.ProgramRow("b", "one", BOUNDED),
        pictures.ProgramRow("c", "two", BOUNDED),
    ]
    figure = pictures.draw_programs(tmp_path / "programs.png", programs)
    [axes] = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]
    dots = [line for line in axes.get_lines() if line.get_marker() not in ("", "None")]
    assert len(dots) == len(programs) * len(BOUNDED)
    assert sorted(round(float(line.get_xdata()[0]), 6) for line in dots[:4]) == [0, 10, 25, 30]
    names = {text.get_text() for text in figure.legends[0].get_texts()}
    assert names == {"first-fit", "best-fit", "learned", "offline"}
    assert (tmp_path / "programs.png").stat().st_size > 5_000


def test_no_mark_hides_another_where_all_need_the_same(pictures, tmp_path):
    same = dict.fromkeys(["first", "best", "two_ended", "learned", "offline"], 1.1)
    programs = [pictures.ProgramRow(name, "one", same) for name in "abc"]
    figure = pictures.draw_programs(tmp_path / "programs.png", programs)
    [axes] = figure.axes
    marks = [line for line in axes.get_lines() if line.get_marker() in ("o", "D")]
    points = axes.transData.transform(
        [[line.get_xdata()[0], line.get_ydata()[0]] for line in marks]
    )
    heights = np.sort(points[:, 1])
    # In points, the unit of the sizes of marks; neighbours touch at most.
    apart = np.diff(heights) * 72 / figure.dpi
    assert len(apart) == 3 * 4 - 1
    assert apart.min() >= marks[0].get_markersize()
    strokes = [line for line in axes.get_lines() if line.get_marker() == "|"]
    assert all(line.get_markersize() > 3 * marks[0].get_markersize() for line in strokes)
    assert len(strokes) == 3


def test_nothing_cannot_be_drawn(pictures, tmp_path):
    with pytest.raises(ValueError, match="no recordings"):
        pictures.draw_programs(tmp_path / "programs.png", [])
