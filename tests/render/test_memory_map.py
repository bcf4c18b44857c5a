"""The memory map shows what happened: every block, hole and failure where it was."""

import io

import matplotlib.image
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from repetition import slow

from jaxmem.render.memory_map import NEVER, draw_memory_map
from jaxmem.render.palette import FAILED, HOLE, WASTED
from jaxmem.render.style import failure_title

LAYOUT = [[5, 10], [25, 5], [40, 15], [65, 5], [80, 15]]
SIZES = np.array([8, 12, 5, 9, 11, 4, 6])
FIRST = np.array([15, -1, 0, 30, -1, 55, 59])  # golden/fits.json, case 0
SECOND = np.array([30, -1, 15, 70, -1, 20, 55])


def first_fit(size: np.ndarray, lifetime: np.ndarray, cells: int) -> np.ndarray:
    """Starts of first-fit, by a plain search; -1 where it fails."""
    until, starts = np.zeros(cells, int), []
    for now, (many, long) in enumerate(zip(size, lifetime, strict=True)):
        free = until <= now
        fitting = (at for at in range(cells - many + 1) if free[at : at + many].all())
        starts.append(next(fitting, -1))
        if starts[-1] >= 0:
            until[starts[-1] : starts[-1] + many] = now + long
    return np.array(starts)


