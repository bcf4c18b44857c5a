"""Offsets by a search at one capacity after another, by `native/planner.c`.

At a capacity the search finds a packing, or proves that there is none, or gives up after a number
of steps; then it begins anew with another order of trying, as long searches that begin badly never
end (Gomes, Selman & Kautz 1998), with limits that follow Luby, Sinclair & Zuckerman 1993. Every
other capacity is the least that may be enough, the others lie between that and the lowest packing.
Stretches of time between which nothing lives on are searched apart.
"""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np

from jaxmem.native.build import compiled
from jaxmem.recordings.plan_board import Board
from jaxmem.recordings.plan_task import PlanTask
from jaxmem.recordings.stacking_search import sections_of

SEARCH_NAME = "search"
FITS, FITS_NOT, GIVEN_UP, NO_MEMORY = 1, 0, -1, -2  # as in planner.c
RULES = 3  # of which section is next
LOOKAHEAD = (0.0, 0.0, 0.3, 1.0)
WEIGHTS = ((0.0, 1.0), (1.0, 1.0), (1.0, 0.0), (1.0, 0.5), (0.5, 1.0))  # of log size, log duration
NOISE = (0.05, 0.1, 0.2, 0.4)  # of a Gumbel variable
STEPS = 1000  # in a short search, and as many more for each block as STEPS_EACH
STEPS_EACH = 10
MOST_COVERED = 2 * 10**7  # sections of blocks, together: four bytes each


@dataclass(eq=False)
class TimePart:
    """A stretch of time in which N blocks live from beginning to end, and the best there is."""

    block: np.ndarray  # int64[N]  which requests they are
    first: np.ndarray  # int32[N]  sections, from 0
    end: np.ndarray  # int32[N]
    size: np.ndarray  # int64[N]  in steps of `step` units
    multiple: np.ndarray  # int64[N]  steps, that the offset of a block is a multiple of
    pin_first: np.ndarray  # int32[M]  by address
    pin_end: np.ndarray  # int32[M]
    pin_low: np.ndarray  # int64[M]
    pin_high: np.ndarray  # int64[M]
    sections: int
    step: int  # units that all sizes, pins and alignments are multiples of
    start: np.ndarray  # int64[N]  of the best packing, in steps
    lower_bound: int  # steps

    @property
    def height(self) -> int:
        """Steps, of the best packing."""
        return max(int((self.start + self.size).max()), int(self.pin_high.max(initial=0)))


def parts_of(task: PlanTask, start: np.ndarray) -> list[TimePart]:
    """Cuts a task where nothing lives on, in the packing `start`: int64[R] units.

    Stretches with nothing but pinned blocks are left out.
    """
    first, end, _ = sections_of(task.birth, task.death)
    last = np.maximum.accumulate(end)  # requests are in order of their sections
    cuts = np.flatnonzero(first[1:] >= last[:-1]) + 1
    parts = (np.arange(one, to) for one, to in pairwise([0, *cuts.tolist(), len(first)]))
    return [
        _part(task, block, first[block] - first[block[0]], end[block] - first[block[0]], start)
        for block in parts
        if (task.pinned[block] < 0).any()
    ]


