"""Where each fit puts a request, in arenas drawn by hand: # is a taken cell, . a free one."""

import jax
import numpy as np
import pytest

from jaxmem.arena import measures
from jaxmem.arena.arena import NOWHERE
from jaxmem.arena.making import new_arena

CAPACITY = 32
REPRESENTATIONS = ("unrolled", "stacked", "table")
PLACE = jax.jit(lambda arena, *block: arena.place(*block))
RULES = ("first", "second", "best", "worst", "next", "last")
STARTS = jax.jit(lambda arena, size: {name: getattr(arena, name)(size) for name in RULES})


@jax.jit
def measures_of(arena, size):
    names = ("free_cells", "live_blocks", "hole_count", "largest_hole", "hole_histogram")
    return {
        **{name: getattr(arena, name)() for name in names},
        "live_cells": measures.live_cells(arena),
        "external_fragmentation": measures.external_fragmentation(arena),
        "unusable_free": measures.unusable_free(arena, size),
    }


def drawn(picture: str, cursor: int = 0, representation: str = "unrolled"):
    """The arena of a drawing; each run of # is one block."""
    arena = new_arena(len(picture), CAPACITY, 4, representation, blocks=6)
    for start, cell in enumerate(picture):
        if cell == "#" and picture[start - 1 : start] != "#":
            size = len(picture[start:]) - len(picture[start:].lstrip("#"))
            arena = PLACE(arena, np.int32(start), np.int32(size), np.int32(4))
    return arena.replace(cursor=np.int32(cursor))


def start(rule: str, picture: str, size: int, cursor: int = 0) -> int:
    """What all representations agree on."""
    arenas = [drawn(picture, cursor, representation) for representation in REPRESENTATIONS]
    (found,) = {int(STARTS(arena, np.int32(size))[rule]) for arena in arenas}
    return found


def test_first_fit_takes_the_lowest_hole_that_fits():
    assert start("first", "#..#...#....", 2) == 1
    assert start("first", "#..#...#....", 3) == 4


def test_second_fit_takes_the_second_hole_that_fits():
    assert start("second", "#..#...#....", 2) == 4
    assert start("second", "#..#...#....", 3) == 8


def test_second_fit_takes_the_only_hole_that_fits():
    assert start("second", "#..#...#....", 4) == 8


def test_best_fit_takes_the_tightest_hole():
    assert start("best", "....#...#.#...", 2) == 5
    assert start("best", "....#...#.#...", 1) == 9
    assert start("best", "#.........#......#.......", 5) == 11


def test_best_fit_takes_the_lowest_of_equally_tight_holes():
    assert start("best", "....#...#...#.", 3) == 5


def test_worst_fit_takes_the_longest_hole():
    assert start("worst", "..#.....#....", 1) == 3


def test_worst_fit_takes_the_lowest_of_equally_long_holes():
    assert start("worst", "..#....#....#", 1) == 3


def test_next_fit_goes_on_from_the_cursor_inside_a_hole():
    assert start("next", "......#...", 2, cursor=3) == 3


def test_next_fit_passes_a_hole_in_which_too_little_is_left_after_the_cursor():
    assert start("next", "......#...", 2, cursor=5) == 7


def test_next_fit_begins_again_at_the_lowest_start():
    assert start("next", "#.....#...", 2, cursor=9) == 1
    assert start("next", "#.....#...", 2, cursor=10) == 1


def test_last_fit_takes_the_highest_start():
    assert start("last", "......#....#", 2) == 9


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("picture", "size"),
    [("...#...", 4), ("#######", 1), ("...", 4), (".", 2), ("." * 32, 33), ("....", 0)],
)
def test_a_request_that_fits_nowhere_is_not_placed(rule, picture, size):
    assert start(rule, picture, size) == NOWHERE


@pytest.mark.parametrize("rule", RULES)
def test_a_request_may_take_the_whole_arena(rule):
    assert start(rule, "." * 32, 32) == 0


@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_legal_starts_are_marked_under_the_drawing(representation):
    memory = "##...##.###..###....##..#"
    starts = "..**.......*....***...*.."
    arena = drawn(memory, 0, representation)
    legal_starts = jax.jit(lambda arena: arena.legal_starts(np.int32(2), len(memory))[0])(arena)
    assert "".join("*" if legal else "." for legal in legal_starts) == starts


@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_both_ends_and_both_neighbours_of_a_hole(representation):
    arena = drawn("..###...##", 0, representation).replace(now=np.int32(3))
    holes = jax.jit(lambda arena: arena.holes_that_fit(np.int32(2), 3))(arena)
    assert holes.exists.tolist() == [True, True, False]
    assert holes.low.tolist() == [0, 5, NOWHERE]
    assert holes.high.tolist() == [0, 6, NOWHERE]
    assert holes.length.tolist() == [2, 3, 0]
    assert holes.below.wall.tolist() == [True, False, False]
    assert holes.below.size.tolist() == [0, 3, 0]
    assert holes.below.age.tolist() == [0, 3, 0]
    assert holes.above.wall.tolist() == [False, False, False]
    assert holes.above.size.tolist() == [3, 2, 0]


@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_measures_of_a_drawing(representation):
    measured = measures_of(drawn("##...#.#....", 0, representation), np.int32(4))
    assert measured.pop("hole_histogram").tolist() == [1, 1, 1, 0, 0, 0]
    assert measured == {
        "free_cells": 8,
        "live_cells": 4,
        "live_blocks": 3,
        "hole_count": 3,
        "largest_hole": 4,
        "external_fragmentation": 0.5,
        "unusable_free": 0.5,
    }


@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_a_full_arena_is_not_fragmented(representation):
    measured = measures_of(drawn("###", 0, representation), np.int32(1))
    assert measured["external_fragmentation"] == 0.0
    assert measured["unusable_free"] == 0.0
    assert measured["largest_hole"] == 0
