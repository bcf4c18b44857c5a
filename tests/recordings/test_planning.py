"""Plans against all offsets that there are, in plain Python, and what every plan must keep."""

import re
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from repetition import slow

from jaxmem.arena.arena import NEVER
from jaxmem.configuration import UsageError
from jaxmem.recordings import Recording, offline_packing, planning, read_trace, stacking_search
from jaxmem.recordings.capacity_search import luby, parts_of
from jaxmem.recordings.packing import check_packing
from jaxmem.recordings.plan_board import Board
from jaxmem.recordings.plan_task import PlanTask, plan_task
from jaxmem.recordings.planning import first_stack, plan, why_not
from jaxmem.recordings.recording import Written
from jaxmem.recordings.stacking_search import blocks_of, lowest_stack

MINIMALLOC = Path(__file__).parents[3] / "shared" / "data" / "minimalloc"
compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


def task_of(size, lifetime, pinned=None, alignment: int = 1, multiple=1) -> PlanTask:
    size, lifetime = np.array(size, np.int64), np.array(lifetime, np.int64)
    pinned = np.full(len(size), -1) if pinned is None else np.array(pinned, np.int64)
    multiple = np.broadcast_to(np.array(multiple, np.int64), size.shape)
    return PlanTask(Recording("made", size, lifetime), alignment, pinned, multiple)


