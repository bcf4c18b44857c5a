"""Choosing a rule and its parameters on training sequences; where rules are equal, best-fit."""

from collections.abc import Mapping

import numpy as np

from jaxmem.evaluation.run import failed_share
from jaxmem.policies import Policy, policy
from jaxmem.rules import RULES, Tuning, rivals
from jaxmem.workloads.registry import Workload
from jaxmem.workloads.requests import Requests

TUNING_SEQUENCES = 256  # training sequences that choices are made on
THRESHOLDS = 24  # tried at most


def tuned(name: str, task: Workload, seed: int, sequences: int | None = None) -> tuple[Policy, str]:
    """Tunes a rule of `TUNED` to fail least on training sequences.

    Returns:
        The policy, and a sentence that says what was chosen.
    """
    return finalists(name, task, seed, sequences)[0]


def finalists(
    name: str, task: Workload, seed: int, sequences: int | None = None
) -> list[tuple[Policy, str]]:
    """Tunes the rule for each kind of holes: best thresholds, those that fail least first.

    Where `two_ended_tuned` does no better than best-fit, which it is when all requests are small
    and take best-fit's holes, that comes first.

    Where there is nothing to train on, there is one: the threshold is a sixteenth of the arena, and
    `two_ended_tuned` takes best-fit's holes.
    """
    tuning = _tuning(name)
    if task.fixed:
        choice = (max(1, task.cells // 16), *tuning.untuned)
        note = "cells / 16, not tuned: there are no training sequences"
        return [(_with(name, choice), _sentence(name, choice, note))]
    requests = task.requests("train", seed, sequences or TUNING_SEQUENCES)
    choices = [(size, *kind) for size in _thresholds(requests) for kind in tuning.kinds]
    failed = [failed_share(_with(name, choice), requests, task) for choice in choices]
    largest = max(size for size, *_ in choices)
    as_best_fit = (largest, *tuning.as_best_fit) if tuning.as_best_fit else None
    best: dict[tuple[int, ...], tuple[int, ...]] = {}
    for place in np.lexsort(([choice != as_best_fit for choice in choices], failed)):
        best.setdefault(choices[place][1:], choices[place])
    note = f"tuned on {requests.sequences} training sequences"
    return [(_with(name, choice), _sentence(name, choice, note)) for choice in best.values()]


def strongest_rules(
    task: Workload, seed: int, sequences: int | None = None
) -> list[tuple[Policy, str]]:
    """Ranks the fits, each kind of holes of `two_ended_tuned`, and `hint_fit` in training.

    Returns:
        The policies, those that fail least first, each with a sentence that says which it is; of
        equal ones best-fit comes first.
    """
    requests = task.requests("train", seed, sequences or TUNING_SEQUENCES)
    rules = rivals(task.has_hints)
    players = [
        player
        for rule in rules
        if rule.tuning and not rule.tuning.covered
        for player in finalists(rule.name, task, seed, sequences)
    ]
    players += [(policy(rule.name), rule.name) for rule in rules if not rule.tuning]
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


def _tuning(name: str) -> Tuning:
    tuning = RULES[name].tuning
    if tuning is None:
        raise ValueError(f"{name} has no numbers to choose")
    return tuning


def _with(name: str, choice: tuple[int, ...]) -> Policy:
    return policy(name, np.array(choice[0] if len(choice) == 1 else choice, np.int32))


def _sentence(name: str, choice: tuple[int, ...], note: str) -> str:
    kind = _tuning(name).kinds[choice[1:]]
    title = RULES[name].title + (f" ({kind})" if kind else "")
    return f"{title}: requests up to {choice[0]} cells low ({note})"
