"""Choosing a rule and its parameters on training sequences; where rules are equal, best-fit."""

from collections.abc import Mapping

import numpy as np

from jaxmem.evaluation.run import failed_share
from jaxmem.policies import CLASSICAL, Policy, policy
from jaxmem.workloads.registry import Workload
from jaxmem.workloads.requests import Requests

SEQUENCES = 256  # training sequences that choices are made on
THRESHOLDS = 24  # tried at most
# The holes of small and of larger requests, as `segregated` takes them, in words.
_HOLES: dict[tuple[int, ...], str] = {
    (0, 0): "outermost holes",
    (0, 1): "outermost hole for the small, best-fit's for the large",
    (1, 0): "best-fit's hole for the small, outermost for the large",
    (1, 1): "best-fit's holes",
}


def tuned(name: str, task: Workload, seed: int, sequences: int = SEQUENCES) -> tuple[Policy, str]:
    """Tunes `two_ended` or `segregated` to fail least on training sequences.

    Returns:
        The policy, and a sentence that says what was chosen.
    """
    return finalists(name, task, seed, sequences)[0]


def finalists(
    name: str, task: Workload, seed: int, sequences: int = SEQUENCES
) -> list[tuple[Policy, str]]:
    """Tunes the rule for each kind of holes: best thresholds, those that fail least first.

    Where `segregated` does no better than best-fit, which it is when all requests are small and
    take best-fit's holes, that comes first.

    Where there is nothing to train on, there is one: the threshold is a sixteenth of the arena, and
    `segregated` takes best-fit's holes.
    """
    if task.fixed:
        choice = (max(1, task.cells // 16), 1, 1)
        note = "cells / 16, not tuned: there are no training sequences"
        return [(_with(name, choice), _sentence(name, choice, note))]
    requests = task.requests("train", seed, sequences)
    holes = [(0, 0)] if name == "two_ended" else list(_HOLES)
    choices = [(size, *kinds) for size in _thresholds(requests) for kinds in holes]
    failed = [failed_share(_with(name, choice), requests, task) for choice in choices]
    as_best_fit = (max(size for size, *_ in choices), 1, 1)
    best: dict[tuple[int, ...], tuple[int, ...]] = {}
    for place in np.lexsort(([choice != as_best_fit for choice in choices], failed)):
        best.setdefault(choices[place][1:], choices[place])
    note = f"tuned on {requests.sequences} training sequences"
    return [(_with(name, choice), _sentence(name, choice, note)) for choice in best.values()]


def strongest_rules(
    task: Workload, seed: int, sequences: int = SEQUENCES
) -> list[tuple[Policy, str]]:
    """Ranks fits, each kind of holes of `segregated`, `hint_fit` by failures on training sequences.

    Returns:
        The policies, those that fail least first, each with a sentence that says which it is; of
        equal ones best-fit comes first.
    """
    requests = task.requests("train", seed, sequences)
    rules = [*CLASSICAL, *(["hint_fit"] if task.hinted else [])]
    players = [
        *finalists("segregated", task, seed, sequences),
        *((policy(name), name) for name in rules),
    ]
    return sorted(
        players,
        key=lambda player: (failed_share(player[0], requests, task), player[0].name != "best"),
    )


def least_failing(failed: Mapping[str, float]) -> str:
    """Names the policy that fails least; of equal ones best-fit, or else the first."""
    return min(failed, key=lambda name: (failed[name], name != "best"))


def _thresholds(requests: Requests) -> list[int]:
    sizes = np.unique(np.asarray(requests.size))
    steps = np.linspace(0, len(sizes) - 1, min(len(sizes), THRESHOLDS)).round().astype(int)
    return [int(size) for size in sizes[steps]]


def _with(name: str, choice: tuple[int, ...]) -> Policy:
    return policy(name, np.array(choice[0] if name == "two_ended" else choice, np.int32))


def _sentence(name: str, choice: tuple[int, ...], note: str) -> str:
    title = "two-ended" if name == "two_ended" else f"segregated ({_HOLES[choice[1:]]})"
    return f"{title}: requests up to {choice[0]} cells low ({note})"
