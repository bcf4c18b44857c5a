"""A check that an arena is so tight that something fails in it: else there is nothing to learn."""

import dataclasses
import functools

import numpy as np

from jaxmem.evaluation.run import failed_share
from jaxmem.policies import policy
from jaxmem.workloads.registry import Workload
from jaxmem.workloads.requests import Requests

PLAYED_SEQUENCES = 256  # of training and of validation that are played
TRIED_SEQUENCES = 64  # training sequences on which a tighter arena is looked for
FAILS_ENOUGH = 1.0  # % of the requests that best-fit fails where there is something to learn


def check_tight(task: Workload, seed: int) -> None:
    """Raises ValueError where best-fit fails nothing, on training and on validation sequences.

    All rules that fail nothing are alike, and which of them is trained, chosen and kept is chance.
    The message says what to set, where a tighter arena makes best-fit fail.
    """
    if _fails(task, seed):
        return
    wherein = f"in an arena of {task.cells:,} cells"
    if task.slack is not None:
        wherein = f"with workload.slack={task.slack:g}"
    raise ValueError(
        f"best-fit fails no request of workload {task.name} {wherein}, on training and validation "
        f"sequences: there is nothing to learn; {_remedy(task, seed)}"
    )


@functools.lru_cache(maxsize=8)  # a command asks before it makes a folder, and training again
def _fails(task: Workload, seed: int) -> bool:
    best = policy("best")
    return any(
        failed_share(best, task.requests(split, seed, PLAYED_SEQUENCES), task) > 0
        for split in ("train", "validation")
    )


def _remedy(task: Workload, seed: int) -> str:
    requests = task.requests("train", seed, TRIED_SEQUENCES)
    cells = _tight_cells(task, requests)
    if cells is None:
        return "no smaller arena makes it fail either"
    if task.slack is None:
        return f"take a tighter arena, as cells={cells}"
    slack = np.floor(100 * task.slack * cells / task.cells) / 100
    below = " below the recording's own peak, which then fails in part" if slack < 1 else ""
    return f"take a tighter arena{below}, as workload.slack={slack:g}"


def _tight_cells(task: Workload, requests: Requests) -> int | None:
    """Bisects for the largest arena in which best-fit fails enough; None: there is none."""
    best = policy("best")

    def fails(cells: int) -> bool:
        smaller = dataclasses.replace(task, cells=cells)
        return failed_share(best, requests, smaller, capacity=task.cells) >= FAILS_ENOUGH

    low, high = int(requests.size.max()), task.cells
    if not fails(low):
        return None
    while high - low > max(1, task.cells // 100):
        middle = (low + high) // 2
        low, high = (middle, high) if fails(middle) else (low, middle)
    return low
