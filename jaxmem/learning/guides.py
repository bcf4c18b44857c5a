"""The rule that a learner improves on, and how sure it must be to leave it."""

from collections.abc import Callable, Sequence

from jaxmem.evaluation.run import failed_share
from jaxmem.evaluation.tuning import finalists, strongest_rules
from jaxmem.learning.settings import STRONGEST
from jaxmem.policies import TUNED, Policy, policy
from jaxmem.workloads.registry import Workload

SEQUENCES = 1024  # validation sequences on which guide and margin are chosen
CANDIDATES = 2  # guides to choose from
ALONE = 1e6  # a margin beyond every value: the guide plays alone
MARGINS = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, ALONE)  # in reward


def guides_for(name: str | None, task: Workload, seed: int) -> list[tuple[Policy, str]]:
    """The rule with this name, its parameters chosen on training sequences, and what it is.

    Where it has kinds, as `segregated` has, the runner-up follows: the best rule to be alone with
    is not always the best to be left now and then.
    """
    if name is None:
        return []
    if name in TUNED:
        return finalists(name, task, seed)[:CANDIDATES]
    if name != STRONGEST:
        return [(policy(name), name)]
    first, *others = strongest_rules(task, seed)
    alike = [other for other in others if other[0].rule is first[0].rule]
    return [first, *(alike if first[0].name in TUNED else [])][:CANDIDATES]


def chosen_guide(
    guided: Callable[[Policy, float], Policy], rules: Sequence[Policy], task: Workload, seed: int
) -> tuple[int, float]:
    """Which guide at play, and which margin, fail least on validation sequences.

    A guide alone is among the choices, so what is shipped does not lose to it there. Of equal
    choices the guide alone is taken, and of guides that which failed least in training: best-fit,
    where none did better.

    Args:
        guided: of a rule and a margin, the policy that has them.
        rules: that on which training improved first, which is taken where others do no better.
    """
    validation = task.requests("validation", seed, SEQUENCES)
    choices = [(place, margin) for place in range(len(rules)) for margin in reversed(MARGINS)]
    return min(
        choices,
        key=lambda choice: failed_share(guided(rules[choice[0]], choice[1]), validation, task),
    )


def in_words(sentence: str, margin: float) -> str:
    """The guide and its margin in words."""
    left = f"left where a placement is worth more by {margin:g}" if margin < ALONE else "never left"
    return f"guide: {sentence}; {left}"