def random_task(
    seed: int, count: int, pins: int = 0, alignment: int = 1, aligned: bool = False
) -> PlanTask:
    """Makes a task whose first blocks may be pinned, side by side, with gaps.

    Args:
        aligned: the others have alignments of their own, of which some are of one unit.
    """
    random = np.random.default_rng(seed)
    size = random.integers(1, 6, count)
    lifetime = np.where(random.random(count) < 0.1, NEVER, random.integers(1, 6, count))
    pinned, low = np.full(count, -1), 0
    for block in range(pins):
        pinned[block] = low + int(random.integers(0, 4))
        low = pinned[block] + -(-size[block] // alignment)
    multiple = np.ones(count, np.int64)
    if aligned:
        multiple = np.where(pinned < 0, 2 ** random.integers(0, 4, count), 1)
    return task_of(size, lifetime, pinned, alignment, multiple)


def hard_task() -> PlanTask:
    """Makes a task that no planner is soon done with."""
    random = np.random.default_rng(0)
    return task_of(random.integers(1, 1000, 200), random.integers(1, 60, 200))


def scaled(task: PlanTask, factor: int) -> PlanTask:
    """Makes all sizes and pins so many times as large."""
    recording, pinned = task.recording, task.pinned
    pinned = np.where(pinned < 0, -1, pinned * factor)
    return task_of(recording.size * factor, recording.lifetime, pinned, 1, task.multiple)


def fits(task: PlanTask, height: int, start: list[int]) -> bool:
    """Whether the blocks from number len(start) on fit below a height, at any whole offsets."""
    block = len(start)
    if block == len(task.size):
        return True
    size, fixed = int(task.size[block]), int(task.pinned[block])
    live = [other for other in range(block) if task.death[other] > block]
    for offset in [fixed] if fixed >= 0 else range(0, height - size + 1, int(task.multiple[block])):
        free = all(
            offset + size <= start[other] or start[other] + int(task.size[other]) <= offset
            for other in live
        )
        if free and offset + size <= height and fits(task, height, [*start, offset]):
            return True
    return False


def lowest(task: PlanTask) -> int:
    """The least height of all packings; there is one at the sum of all sizes above the pins."""
    height = task.lower_bound
    while not fits(task, height, []):
        height += 1
    return height


def check(board: Board) -> None:
    """What holds of every plan."""
    task, best = board.task, board.best
    assert best is not None
    check_packing(best.start, task.size, task.death)
    assert (best.start + task.size).max() == best.height >= board.lower_bound >= task.peak_live
    fixed = task.pinned >= 0
    assert (best.start[fixed] == task.pinned[fixed]).all()
    assert (best.start % task.multiple == 0).all()
    for heights in board.heights.values():
        assert [height for _, height in heights] == sorted(
            {height for _, height in heights}, reverse=True
        )
        assert [seconds for seconds, _ in heights] == sorted(seconds for seconds, _ in heights)
    assert min(heights[-1][1] for heights in board.heights.values()) == best.height


@compiler
@pytest.mark.parametrize("pins", [0, 2, *slow(1)])
def test_no_packing_is_lower_than_one_that_is_proven(pins):
    above = 0
    for seed in range(300):
        task, factor = random_task(seed, 6, pins), 1 + seed % 3
        board = plan(scaled(task, factor), ["search"], seconds=60, seed=seed)
        check(board)
        assert board.proven
        assert board.best.height == lowest(task) * factor, seed
        above += board.best.height > task.lower_bound * factor
    assert above or not pins  # it is proven of some by having looked everywhere


@compiler
@pytest.mark.parametrize("pins", [1, *slow(0)])
def test_no_packing_is_lower_than_one_that_is_proven_where_buffers_have_alignments(pins):
    above = odd = 0
    for seed in range(60):
        task = random_task(seed, 6, pins, aligned=True)
        free = task_of(task.size, task.recording.lifetime, task.pinned)
        # Sizes of which some are multiples of an alignment, and steps that are none.
        task = scaled(task, 1 + seed % 3)
        board = plan(task, ["search"], seconds=60, seed=seed)
        check(board)
        assert board.proven
        assert board.best.height == lowest(task), seed
        above += board.best.height > task.lower_bound
        odd += seed % 3 == 0 and board.best.height > lowest(free)
    assert above > 3
    assert odd > 3  # for which the alignments cost something


@compiler
def test_it_is_proven_where_the_lowest_is_above_what_is_live():
    # The blocks of `test_optimal` that no search places in 10 units.
    size = [3, 3, 1, 3, 2, 2, 2, 3, 2, 3, 3]
    task = task_of(size, [8, 4, 1, 1, 6, 2, 3, 8, 2, 5, 1])
    for seed in range(5):
        board = plan(task, ["search"], seconds=60, seed=seed)
        assert (board.best.height, board.lower_bound, task.peak_live) == (11, 11, 10)
        assert board.proven


@compiler
@pytest.mark.parametrize("alignment", [4, *slow(1)])
@pytest.mark.parametrize("pins", [0, 3])
@pytest.mark.parametrize("aligned", [False, True])
def test_plans_of_many_blocks_keep_what_every_plan_must(pins, alignment, aligned):
    lower = 0
    for seed in range(30):
        task = random_task(seed, 60, pins, alignment, aligned)
        stacked = first_stack(task)
        board = plan(task, ["search"], seconds=0.1, seed=seed)
        check(board)
        assert board.best.height <= (stacked + task.size).max()
        assert (task.size * alignment >= task.recording.size).all()
        lower += board.best.height < (stacked + task.size).max()
        if lower and seed >= 7:
            break
    assert lower


@compiler
def test_stretches_of_time_that_share_no_block_are_parts():
    # 0 to 2, 3 alone, 4 and 5; all sizes of a part are multiples of its step.
    task = task_of([4, 8, 4, 6, 3, 9], [2, 2, 1, 1, NEVER, NEVER])
    start = first_stack(task)
    parts = parts_of(task, start)
    assert [part.block.tolist() for part in parts] == [[0, 1, 2], [3], [4, 5]]
    assert [part.step for part in parts] == [4, 6, 3]
    assert [part.lower_bound * part.step for part in parts] == [12, 6, 12]
    check(plan(task, ["search"], seconds=10, seed=0))


def test_the_limits_of_searches_follow_luby():
    limits = [luby(turn) for turn in range(1, 16)]
    assert limits == [1, 1, 2, 1, 1, 2, 4, 1, 1, 2, 1, 1, 2, 4, 8]


@compiler
def test_infinite_lifetimes_and_huge_sizes_are_planned():
    board = plan(task_of([2**58, 3, 2**58, 1], [NEVER, 1, NEVER, NEVER]), ["search"], 10, 0)
    check(board)
    assert board.proven
    assert board.best.height == 2**59 + 1


@compiler
def test_it_ends_when_it_is_stopped_with_the_best_so_far():
    board = plan(hard_task(), ["search"], seconds=60, seed=0, stopped=lambda: True)
    check(board)
    assert not board.proven
    assert board.seconds < 5
    assert threading.active_count() < 5


@compiler
def test_a_better_packing_of_another_planner_is_gone_on_with(monkeypatch):
    task = hard_task()
    lowest_found = plan(task, ["search"], seconds=1, seed=0).best
    assert lowest_found.method == "search"
    monkeypatch.setitem(
        planning.PLANNERS,
        "annealing",
        lambda task, board, seed: board.offer("annealing", lowest_found.start),
    )
    board = plan(task, ["annealing", "search"], seconds=0.2, seed=1)
    check(board)
    assert board.best.height <= lowest_found.height
    assert board.heights["annealing"][-1][1] == lowest_found.height


def test_what_goes_wrong_in_a_planner_is_heard(monkeypatch):
    def broken(task, board, seed):
        raise ZeroDivisionError

    monkeypatch.setitem(planning.PLANNERS, "search", broken)
    with pytest.raises(ZeroDivisionError):
        plan(hard_task(), ["search"], seconds=5, seed=0)


def test_annealing_that_is_low_enough_ends(monkeypatch):
    def searched(*_):
        raise AssertionError("it was to end")

    monkeypatch.setattr(stacking_search, "_searched", searched)
    task, heard = random_task(1, 30), []

    def enough(height: int) -> bool:
        heard.append(height)
        return True

    blocks = blocks_of(task.size, task.birth, task.death)
    height, order = lowest_stack(blocks, np.arange(30), 10**9, enough=enough)
    assert heard == [height]
    assert height > task.peak_live
    assert order.tolist() == list(range(30))


def test_annealing_tells_its_heights(monkeypatch):
    task = hard_task()
    monkeypatch.setattr(offline_packing, "rounds_for", lambda blocks: 0)
    monkeypatch.setattr(offline_packing, "PLACED", 2000)
    board = plan(task, ["annealing"], seconds=20, seed=0)
    check(board)
    assert {"stacks", "annealing"} == set(board.heights)


def test_planners_that_cannot_plan_say_why(monkeypatch):
    def no_compiler(name):
        raise UsageError("there is no C compiler: install gcc")

    monkeypatch.setattr(planning, "compiled", no_compiler)
    free, pinned = random_task(0, 5), random_task(0, 5, pins=1)
    assert why_not("search", free).endswith("there is no C compiler: install gcc")
    assert why_not("annealing", free) == ""
    assert why_not("annealing", pinned) == "annealing knows no pinned buffers"
    monkeypatch.setattr(planning, "MOST_STACKED", 4)
    assert why_not("search", free) == "search is for at most 4 buffers"


def test_omnimalloc_is_asked_for_ever_longer_where_it_is_installed(tmp_path, monkeypatch):
    package = tmp_path / "omnimalloc"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from typing import NamedTuple\n"
        "class Allocation(NamedTuple):\n"
        "    id: int\n    size: int\n    start: int\n    end: int\n    offset: int | None\n",
        encoding="utf-8",
    )
    (package / "allocators.py").write_text(
        "from types import SimpleNamespace\n"
        "ASKED = []\n"
        "class SupermallocAllocator:\n"
        "    def __init__(self, timeout, num_threads):\n"
        "        ASKED.append(timeout)\n"
        "    def solve(self, blocks):\n"
        "        low, placed = 0, []\n"
        "        for block in blocks:\n"
        "            at = low if block.offset is None else block.offset\n"
        "            placed.append(block._replace(offset=at))\n"
        "            low = max(low, at + block.size)\n"
        "        return SimpleNamespace(allocations=placed, proved_optimal=len(ASKED) == 3)\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    free = hard_task()
    pinned = np.where(np.arange(200) == 0, 7, -1)
    task = task_of(free.size, free.recording.lifetime, pinned)
    assert why_not("omnimalloc", task) == ""
    board = plan(task, ["omnimalloc"], seconds=20, seed=0)
    check(board)
    from omnimalloc.allocators import ASKED

    assert ASKED == [2.0, 4.0, 8.0]
    # One above the other in their order is a packing, and none too low.
    assert board.heights["omnimalloc"][0][1] == 7 + task.size.sum()


def pinned_recording(*offsets: str, alignments: tuple[str, ...] = ()) -> Recording:
    """Blocks of 8 bytes that all live together, called a, b, ..."""
    count = len(offsets)
    number = np.arange(count)
    alignments += ("",) * (count - len(alignments))
    written = Written(tuple("abcdefgh"[:count]), number, number + count, offsets, alignments)
    return Recording("made", np.full(count, 8), np.full(count, NEVER), written=written)


@pytest.mark.parametrize(
    ("offsets", "alignment", "said"),
    [
        (("0", "4"), 1, "pinned blocks a and b overlap while both are live"),
        (("", "8", "0", "15"), 1, "pinned blocks b and d overlap while both are live"),
        (("-8",), 1, "buffer a has the offset '-8'; a whole number of bytes from 0 pins it"),
        (("8", "x"), 1, "buffer b has the offset 'x'"),
        (("8",), 16, "buffer a is pinned at 8, which is no multiple of alignment=16"),
        ((str(2**60),), 1, "a buffer ends at 2^60 units of 1 bytes at most"),
        (("9" * 60,), 1, "a buffer ends at 2^60 units"),
    ],
)
def test_offsets_that_cannot_be_are_refused(offsets, alignment, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        plan_task(pinned_recording(*offsets), alignment)


@pytest.mark.parametrize("text", ["0", "3", "-4", "8.0", "x", str(2**41), "9" * 60])
def test_alignments_that_cannot_be_are_refused(text):
    with pytest.raises(ValueError, match=r"^buffer b has the alignment '.*'; a power of two"):
        plan_task(pinned_recording("", "", alignments=("4", text)), 1)
    with pytest.raises(ValueError, match="buffer b is pinned at 8, which is no multiple of its al"):
        plan_task(pinned_recording("", "8", alignments=("", "16")), 1)


def test_an_alignment_of_a_buffer_is_beside_that_of_all():
    recording = pinned_recording("", "", "32", alignments=("4", "64", "32"))
    assert plan_task(recording, 1).multiple.tolist() == [4, 64, 32]
    assert plan_task(recording, 16).multiple.tolist() == [1, 4, 2]
    assert "no alignment of single buffers" in why_not("annealing", plan_task(recording, 16))
    assert why_not("annealing", plan_task(pinned_recording("", alignments=("8",)), 8)) == ""


def test_more_than_can_be_planned_is_refused():
    recording = Recording("made", np.array([2**60, 1]), np.array([NEVER, NEVER]))
    with pytest.raises(ValueError, match="at most 2\\^60 can be planned"):
        plan_task(recording, 1)
    assert plan_task(recording, 16).peak_live == 2**56 + 1


@compiler
def test_pinned_buffers_of_a_file_stay_where_they_are():
    task = plan_task(pinned_recording("", "24", "0", ""), 1)
    board = plan(task, ["search"], seconds=10, seed=0)
    check(board)
    assert board.proven
    assert board.best.start[1:3].tolist() == [24, 0]
    assert board.best.height == 32


@pytest.mark.slow
@compiler
@pytest.mark.skipif(not MINIMALLOC.is_dir(), reason="needs MiniMalloc's benchmarks")
@pytest.mark.parametrize("name", "ABCDEF")
def test_benchmarks_of_minimalloc_fit_into_little_more_than_what_is_live(name):
    task = plan_task(read_trace(MINIMALLOC / f"challenging_{name}.1048576.csv"), 1)
    board = plan(task, ["search", "annealing"], seconds=60, seed=0)
    check(board)
    assert board.best.height <= (1.05 if name == "D" else 1) * task.peak_live
