"""Why a learned policy takes a place, in words, with the unit that it was taught in."""

import math
from typing import Any

import numpy as np

from jaxmem.learning.base_policies import ALONE
from jaxmem.policies.policy_file import Card
from jaxmem.render.palette import policy_title

MOST_TIMES = 1000  # beyond, a ratio is only said to be large


def reason(
    card: Card, candidates: np.ndarray, values: np.ndarray, start: int, base_start: int
) -> str:
    """Explains a place by its advantage over that of the base policy, or over the next best.

    Args:
        card: of the policy.
        candidates: int[A], start cells, below 0: none. values: float[A], what each is worth.
        start: the place that it took.
        base_start: its base policy's.
    """
    legal = candidates >= 0
    if not legal.any():
        return "it has no choice"
    best, took = np.max(values[legal]), _value(candidates, values, start)
    if card.base_policy is None:
        second = values[legal & (candidates != start)]
        if not second.size:
            return "the only place that it sees"
        return f"worth more than the next: {in_unit(card.training, float(best - second.max()))}"
    its_base = f"its base policy, {policy_title(card.base_policy)}"
    if card.margin >= ALONE:
        return f"as {its_base}, always: training found nothing better"
    its = _value(candidates, values, base_start)
    if its is None:
        return f"as {its_base}, which takes a place that the network does not see"
    if start != base_start and took is not None:
        return f"not where {its_base}, would: {in_unit(card.training, float(took - its))}"
    if best <= its:
        return f"where {its_base}, would, and its network too"
    more, margin = float(best - its), float(card.margin)
    least = f"{_times(margin)} times" if _taught(card.training) else f"{margin:.2g}"
    return (
        f"where {its_base}, would; the best other place: {in_unit(card.training, more)} "
        f"(it leaves for more than {least})"
    )


def _value(candidates: np.ndarray, values: np.ndarray, start: int) -> float | None:
    """The value of a place; both ends of a hole may be the same one."""
    of = values[(candidates == start) & (candidates >= 0)]
    return float(of.max()) if of.size else None


def in_unit(training: dict[str, Any], more: float) -> str:
    """A difference of two values (at least 0) in the unit of what was learnt.

    Args:
        training: of the policy's card.
    """
    if _taught(training):
        return f"{_times(more)} times as often chosen by its teachers"
    learner, settings = training.get("learner"), training.get("settings", {})
    unit = {
        "failures": "failed requests saved",
        "bytes": "of the memory's size saved in requests that fail",
    }.get(training.get("reward", "failures"), "of reward gained")
    if learner == "branching":
        return f"{more:.2g} {unit} among the next {settings.get('horizon', 0)}"
    return f"{more:.2g} {unit}, discounted by {settings.get('gamma', 1.0):g} a request"


def scale(training: dict[str, object]) -> str:
    """Says what the figures of the places are differences of."""
    if _taught(training):
        return "log of how often its teachers would choose it"
    return in_unit(training, 0).split(" ", 1)[1]


def _taught(training: dict[str, object]) -> bool:
    """Tells whether other policies were its teachers: its values are log-probabilities then."""
    return training.get("learner") == "imitation"


def _times(more: float) -> str:
    """Says how many times as often a choice is whose log-probability is larger by so much."""
    times = math.exp(min(more, 50.0))
    return f"over {MOST_TIMES:,}" if times > MOST_TIMES else f"{times:.{0 if times > 10 else 1}f}"
