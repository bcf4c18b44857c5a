"""The smallest arena in which a sequence can be served at all, with every lifetime known.

Blocks are rectangles, their lifetimes fixed and their addresses free; no two may overlap, and the
highest end shall be as low as it can be: dynamic storage allocation, which is NP-hard (Garey and
Johnson 1979, problem SR2). OR-tools' CP-SAT solves it where sequences are short, and says how far
it is from a proof where they are not.
"""

import importlib
import math
import numbers
from types import ModuleType

import numpy as np
from numpy.typing import ArrayLike

from jaxmem.extras import how_to_get


def smallest_arena(
    size: ArrayLike, lifetime: ArrayLike, *, seconds: float = 10.0, seed: int = 0
) -> tuple[int, int, np.ndarray]:
    """Finds the smallest arena that serves all of one sequence of T requests.

    Args:
        size: int[T]  cells, at least 1.
        lifetime: int[T]  requests, at least 1; a block that outlives the sequence dies at its end.
        seconds: the search ends after so long, proof or not.
        seed: of the search, 0 to 2^31 - 1.

    Returns:
        Cells that are not enough to go below, cells that are enough (the same where the search came
        to a proof), and the addresses that do with the latter: int64[T].

    Raises:
        ValueError: an argument is out of range.
        ImportError: OR-tools is not installed.
    """
    size, lifetime = _whole("size", size), _whole("lifetime", lifetime)
    if len(size) != len(lifetime):
        raise ValueError(
            f"size has {len(size)} requests and lifetime {len(lifetime)}; they must have as many"
        )
    if not (_is_kind(seconds, numbers.Real) and 0 < seconds < math.inf):
        raise ValueError(f"seconds is {seconds!r}; it must be a number above 0")
    if not (_is_kind(seed, numbers.Integral) and 0 <= seed < 2**31):
        raise ValueError(f"seed is {seed!r}; it must be a whole number from 0 to 2^31 - 1")
    birth = np.arange(len(size))
    death = np.minimum(birth + lifetime, len(size))
    lower = _peak(size, birth, death)
    start = _first_fit_stack(size, death)
    upper = int((start + size).max())
    cp_model = _ortools()
    if lower == upper:
        return lower, upper, start
    model = cp_model.CpModel()
    height = model.new_int_var(lower, upper, "height")
    begins, sides, spans = [], [], []
    for number, (cells, born, dies) in enumerate(zip(size, birth, death, strict=True)):
        begin = model.new_int_var(0, upper - int(cells), f"start {number}")
        model.add(begin + int(cells) <= height)
        model.add_hint(begin, int(start[number]))
        begins.append(begin)
        sides.append(model.new_fixed_size_interval_var(begin, int(cells), f"cells {number}"))
        spans.append(
            model.new_fixed_size_interval_var(int(born), int(dies - born), f"life {number}")
        )
    model.add_no_overlap_2d(spans, sides)
    model.minimize(height)
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = float(seconds)
    solver.parameters.random_seed = int(seed)
    status = solver.solve(model)
    if status in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        start = np.array([solver.value(begin) for begin in begins], np.int64)
        upper = int((start + size).max())
        lower = max(lower, math.ceil(solver.best_objective_bound - 1e-6))
    return lower, upper, start


def _peak(size: np.ndarray, birth: np.ndarray, death: np.ndarray) -> int:
    """Finds the most cells asked for at once, which no placement can do with less than."""
    return max(int(size[(birth <= now) & (now < death)].sum()) for now in birth)


def _first_fit_stack(size: np.ndarray, death: np.ndarray) -> np.ndarray:
    """Plays first-fit in an arena without end, which is somewhere to begin: int64[T]."""
    start = np.zeros(len(size), np.int64)
    for now, cells in enumerate(size):
        live = np.flatnonzero(death[:now] > now)
        for block in live[np.argsort(start[live])]:
            if start[now] + cells <= start[block]:
                break
            start[now] = start[block] + size[block]
    return start


def _whole(name: str, given: ArrayLike) -> np.ndarray:
    """Checks what should be int64[T], and returns it."""
    values = np.asarray(given)
    if values.ndim != 1 or not len(values) or not np.issubdtype(values.dtype, np.integer):
        raise ValueError(
            f"{name} is {values.dtype}{list(values.shape)}; it must be whole numbers, one for each "
            "of one or more requests"
        )
    if values.min() < 1:
        raise ValueError(f"{name} has {values.min()}; it must be at least 1 everywhere")
    return values.astype(np.int64)


def _is_kind(value: object, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _ortools() -> ModuleType:
    try:
        return importlib.import_module("ortools.sat.python.cp_model")
    except ImportError as error:
        raise ImportError(
            f"smallest_arena needs OR-tools ({error}): {how_to_get('optimal', 'python ...')}"
        ) from error
