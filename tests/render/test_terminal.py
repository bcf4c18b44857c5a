"""The memory in characters: every cell once, with colours or without."""

import re

import numpy as np
import pytest

from jaxmem.render.memory import FREE, Stretch, memory_at
from jaxmem.render.palette import NEVER
from jaxmem.render.terminal import as_string, memory_text, placements_text

LAYOUT = [[5, 10], [25, 5], [40, 15], [65, 5], [80, 15]]
SIZES = np.array([8, 12, 5, 9, 11, 4, 6])
FIRST = np.array([15, -1, 0, 30, -1, 55, 59])
FOREVER = np.full(7, NEVER)


def plain(memory, width=80, requests=7) -> list[str]:
    return as_string(memory_text(memory, width, requests), width, colour=False).splitlines()


def test_every_cell_is_a_character():
    lines = plain(memory_at(7, FIRST, SIZES, FOREVER, 100, LAYOUT))
    assert lines == [
        " 0 33333##########11111111..#####444444444.##########",
        "50 #####6666777777#####..........###############.....",
    ]


def test_lines_are_as_long_as_each_other_and_no_wider_than_the_terminal():
    for width in (20, 40, 80, 200):
        lines = [line for line in plain([Stretch(0, 160, FREE)], width) if line.strip()]
        assert max(map(len, lines)) <= width
        assert len({len(line) for line in lines[:-1]}) <= 1
        assert sum(line.count(".") for line in lines) == 160


def test_a_large_memory_is_drawn_to_scale():
    lines = plain([Stretch(0, 4096, 0), Stretch(4096, 4096, FREE)], 40)
    assert len(lines) <= 17
    text = "".join(line[6:] for line in lines[:-1])
    assert abs(text.count("1") - text.count(".")) <= 1
    assert "stands for" in lines[-1]


def test_a_memory_of_two_thousand_million_cells_is_no_trouble():
    assert plain([Stretch(0, 2**31 - 1, FREE)])[-1].endswith("cells")


def test_without_colours_there_are_no_codes_and_with_them_the_same_characters():
    text = memory_text(memory_at(7, FIRST, SIZES, FOREVER, 100, LAYOUT), 80, 7)
    coloured, bare = as_string(text, 80, colour=True), as_string(text, 80, colour=False)
    assert "\x1b[" in coloured
    assert "\x1b" not in bare
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == bare


@pytest.mark.parametrize(("name", "title"), [("first", "first-fit"), ("$path", "$path")])
def test_what_a_policy_left_is_told_in_one_line(name, title):
    page = placements_text({name: FIRST}, SIZES, FOREVER, 100, LAYOUT, width=80)
    first = as_string(page, 80, colour=False).splitlines()[0]
    assert first == (f"{title}: 5 of 7 placed (not 2, 5); 18 cells free in 4 holes, largest 10")
