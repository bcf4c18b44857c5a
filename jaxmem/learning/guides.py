"""The rule that a learner improves on, and how sure it must be to leave it."""

from collections.abc import Callable

from jaxmem.evaluation.run import failed_share
from jaxmem.evaluation.tuning import strongest_rule, tuned
from jaxmem.learning.settings import STRONGEST
from jaxmem.policies import TUNED, Policy, policy
from jaxmem.workloads.registry import Workload

SEQUENCES = 1024  # validation sequences on which the margin is chosen
ALONE = 1e6  # a margin beyond every value: the guide plays alone
MARGINS = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, ALONE)  # in reward


def guide_for(name: str | None, task: Workload, seed: int) -> tuple[Policy | None, str]:
    """The rule with this name, its parameters chosen on training sequences, and what it is."""
    if name is None:
        return None, ""
    if name == STRONGEST:
        return strongest_rule(task, seed)
    return tuned(name, task, seed) if name in TUNED else (policy(name), name)


def chosen_margin(guided: Callable[[float], Policy], task: Workload, seed: int) -> float:
    """The margin with which a policy beside its guide fails least on validation sequences.

    The guide alone is among the choices, so what is shipped does not lose to it there.

    Args:
        guided: of a margin, the policy that has it.
    """
    validation = task.requests("validation", seed, SEQUENCES)
    return min(reversed(MARGINS), key=lambda margin: failed_share(guided(margin), validation, task))


def in_words(sentence: str, margin: float) -> str:
    """The guide and its margin in words."""
    left = f"left where a placement is worth more by {margin:g}" if margin < ALONE else "never left"
    return f"guide: {sentence}; {left}"