def _part(
    task: PlanTask, block: np.ndarray, first: np.ndarray, end: np.ndarray, start: np.ndarray
) -> TimePart:
    size, pinned = task.size[block], task.pinned[block]
    fixed = pinned >= 0
    multiple = task.multiple[block][~fixed]
    step = int(np.gcd.reduce(np.concatenate([size, pinned[fixed], multiple[multiple > 1]])))
    sections = int(end.max())
    change = np.zeros(sections + 1, np.int64)
    np.add.at(change, first, size // step)
    np.subtract.at(change, end, size // step)
    pins = np.flatnonzero(fixed)[np.argsort(pinned[fixed], kind="stable")]
    high = (pinned + size)[pins] // step
    first, end = first.astype(np.int32), end.astype(np.int32)
    return TimePart(
        block=block[~fixed],
        first=first[~fixed],
        end=end[~fixed],
        size=size[~fixed] // step,
        multiple=np.maximum(multiple // step, 1),
        pin_first=first[pins],
        pin_end=end[pins],
        pin_low=pinned[pins] // step,
        pin_high=high,
        sections=sections,
        step=step,
        start=start[block[~fixed]] // step,
        lower_bound=max(int(np.cumsum(change).max()), int(high.max(initial=0))),
    )


def search_capacities(
    task: PlanTask, board: Board, seed: int, most_steps: int | None = None
) -> None:
    """Lowers the packing on the board, which has one, until none is lower or it is ended.

    Args:
        most_steps: that searches may have, whatever they take of them; None: there is no limit.
    """
    assert board.best is not None
    start = board.best.start.copy()
    parts = parts_of(task, start)
    turns, random = [0] * len(parts), np.random.default_rng(seed)
    left = most_steps
    while parts and not board.ended and left != 0:
        board.prove(max(part.lower_bound * part.step for part in parts))
        number = max(range(len(parts)), key=lambda at: parts[at].height * parts[at].step)
        part = parts[number]
        if part.height <= part.lower_bound:
            break
        if int((part.end - part.first).sum(dtype=np.int64)) > MOST_COVERED:
            board.notes.append("Too many blocks live together for the search.")
            break
        if board.best.height < int((start + task.size).max()):  # another planner's
            _take_packing(parts, board.best.start)
        turns[number] += 1
        limit = (STEPS + STEPS_EACH * len(part.size)) * luby(turns[number])
        if left is not None:
            limit = min(limit, left)
            left -= limit
        found = _tried(part, turns[number], limit, board.stop, random)
        if found == NO_MEMORY:
            board.notes.append("The search had no memory left.")
            break
        if found == FITS:
            for one in parts:
                start[one.block] = one.start * one.step
            board.offer(SEARCH_NAME, start.copy())


def _take_packing(parts: list[TimePart], start: np.ndarray) -> None:
    """Takes what is lower in a packing, int64[R] units, part by part."""
    for part in parts:
        other = start[part.block]
        if (other % part.step == 0).all() and int(
            (other // part.step + part.size).max()
        ) < part.height:
            part.start = other // part.step


def _tried(
    part: TimePart, turn: int, limit: int, stop: np.ndarray, random: np.random.Generator
) -> int:
    """Searches at a capacity for so many steps, and keeps what comes of it."""
    span = part.height - part.lower_bound
    capacity = part.lower_bound + (turn % 2) * int(random.random() * span)
    count = len(part.size)
    size_weight, duration_weight = WEIGHTS[random.integers(len(WEIGHTS))]
    score = size_weight * np.log(part.size) + duration_weight * np.log(part.end - part.first)
    score += NOISE[random.integers(len(NOISE))] * random.gumbel(size=count)
    lookahead, rule = LOOKAHEAD[random.integers(len(LOOKAHEAD))], int(random.integers(RULES))
    start = np.zeros(count, np.int64)
    pins = (part.pin_first, part.pin_end, part.pin_low, part.pin_high)
    task = [count, part.sections, *map(_pointer, (part.first, part.end, part.size, part.multiple))]
    pinned = [len(part.pin_low), *map(_pointer, pins)]
    how = [_pointer(score), lookahead, rule, capacity, limit, _pointer(stop)]
    found = _fit()(*task, *pinned, *how, _pointer(start))
    if found == FITS:
        part.start = start
    elif found == FITS_NOT:
        part.lower_bound = capacity + 1
    return found


def luby(turn: int) -> int:
    """Returns 1, 1, 2, 1, 1, 2, 4, ... for turn 1, 2, 3, ..."""
    while True:
        power = 1 << (turn.bit_length() - 1)
        if turn == 2 * power - 1:
            return power
        turn -= power - 1


def _pointer(array: np.ndarray) -> int:
    """Returns the address of what is kept as C has it."""
    assert array.flags.c_contiguous
    return array.ctypes.data


@cache
def _fit() -> Callable[..., int]:
    """Loads planner.c, compiled if need be.

    Raises:
        UsageError: it cannot be compiled.
    """
    fit = ctypes.CDLL(str(compiled("planner"))).planner_fit
    number, places, real = ctypes.c_int32, ctypes.c_void_p, ctypes.c_double
    fit.argtypes = [
        *(number, number, places, places, places, places),
        *(number, places, places, places, places, places, real, number),
        *(ctypes.c_int64, ctypes.c_int64, places, places),
    ]
    fit.restype = number
    return fit
