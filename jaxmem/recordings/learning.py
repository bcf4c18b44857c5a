"""A policy for a program, learned from its earlier runs and chosen on runs held out of that."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from jaxmem.recordings.class_rule import BEST_FIT_RULE, class_rule
from jaxmem.recordings.exceptions import find_exceptions
from jaxmem.recordings.plan_search import LEAD, find_plan
from jaxmem.recordings.profile import UNFORETOLD, Profile, profile_of
from jaxmem.recordings.profiled_policy import ProfiledPolicy
from jaxmem.recordings.recording import Recording
from jaxmem.recordings.replay import ReplayEvents, events_of
from jaxmem.recordings.rule_search import (
    FoundRule,
    find_rule,
    foretold_by_others,
    geometric_mean,
    needed_by_each,
)
from jaxmem.settings.recordings import RuleSearchConfig

LITTLE_KNOWN = 0.5  # of a run's requests; below it, runs are hardly of one program


BEST_FIT, CLASS_RULE, PLAN = "best-fit", "class rule", "plan"
EXCEPTIONS = "exceptions"


@dataclass(frozen=True)
class LearnedFromRuns:
    """The policy, and what each policy that was tried needs, over peak live, by run.

    Policies that were tried go by their name, the simpler ones first; best-fit is the first.
    """

    chosen: str
    tried: Mapping[str, ProfiledPolicy]
    studied: Mapping[str, Sequence[float]]  # by policy, on each run learned from, if it was played
    held_out: Mapping[str, Sequence[float]]  # by policy, on each run held out
    known: np.ndarray  # float64[D]  share of each run's requests that the other runs foretell
    why: str  # it is chosen

    @property
    def policy(self) -> ProfiledPolicy:
        """The policy that is chosen."""
        return self.tried[self.chosen]

    @property
    def needed(self) -> list[dict[str, float]]:
        """What each policy needs that played a run, by run."""
        return [
            {name: needed[number] for name, needed in by_policy.items()}
            for by_policy in (self.studied, self.held_out)
            for number in range(len(by_policy[BEST_FIT]))
        ]


def learn_from_runs(
    runs: Sequence[Recording],
    held_out: int,
    alignment: int,
    config: RuleSearchConfig,
    report: Callable[[str], None] = lambda doing: None,
) -> LearnedFromRuns:
    """Learns from all runs but the last `held_out`, which choose among what was learned.

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
    known = [float((events.foretold != UNFORETOLD).mean()) for events in streams]
    found = find_rule(streams, config, report)
    profile = profile_of(studied)
    tried = {BEST_FIT: ProfiledPolicy(profile, BEST_FIT_RULE)}
    played = {BEST_FIT: found.by_best_fit.tolist()}
    if not found.rule.is_best_fit:
        tried[CLASS_RULE] = ProfiledPolicy(profile, found.rule)
        played[CLASS_RULE] = found.needed.tolist()
    excepted = _with_exceptions(streams, profile, found, config, report)
    if excepted is not None:
        tried[EXCEPTIONS], played[EXCEPTIONS] = excepted
    planned = None
    if found.by_best_fit.max() > config.nothing_to_gain:
        # Beside the rule: exceptions were made for these very runs, and need least there.
        planned = find_plan(streams, found.rule, found.needed.tolist(), config, report)
    if planned is not None:
        tried[PLAN] = ProfiledPolicy(profile, found.rule, plan=planned.plan)
        played[PLAN] = planned.needed
    judged: dict[str, list[float]] = {name: [] for name in tried}
    for run in last:
        report(f"choosing on {run.name}")
        known.append(float((profile.foretold(run) != UNFORETOLD).mean()))
        for name, policy in tried.items():
            events = policy.foretold(events_of(run, alignment))
            judged[name] += needed_by_each([events], policy.player, report, name)
    chosen, why = chosen_of(judged)
    return LearnedFromRuns(
        chosen=chosen,
        tried=tried,
        studied=played,
        held_out=judged,
        known=np.array(known),
        why=why,
    )


def _with_exceptions(
    streams: Sequence[ReplayEvents],
    profile: Profile,
    found: FoundRule,
    config: RuleSearchConfig,
    report: Callable[[str], None],
) -> tuple[ProfiledPolicy, list[float]] | None:
    """Finds exceptions to the rule, and what the runs need; None if that is no less."""
    if found.rule.is_best_fit or not config.exceptions:
        return None
    placed = [replace(events, contexts=profile.places(events.recording)) for events in streams]
    rule = find_exceptions(placed, found.rule, config, report)
    if not rule.exceptions:
        return None
    player = class_rule(rule)
    needed = needed_by_each(placed, player, report, EXCEPTIONS)
    if geometric_mean(np.array(needed)) >= geometric_mean(found.needed):
        return None
    return ProfiledPolicy(profile, rule), needed


def chosen_of(judged: Mapping[str, Sequence[float]]) -> tuple[str, str]:
    """Returns which policy the runs held out take, and why; the simplest of those level."""
    if len(judged) == 1:
        return BEST_FIT, "nothing on the runs learned from does better than best-fit"
    if not judged[BEST_FIT]:
        return list(judged)[-1], (
            "it needs least on the runs learned from; no run was held out to check it"
        )
    mean = {name: float(np.log(needed).mean()) for name, needed in judged.items()}
    # A plan that is hardly better on one run may be worse on the next.
    handicap = {PLAN: -float(np.log(LEAD))}
    chosen = min(mean, key=lambda name: mean[name] + handicap.get(name, 0.0))
    if chosen == BEST_FIT:
        return BEST_FIT, "what did better on the runs learned from does not on those held out"
    return (
        chosen,
        "it needs less than best-fit on the runs learned from, and least on those held out",
    )
