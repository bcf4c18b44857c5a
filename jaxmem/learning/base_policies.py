"""The rule that a learner improves on, and the margin by which it must be beaten to be left."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from jaxmem.evaluation.run import failed_share
from jaxmem.evaluation.tuning import finalists, strongest_rules
from jaxmem.policies import TUNED, Policy, policy
from jaxmem.settings.learner import ALONE, STRONGEST, EvaluationConfig
from jaxmem.workloads.registry import Workload

CANDIDATES = 2  # rules to choose from
BEST = "best"  # the rule that others must beat


class BasePolicy(NamedTuple):
    """A rule with its parameters, and in words."""

    rule: Policy
    sentence: str


def base_policies_for(
    name: str | None, task: Workload, seed: int, evaluation: EvaluationConfig
) -> list[BasePolicy]:
    """Returns the rule with this name, its parameters chosen on training sequences.

    Where it has kinds, as `two_ended_tuned` has, the runner-up follows: the best rule to be alone
    with is not always the best to be left now and then. After the strongest rules comes best-fit.
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
    found = [first, *(alike if first.rule.name in TUNED else [])][:CANDIDATES]
    return found if first.rule.name == BEST else [*found, BasePolicy(policy(BEST), BEST)]


def choose_base_policy(
    follow: Callable[[Policy, float], Policy],
    rules: Sequence[Policy],
    task: Workload,
    seed: int,
    evaluation: EvaluationConfig,
) -> tuple[int, float]:
    """Chooses which rule is followed at play, and by which margin, on validation sequences.

    A rule alone is among the choices, so what is shipped does not lose to it there. Nor does it
    lose to best-fit, which is among the rules, and alone takes what others only equal; then comes
    what is left least, of the rule that failed least in training.

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
    best = len(rules) - 1
    if best and rules[best].name == BEST:  # not that of training: never left, and first of equals
        choices = [(best, ALONE), *(choice for choice in choices if choice[0] != best)]

    def failed(choice: tuple[int, float]) -> float:
        rule, margin = rules[choice[0]], choice[1]
        player = rule if margin == ALONE else follow(rule, margin)
        return failed_share(player, validation, task)

    return min(choices, key=failed)


def margin_words(sentence: str, margin: float) -> str:
    """Writes the base policy and its margin in words."""
    left = f"left where a placement is worth more by {margin:g}" if margin < ALONE else "never left"
    return f"base policy: {sentence}; {left}"
