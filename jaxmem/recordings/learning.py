"""A policy for a program, learned from its earlier runs and chosen on runs held out of that."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from jaxmem.recordings.class_rule import BEST_FIT_RULE, RuleNumbers, class_rule
from jaxmem.recordings.headroom import units_needed
from jaxmem.recordings.profile import Profile, profile_of
from jaxmem.recordings.profiled_policy import ProfiledPolicy
from jaxmem.recordings.recording import Recording
from jaxmem.recordings.replay import events_of
from jaxmem.recordings.rule_search import find_rule, foretold_by_others
from jaxmem.settings.learner import RuleSearchConfig

LITTLE_KNOWN = 0.5  # of a run's requests; below it, runs are hardly of one program


@dataclass(frozen=True)
class LearnedFromRuns:
    """The policy, and what it and best-fit need, over peak live, by run."""

    policy: ProfiledPolicy
    found: RuleNumbers  # the rule, before the runs held out chose
    known: np.ndarray  # float64[D]  share of each run's requests that the other runs foretell
    needed: np.ndarray  # float64[D]  of the runs learned from, foretold by each other
    by_best_fit: np.ndarray  # float64[D]
    held_out: list[tuple[float, float]]  # the rule found and best-fit, on each run held out
    why: str  # the rule is what it is


def learn_from_runs(
    runs: Sequence[Recording],
    held_out: int,
    alignment: int,
    config: RuleSearchConfig,
    report: Callable[[str], None] = lambda doing: None,
) -> LearnedFromRuns:
    """Learns from all runs but the last `held_out`, which choose between the rule and best-fit.

    They enter no profile: the policy is as it was when they chose it.

    Args:
        alignment: bytes in a unit.
        report: told what is being done.

    Raises:
        ValueError: no run to learn from, or a run that no arena holds.
    """
    if len(runs) <= held_out:
        raise ValueError(f"{len(runs)} runs, {held_out} held out; one is needed to learn from")
    studied, last = runs[: len(runs) - held_out], runs[len(runs) - held_out :]
    report("reading the runs")
    streams = foretold_by_others(studied, alignment)
    known = [float((events.foretold != 0).mean()) for events in streams]
    found = find_rule(streams, config, report)
    profile = profile_of(studied)
    judged = []
    for run in last:
        report(f"choosing on {run.name}")
        judged.append(_needed(run, profile, found.rule, alignment))
        known.append(float((profile.foretold(run) != 0).mean()))
    rule, why = _chosen_rule(found.rule, judged)
    return LearnedFromRuns(
        policy=ProfiledPolicy(profile, rule),
        found=found.rule,
        known=np.array(known),
        needed=found.needed,
        by_best_fit=found.by_best_fit,
        held_out=judged,
        why=why,
    )


def _needed(
    run: Recording, profile: Profile, rule: RuleNumbers, alignment: int
) -> tuple[float, float]:
    """Finds the arena that the rule and best-fit need, over peak live."""
    events = replace(events_of(run, alignment), foretold=profile.foretold(run))
    rule_needs, best_fit_needs = (
        units_needed(events, class_rule(numbers)) / events.peak_live
        for numbers in (rule, BEST_FIT_RULE)
    )
    return rule_needs, best_fit_needs


def _chosen_rule(
    rule: RuleNumbers, judged: Sequence[tuple[float, float]]
) -> tuple[RuleNumbers, str]:
    """Returns the rule that the runs held out take, and why."""
    if rule.is_best_fit:
        return BEST_FIT_RULE, "nothing on the runs learned from does better than best-fit"
    if not judged:
        return rule, "it needs least on the runs learned from; no run was held out to check it"
    needs, best_fit_needs = np.exp(np.log(judged).mean(axis=0))
    if needs >= best_fit_needs:
        return BEST_FIT_RULE, "what did better on the runs learned from does not on those held out"
    return rule, "it needs least on the runs learned from, and less than best-fit on those held out"
