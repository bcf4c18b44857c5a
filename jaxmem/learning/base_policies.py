"""The rule that a learner improves on, and the margin by which it must be beaten to be left."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from jaxmem.evaluation.run import failed_share
from jaxmem.evaluation.tuning import finalists, strongest_rules
from jaxmem.learning.config import ALONE, EvaluationConfig
from jaxmem.learning.settings import STRONGEST
from jaxmem.policies import TUNED, Policy, policy
from jaxmem.workloads.registry import Workload

CANDIDATES = 2  # rules to choose from


class BasePolicy(NamedTuple):
    """A rule with its parameters, and in words."""

    rule: Policy
    sentence: str


def base_policies_for(
    name: str | None, task: Workload, seed: int, evaluation: EvaluationConfig
) -> list[BasePolicy]:
    """Returns the rule with this name, its parameters chosen on training sequences.

    Where it has kinds, as `segregated` has, the runner-up follows: the best rule to be alone with
    is not always the best to be left now and then.
    """
    sequences = evaluation.tuning_sequences
    if name is None:
        return []
    if name in TUNED:
        return [BasePolicy(*of) for of in finalists(name, task, seed, sequences)][:CANDIDATES]
    if name != STRONGEST:
        return [BasePolicy(policy(name), name)]
    first, *others = [BasePolicy(*of) for of in strongest_rules(task, seed, sequences)]
    alike = [other for other in others if other.rule.rule is first.rule.rule]
    return [first, *(alike if first.rule.name in TUNED else [])][:CANDIDATES]


def choose_base_policy(
    follow: Callable[[Policy, float], Policy],
    rules: Sequence[Policy],
    task: Workload,
    seed: int,
    evaluation: EvaluationConfig,
) -> tuple[int, float]:
    """Chooses which rule is followed at play, and by which margin, on validation sequences.

    A rule alone is among the choices, so what is shipped does not lose to it there.

    Args:
        follow: from a rule and a margin to the policy that has them.
        rules: that on which training improved first, which is taken where others do no better.

    Returns:
        The number of the rule, and the margin in reward.
    """
    validation = task.requests("validation", seed, evaluation.selection_sequences)
    choices = [
        (place, margin) for place in range(len(rules)) for margin in reversed(evaluation.margins)
    ]
    return min(
        choices,
        key=lambda choice: failed_share(follow(rules[choice[0]], choice[1]), validation, task),
    )


def in_words(sentence: str, margin: float) -> str:
    """Writes the base policy and its margin in words."""
    left = f"left where a placement is worth more by {margin:g}" if margin < ALONE else "never left"
    return f"guide: {sentence}; {left}"
