"""What is drawn as HTML: bars, tables and the race, from any names without harm."""

import json
import re

import numpy as np
import pytest

from jaxmem.render import palette, strip, web_table
from jaxmem.render.memory import FREE, Stretch, memory_at
from jaxmem.render.palette import NEVER, block_shade, shade, text_on
from jaxmem.render.race_player import race_page
from jaxmem.render.style import sequential_map

EVIL = "</script><img src=x onerror=alert(1)>"
SHADES = ["#112233"] * 3
MEMORY = [Stretch(0, 5, 0), Stretch(5, 3, FREE), Stretch(8, 2, -2)]


def test_a_bar_has_every_stretch_where_it_lies():
    drawn = strip.bar(MEMORY, SHADES)
    found = re.findall(r'class="(\w+) ?\w*" style="left:([\d.]+)%;width:([\d.]+)%', drawn)
    assert [(kind, float(left), float(width)) for kind, left, width in found] == [
        ("block", 0, 50), ("free", 50, 30), ("before", 80, 20),
    ]  # fmt: skip
    assert "request 1, 5 cells: cells 0 to 4" in drawn


def test_where_a_request_goes_is_framed_and_its_hole_has_no_number():
    drawn = strip.bar(MEMORY, SHADES, goes=Stretch(5, 2, 1), colour="#123456")
    assert "request 2 goes to cells 5 to 6" in drawn
    assert "border-color:#123456" in drawn
    assert ">3</span>" not in drawn


def test_free_cells_are_red_where_a_request_fails():
    assert "wasted" in strip.bar(MEMORY, SHADES, failed=4)
    assert "wasted" not in strip.bar(MEMORY, SHADES)


def test_the_chosen_candidate_stands_out_and_the_best_stands_highest():
    lane = strip.value_lane(
        [strip.Candidate(0, 1.0), strip.Candidate(7, 3.0)],
        size=2,
        cells=10,
        chosen=0,
        colour="#abcdef",
    )
    heights = [int(height) for height in re.findall(r"bottom:(\d+)%", lane)]
    assert heights[1] > heights[0]
    assert lane.count('class="best"') == 1
    assert "cell 0: 1.0000, taken" in lane
    assert ">-2.00<" in lane


def test_candidates_that_are_worth_the_same_are_no_trouble():
    alike = [strip.Candidate(0, 1.0), strip.Candidate(3, 1.0)]
    assert "nan" not in strip.value_lane(alike, 2, 10, 0, "#abcdef")
    assert strip.value_lane([], 2, 10, 0, "#abcdef") == ""


@pytest.mark.parametrize("cells", [1, 2, 3, 100, 4096])
def test_addresses_below_a_bar_begin_at_0_and_end_with_the_memory(cells):
    ticks = re.findall(r">([\d,]+)</span>", strip.axis(cells))
    assert (ticks[0], ticks[-1]) == ("0", f"{cells:,}")


def test_names_are_only_text():
    start = {EVIL: np.array([0])}
    drawn = strip.head(strip.Head(EVIL, EVIL, EVIL))
    drawn += web_table.table([EVIL], [(EVIL, [web_table.WebCell(EVIL)])], [EVIL])
    assert "<img" not in drawn
    film = race_page(start, np.array([1]), np.array([1]), 4)
    assert film.count("</script>") == 1
    assert "<img" not in film


def test_a_race_knows_all_that_it_plays():
    film = race_page(
        {"best": np.array([0, -1])}, np.array([3, 9]), np.array([1, NEVER]), 8, [[4, 2]]
    )
    race = json.loads(re.search(r"const race = (\{.*\});", film)[1])
    assert race["players"] == [
        {"title": "best-fit", "colour": palette.policy_colour("best"), "starts": [0, -1]}
    ]
    assert (race["cells"], race["length"], race["layout"]) == (8, 2, [[4, 2]])
    assert race["sizes"] == [3, 9]
    assert not re.search(r"https?://|\b(INK|MUTED|EDGE|HOLE|LAYOUT|HATCH|FAILED|WASTED)\b", film)


def test_a_comparison_is_a_table_of_all_its_figures():
    entry = {"mean": 3.6, "low": 3.5, "high": 3.7}
    better = {"mean": -2.9, "low": -3.0, "high": -2.8}
    base = {"mean": 6.5, "low": 6.3, "high": 6.7, "difference": {"mean": 0.0}}
    results = {
        "reference": "first",
        "policies": {
            "first": {"failed_requests": base},
            "learned": {"failed_requests": {**entry, "difference": better}},
        },
        "notes": ["two_ended: <b>"],
    }
    drawn = web_table.comparison_table(results)
    assert drawn.index(">learned</td>") < drawn.index(">first-fit</td>")
    assert '>3.60 <span class="interval">[3.50, 3.70]</span></td>' in drawn
    assert '>-2.90 * <span class="interval">[-3.00, -2.80]</span></td>' in drawn
    assert drawn.count('data-of="failed requests (%)"') == 2
    assert "two_ended: &lt;b&gt;" in drawn


def test_shades_are_those_of_the_pictures():
    for share in (0.0, 0.33, 0.5, 1.0):
        of_matplotlib = np.array(sequential_map()(share)[:3])
        assert np.abs(np.array(palette.channels(shade(share))) - of_matplotlib).max() < 0.02
    assert block_shade(0, 1) == shade(0.0)
    assert text_on(shade(0.0)) == "#000000"
    assert text_on(shade(1.0)) == "#ffffff"


def test_blocks_that_live_long_are_dark_and_those_that_are_never_freed_the_darkest():
    pale, middle, dark = palette.lifetime_colours([1, 8, NEVER])
    assert (pale, dark) == (shade(0.0), shade(1.0))
    assert middle == shade(np.log(8) / np.log(palette.SPAN))
    assert set(palette.lifetime_colours([NEVER] * 3)) == {shade(palette.UNTOLD)}


def test_a_bar_of_a_game_has_a_block_for_each_request_that_lives():
    start, size = np.array([0, -1, 4]), np.array([4, 9, 2])
    memory = memory_at(3, start, size, np.full(3, NEVER), 8)
    assert re.findall(r'title="request (\d+),', strip.bar(memory, SHADES)) == ["1", "3"]
