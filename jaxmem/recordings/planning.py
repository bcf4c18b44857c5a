"""Offsets for all blocks of a program, where every lifetime is known: planners side by side."""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from importlib import import_module
from importlib.util import find_spec

import numpy as np

from jaxmem.configuration import UsageError
from jaxmem.native.build import compiled
from jaxmem.recordings.capacity_search import SEARCH_NAME, search_capacities
from jaxmem.recordings.offline_packing import MOST_STACKED, first_stack, offline_packing
from jaxmem.recordings.packing import STACKS  # that the others begin with
from jaxmem.recordings.plan_board import Board
from jaxmem.recordings.plan_task import PlanTask

ANNEALING, OMNIMALLOC = "annealing", "omnimalloc"
HEAD_START = 2.0  # seconds that annealing leaves to the others: often there is no more to do
WAIT = 0.1  # seconds between two looks at the time
FIRST_SLICE = 2.0  # seconds of omnimalloc, which cannot be stopped; then twice as many, and so on


def _annealed(task: PlanTask, board: Board, seed: int) -> None:
    if board.planners > 1 and board.wait(HEAD_START):
        return

    def enough(height: int) -> bool:
        board.heard(ANNEALING, height)
        return board.ended

    packing = offline_packing(task.recording, task.size, seed=seed, enough=enough)
    board.offer(ANNEALING, packing.start)


def _by_omnimalloc(task: PlanTask, board: Board, seed: int) -> None:
    """Asks its strongest allocator, supermalloc, for ever longer."""
    del seed
    package = import_module(OMNIMALLOC)
    allocators = import_module(f"{OMNIMALLOC}.allocators")
    columns = (task.size, task.birth, task.death, task.pinned)
    blocks = [
        package.Allocation(number, size, birth, death, offset if offset >= 0 else None)
        for number, (size, birth, death, offset) in enumerate(
            zip(*(column.tolist() for column in columns), strict=True)
        )
    ]
    seconds = FIRST_SLICE
    while not board.ended and (left := board.limit - board.seconds) > 0:
        allocator = allocators.SupermallocAllocator(timeout=min(seconds, left), num_threads=1)
        solved = allocator.solve(blocks)
        start = {block.id: block.offset for block in solved.allocations}
        board.offer(OMNIMALLOC, np.array([start[number] for number in range(len(blocks))]))
        if solved.proved_optimal:
            break
        seconds *= 2


PLANNERS: dict[str, Callable[[PlanTask, Board, int], None]] = {
    SEARCH_NAME: search_capacities,
    ANNEALING: _annealed,
    OMNIMALLOC: _by_omnimalloc,
}


def why_not(planner: str, task: PlanTask) -> str:
    """Says why a planner cannot plan this; "": it can."""
    pinned = bool((task.pinned >= 0).any())
    if len(task.size) > MOST_STACKED and planner != ANNEALING:
        return f"{planner} is for at most {MOST_STACKED:,} buffers"
    if planner != SEARCH_NAME and (task.multiple > 1).any():
        return f"{planner} knows no alignment of single buffers"
    if planner == ANNEALING:
        return "annealing knows no pinned buffers" if pinned else ""
    if planner == OMNIMALLOC:
        there = find_spec(OMNIMALLOC) is not None
        return "" if there else "the package omnimalloc is not installed"
    try:
        compiled("planner")
    except UsageError as error:
        return f"the search is not there: {error}"
    return ""


def plan(
    task: PlanTask,
    planners: Sequence[str],
    seconds: float,
    seed: int,
    report: Callable[[Board], None] = lambda board: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Board:
    """Plans until no packing can be lower, the time is over, or it is stopped.

    Args:
        planners: of PLANNERS, which `why_not` has nothing against.
        report: told about ten times a second.
        stopped: asked as often.
    """
    board = Board(task, len(planners), seconds)
    if len(task.size) <= MOST_STACKED:
        board.offer(STACKS, first_stack(task))
    if board.proven:
        return board
    with ThreadPoolExecutor(len(planners)) as pool:
        running: set[Future[None]] = {
            pool.submit(PLANNERS[name], task, board, seed) for name in planners
        }
        try:
            while running and board.seconds < seconds and not stopped():
                done, running = wait(running, WAIT, FIRST_COMPLETED)
                report(board)
                for future in done:
                    future.result()
        finally:
            board.end()
        for future in running:
            future.result()
    return board