def random_requests(count: int, largest: int, longest: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    return draw.integers(1, largest + 1, count), draw.integers(1, longest + 1, count)


def extents(axes, label="blocks"):
    """(left, bottom, right, top) of every block drawn as a polygon, sorted."""
    (drawn,) = [found for found in axes.collections if found.get_label() == label]
    corners = [path.vertices for path in drawn.get_paths()]
    return sorted((*c.min(0).astype(int), *c.max(0).astype(int)) for c in corners)


def patches(axes, label):
    return [patch for patch in axes.patches if patch.get_label() == label]


def marks(axes):
    return [x for line in axes.lines if line.get_label() == "failed" for x in line.get_xdata()]


def texts(axes):
    return {text.get_text() for text in axes.texts}


def pixel(path, axes, x, y):
    """The colour, red, green, blue in 0 .. 1, of the picture at a point in data coordinates."""
    image = matplotlib.image.imread(path)
    across, up = axes.transData.transform((x, y))
    return image[image.shape[0] - 1 - int(up), int(across), :3]


def panels(figure, count):
    return figure.axes[:count]


def test_each_block_is_the_rectangle_of_its_life_and_its_cells(tmp_path):
    size, lifetime = random_requests(60, 9, 20)
    starts = first_fit(size, lifetime, 40)
    figure = draw_memory_map(tmp_path / "map.png", {"first": starts}, size, lifetime, 40)
    expected = [
        (t, starts[t], min(t + lifetime[t], 60), starts[t] + size[t])
        for t in range(60) if starts[t] >= 0
    ]  # fmt: skip
    assert extents(figure.axes[0]) == sorted(expected)
    assert marks(figure.axes[0]) == [t + 0.5 for t in range(60) if starts[t] < 0]


def test_a_window_clips_the_blocks_and_counts_its_own_requests(tmp_path):
    size, lifetime = np.full(100, 2), np.full(100, 10)
    starts = np.where(np.arange(100) % 4 == 3, -1, 2 * (np.arange(100) % 16))
    figure = draw_memory_map(
        tmp_path / "map.png", {"first": starts}, size, lifetime, 32, first=40, last=90
    )
    axes = figure.axes[0]
    shown = extents(axes)
    assert min(left for left, *_ in shown) == 40
    assert max(right for _, _, right, _ in shown) == 90
    assert (40, 18, 51, 20) not in shown  # request 41 begins at 41
    assert (41, 18, 51, 20) in shown
    assert (40, 28, 48, 30) not in shown
    assert (40, 12, 48, 14) in shown  # request 38 was live before the window
    assert axes.get_title(loc="left") == "first-fit: 24.0 % of requests failed (12 of 50)"
    assert axes.get_xlim() == (40, 90)
    assert figure.get_suptitle() == "Memory map: requests 41 to 90 in 32 cells"


@pytest.mark.parametrize("count", [50, 700])
def test_free_cells_are_red_just_when_a_request_failed(tmp_path, count):
    """For 50 requests as polygons, for 700 requests in 3000 cells as an image."""
    cells = 40 if count == 50 else 3000
    size, lifetime = np.full(count, cells // 4), np.full(count, count)
    lifetime[count // 5 :] = 2
    starts = np.full(count, -1)
    starts[0], starts[count // 5 : count // 2] = 0, cells // 2
    path = tmp_path / "map.png"
    axes = draw_memory_map(path, {"learned": starts}, size, lifetime, cells).axes[0]
    assert len(axes.images) == (count == 700)
    long, short = (pixel(path, axes, 0.41 * count, share * cells) for share in (0.125, 0.625))
    assert long.sum() < short.sum() < 2.8  # the longer the darker
    red, free = to_rgb(WASTED), to_rgb(HOLE)
    for time, colour in ((0.81, red), (0.51, red), (0.41, free), (0.49, free), (0.19, red)):
        found = pixel(path, axes, time * count, 0.9 * cells)
        np.testing.assert_allclose(found, colour, atol=0.02, err_msg=f"{time}")


def test_an_image_of_many_blocks_shows_each_cell_as_it_was(tmp_path):
    size, lifetime = random_requests(1000, 200, 60)
    starts = first_fit(size, lifetime, 2048)
    path = tmp_path / "map.png"
    axes = draw_memory_map(path, {"first": starts}, size, lifetime, 2048).axes[0]
    assert len(axes.images) == 1
    (image,) = axes.images
    taken = image.get_array()[..., 3] > 0
    rows, columns = taken.shape
    for t, start in enumerate(starts):
        if start >= 0:
            x, y = (t + 0.5) / 1000 * columns, (start + size[t] / 2) / 2048 * rows
            assert taken[int(y), int(x)]
    live = np.zeros((1000, 2048), bool)
    for t, start in enumerate(starts):
        live[t : t + lifetime[t], start : start + size[t] if start >= 0 else start] |= start >= 0
    assert taken.mean() == pytest.approx(live.mean(), abs=0.01)


@pytest.mark.parametrize(
    ("count", "cells"),
    [
        *[(1, 4096), (41, 112)],
        *slow(*[(1, 2), (1, 112), (41, 1), (41, 2), (41, 4096), (3000, 1), (3000, 112)]),
        *slow((1, 1), (3000, 2), (3000, 4096)),
    ],
)
def test_any_arena_and_any_length_is_drawn(tmp_path, cells, count):
    size, lifetime = random_requests(count, max(1, cells // 50), 30)
    starts = np.arange(count) * 7 % cells
    path = tmp_path / "map.png"
    draw_memory_map(path, {"first": np.minimum(starts, cells - size)}, size, lifetime, cells)
    assert matplotlib.image.imread(path).shape[1] == 2000


@pytest.mark.parametrize("count", [2, 9, *slow(1, 3, 4, 5, 6, 7, 8)])
def test_one_to_nine_policies_have_a_panel_each(tmp_path, count):
    names = ["first", "second", "best", "worst", "next", "random", "two_ended", "hint_fit", "mine"]
    size, lifetime = random_requests(80, 9, 20)
    starts = first_fit(size, lifetime, 40)
    path = tmp_path / "map.png"
    figure = draw_memory_map(path, dict.fromkeys(names[:count], starts), size, lifetime, 40)
    titles = [axes.get_title(loc="left") for axes in panels(figure, count)]
    assert titles == [failure_title(name, starts) for name in names[:count]]
    height, width, _ = matplotlib.image.imread(path).shape
    assert (width, height) == tuple(np.round(figure.get_size_inches() * 200).astype(int))
    assert width == 2000
    for axes in panels(figure, count):
        assert axes.get_window_extent().height > 250  # two pixels a cell at 112 cells


def test_nothing_is_cut_off_at_the_edges(tmp_path):
    size, lifetime = random_requests(80, 9, 20)
    starts = first_fit(size, lifetime, 40)
    for placements in ({"first": starts}, dict.fromkeys("abcde", starts)):
        path = tmp_path / "map.png"
        draw_memory_map(path, placements, size, lifetime, 40)
        image = matplotlib.image.imread(path)[..., :3]
        for edge in (image[0], image[-1], image[:, 0], image[:, -1]):
            assert edge.min() == 1.0


def test_few_requests_carry_their_numbers_and_failures_their_sizes(tmp_path):
    lifetime = np.array([3, NEVER, 8, 4, 5, NEVER, 9])
    figure = draw_memory_map(tmp_path / "map.png", {"first": FIRST}, SIZES, lifetime, 100, LAYOUT)
    axes = figure.axes[0]
    assert {"1: 8", "4: 9", "2: 12", "5: 11"} <= texts(axes)
    boxes = [patch.get_bbox() for patch in patches(axes, "there before")]
    assert sorted((box.y0, box.height) for box in boxes) == [tuple(block) for block in LAYOUT]
    assert all(patch.get_hatch() for patch in patches(axes, "there before"))
    assert "never freed" in figure.axes[-1].get_ylabel()


def test_a_scenario_is_drawn_as_the_memory_it_leaves_behind(tmp_path):
    never = np.full(7, NEVER)
    path = tmp_path / "memory.png"
    placements = {"first": FIRST, "second": SECOND}
    figure = draw_memory_map(path, placements, SIZES, never, 100, LAYOUT)
    first, second = figure.axes
    assert first.get_title(loc="left") == "first-fit: 28.6 % of requests failed (2 of 7)"
    assert first.get_title(loc="right") == "18 cells free in 4 holes, largest 10"
    assert second.get_title(loc="right") == "18 cells free in 6 holes, largest 5"
    boxes = [patch.get_bbox() for patch in patches(first, "blocks")]
    assert [(b.x0, b.width) for b in boxes] == [(15, 8), (0, 5), (30, 9), (55, 4), (59, 6)]
    assert {"1\n8", "3\n5", "4\n9", "6\n4", "7\n6", "2: 12", "5: 11", "10"} <= texts(first)
    refused = patches(first, "failed")
    assert [patch.get_bbox().width for patch in refused] == [12, 11]
    assert all(patch.get_edgecolor()[:3] == to_rgb(FAILED) for patch in refused)
    assert matplotlib.image.imread(path).shape[:2] == (730, 2000)


def test_more_failures_than_there_is_room_for_are_counted(tmp_path):
    size, never = np.full(40, 9), np.full(40, NEVER)
    figure = draw_memory_map(tmp_path / "m.png", {"first": np.full(40, -1)}, size, never, 20)
    shown = len(patches(figure.axes[0], "failed"))
    assert 0 < shown < 40
    assert f"and {40 - shown} more" in texts(figure.axes[0])


def test_a_memory_may_be_full_and_a_scenario_empty(tmp_path):
    size, never = np.array([1]), np.array([NEVER])
    full = draw_memory_map(tmp_path / "full.png", {"first": np.array([0])}, size, never, 1)
    assert full.axes[0].get_title(loc="right") == "full"
    none = np.zeros(0, int)
    empty = draw_memory_map(tmp_path / "empty.png", {"first": none}, none, none, 10, [(2, 3)])
    assert empty.axes[0].get_title(loc="right") == "7 cells free in 2 holes, largest 5"
    assert empty.axes[0].get_title(loc="left") == "first-fit: 0.0 % of requests failed (0 of 0)"


def test_blocks_that_are_never_freed_last_to_the_edge_and_need_no_scale(tmp_path):
    size, never = np.full(50, 1), np.full(50, NEVER)
    figure = draw_memory_map(tmp_path / "m.png", {"first": np.arange(50)}, size, never, 50)
    assert extents(figure.axes[0]) == [(t, t, 50, t + 1) for t in range(50)]
    assert len(figure.axes) == 1


def test_a_picture_is_the_same_bytes_each_time_and_may_go_to_an_open_file():
    size, lifetime = random_requests(50, 9, 20)
    written = []
    for _ in range(2):
        file = io.BytesIO()
        starts = first_fit(size, lifetime, 40)
        draw_memory_map(file, {"$a_b$": starts}, size, lifetime, 40)
        written.append(file.getvalue())
    assert written[0] == written[1]
    assert written[0].startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"placements": {}}, "no placements"),
        ({"placements": {"best": np.zeros(3, int)}}, "'best' has shape"),
        ({"lifetime": np.zeros((2, 7), int)}, "'lifetime' has shape"),
        ({"first": 7}, "none of the 7 requests"),
        ({"first": 4, "last": 4}, "none of the 7 requests"),
    ],
)
def test_what_cannot_be_drawn_is_told(tmp_path, change, message):
    given = {"placements": {"first": FIRST}, "size": SIZES, "lifetime": SIZES, "cells": 100}
    with pytest.raises(ValueError, match=message):
        draw_memory_map(tmp_path / "map.png", **{**given, **change})
    assert not (tmp_path / "map.png").exists()
