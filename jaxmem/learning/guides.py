"""The rule that a learner improves on, and how sure it must be to leave it."""

from collections.abc import Callable, Sequence

from jaxmem.evaluation.run import failed_share
from jaxmem.evaluation.tuning import finalists, strongest_rules
from jaxmem.learning.settings import STRONGEST
from jaxmem.policies import TUNED, Policy, policy
from jaxmem.workloads.registry import Workload

SEQUENCES = 1024  # validation sequences on which guide and margin are chosen
CANDIDATES = 2  # guides to choose from
BEST = "best"  # the rule that others must beat
ALONE = 1e6  # a margin beyond every value: the guide plays alone
MARGINS = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, ALONE)  # in reward


def guides_for(name: str | None, task: Workload, seed: int) -> list[tuple[Policy, str]]:
    """The rule with this name, its parameters chosen on training sequences, and what it is.

    Where it has kinds, as `segregated` has, the runner-up follows: the best rule to be alone with
    is not always the best to be left now and then. After the strongest rules comes best-fit.
    """
    if name is None:
        return []
    if name in TUNED:
        return finalists(name, task, seed)[:CANDIDATES]
    if name != STRONGEST:
        return [(policy(name), name)]
    first, *others = strongest_rules(task, seed)
    alike = [other for other in others if other[0].rule is first[0].rule]
    found = [first, *(alike if first[0].name in TUNED else [])][:CANDIDATES]
    return found if first[0].name == BEST else [*found, (policy(BEST), BEST)]


def chosen_guide(
    guided: Callable[[Policy, float], Policy],
    rules: Sequence[Policy],
    task: Workload,
    seed: int,
    sequences: int = SEQUENCES,
) -> tuple[int, float]:
    """Which guide at play, and which margin, fail least on validation sequences.

    A guide alone is among the choices, so what is shipped does not lose to it there. Nor does it
    lose to best-fit, which is among the rules, and alone takes what others only equal; then comes
    what is left least, of the rule that failed least in training.

    Args:
        guided: of a rule and a margin, the policy that has them.
        rules: that on which training improved first, which is taken where others do no better.
        sequences: of the validation, on which is chosen.
    """
    validation = task.requests("validation", seed, sequences)
    choices = [(place, margin) for place in range(len(rules)) for margin in reversed(MARGINS)]
    alone = len(rules) - 1
    if alone and rules[alone].name == BEST:  # no guide in training: never left, and first of equals
        choices = [(alone, ALONE), *(choice for choice in choices if choice[0] != alone)]

    def failed(choice: tuple[int, float]) -> float:
        rule, margin = rules[choice[0]], choice[1]
        player = rule if margin == ALONE else guided(rule, margin)
        return failed_share(player, validation, task)

    return min(choices, key=failed)


def in_words(sentence: str, margin: float) -> str:
    """The guide and its margin in words."""
    left = f"left where a placement is worth more by {margin:g}" if margin < ALONE else "never left"
    return f"guide: {sentence}; {left}"
