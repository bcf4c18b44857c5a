"""Finding the plan of a program on its own runs: its forecast, and how much longer slots are.

A margin is for sizes that differ a little from run to run, each by itself; sizes that differ much
are foretold by groups, which are places whose sizes have the same ratio to the forecast's in every
run. Which run is the forecast is told by how high the slots of the others come. Margins are chosen
by the memory that the other runs need, or, where there is one run alone, variations of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from jaxmem.arena.arena import NEVER
from jaxmem.recordings.capacity_search import SEARCH_NAME, search_capacities
from jaxmem.recordings.class_rule import RuleNumbers, class_rule
from jaxmem.recordings.forecast import FIXED, MOST_MISSED, ForecastPlan, slot_lengths, stacked
from jaxmem.recordings.offline_packing import MOST_STACKED, lowest_stacks
from jaxmem.recordings.packing import STACKS
from jaxmem.recordings.plan_board import Board
from jaxmem.recordings.plan_task import UNPINNED, PlanTask
from jaxmem.recordings.planned_rule import PlannedRule
from jaxmem.recordings.planning import why_not
from jaxmem.recordings.profile import contexts_of, lower_medians, profile_of
from jaxmem.recordings.recording import Recording
from jaxmem.recordings.replay import ReplayEvents
from jaxmem.recordings.rule_search import geometric_mean, needed_by_each, sizes_varied
from jaxmem.settings.recordings import RuleSearchConfig

LEAD = 0.99  # most that a plan may need, over what the class rule needs
MOST_GROUPS = 20  # of places; sizes that differ in more ways vary within runs too
SAME_RATIO = 0.002  # of the logarithms of sizes that have the same ratio to the forecast's
ALL_FIT = 0.001  # share of requests without a slot, up to which no larger margin is tried
# Steps of the search for the slots of one margin times slots, about three seconds: a limit on the
# time would let the machine's load decide.
SEARCH_WORK = 60_000_000
SEARCH_SEED = 0  # of the search
JUDGED_VARIATIONS = 4  # of a run that is alone


class FoundPlan(NamedTuple):
    """The plan, and the arena that it needs over peak live, on each run learned from."""

    plan: ForecastPlan
    needed: list[float]


def find_plan(
    streams: Sequence[ReplayEvents],
    rule: RuleNumbers,
    by_rule: Sequence[float],
    config: RuleSearchConfig,
    report: Callable[[str], None] = lambda doing: None,
) -> FoundPlan | None:
    """Finds the plan that needs least, if it leads the class rule.

    Args:
        streams: the events of the runs, with their lifetimes foretold.
        rule: for what the plan has no place.
        by_rule: what the rule needs, over peak live, on each of the runs.
        report: told what is being done.

    Returns:
        None where the rule is not to be beaten by `LEAD`, on the forecast itself and on the others.
    """
    runs = [events.recording for events in streams]
    too_long = max(run.requests for run in runs) > MOST_STACKED
    if not config.margins or too_long or geometric_mean(by_rule) * LEAD <= 1:
        return None
    report("following the runs")
    if len(streams) == 1:
        judges = [
            sizes_varied(streams[0], config.sizes_vary, seed) for seed in range(JUDGED_VARIATIONS)
        ]
        rule_needs = needed_by_each(judges, class_rule(rule))
        drawn, forecast = unpacked_plan(runs[0], [], streams[0].alignment), 0
    else:
        drawn, forecast = _best_forecast(streams)
        judges = [events for number, events in enumerate(streams) if number != forecast]
        rule_needs = [of for number, of in enumerate(by_rule) if number != forecast]
    player = PlannedRule(class_rule(rule))
    best, needs, least = None, [], geometric_mean(rule_needs) * LEAD
    for margin in sorted(config.margins):
        report(f"packing slots that are {margin:.0%} longer")
        planned = packed_plan(drawn, margin)
        slots = [with_slots(events, planned) for events in judges]
        missed = max(_missed(events) for events in slots)
        if missed <= MOST_MISSED:
            report(f"playing slots that are {margin:.0%} longer")
            needed = needed_by_each(slots, player, report, "plan")
            if geometric_mean(needed) < least:
                best, needs, least = planned, needed, geometric_mean(needed)
        if missed <= ALL_FIT:
            break
    if best is None:
        return None
    (own,) = needed_by_each([with_slots(streams[forecast], best)], player)
    if own >= by_rule[forecast]:
        return None
    others = needs if len(streams) > 1 else []
    return FoundPlan(best, [*others[:forecast], own, *others[forecast:]])


def with_slots(events: ReplayEvents, plan: ForecastPlan) -> ReplayEvents:
    """Returns the events of a run with the slots of its requests."""
    return replace(events, planned=plan.planned(events.recording, events.alignment))


def _missed(events: ReplayEvents) -> float:
    """Returns the share of the requests that have no slot, 0 .. 1."""
    assert events.planned is not None
    return float((events.planned < 0).mean())


def unpacked_plan(base: Recording, others: Sequence[Recording], alignment: int) -> ForecastPlan:
    """Makes a plan of a forecast, whose slots are still to be packed.

    Args:
        others: runs that tell which sizes change together.
        alignment: bytes in a unit.
    """
    nothing = np.zeros(base.requests, np.int64)
    # What is not freed because the recording ended would have been, as it was in the same context.
    usual = profile_of([base]).foretold(base)
    lifetime = np.where(base.lifetime == NEVER, usual, base.lifetime).astype(np.int32)
    group = np.full(base.requests, FIXED, np.int32)
    drawn = ForecastPlan(
        np.stack(contexts_of(base)), base.size, lifetime, group, nothing, alignment, 0.0
    )
    return drawn._replace(group=_size_groups(drawn, others)) if others else drawn


def packed_plan(drawn: ForecastPlan, margin: float) -> ForecastPlan:
    """Packs the slots, which are longer by a margin than what is foretold."""
    length = slot_lengths(drawn.size, margin, drawn.alignment)
    if np.any(drawn.group != FIXED):  # packed like this anew as soon as a run shows its sizes
        nothing = np.zeros(0, np.int64)
        start = stacked(drawn.lifetime, length, nothing.reshape(0, 2), nothing)
    else:
        slots = Recording("slots", length, drawn.lifetime.astype(np.int64))
        count = len(length)
        task = PlanTask(slots, 1, np.full(count, UNPINNED), np.ones(count, np.int64))
        board = Board(task, planners=1, limit=np.inf)
        board.offer(STACKS, lowest_stacks(task))
        if not why_not(SEARCH_NAME, task):
            search_capacities(task, board, SEARCH_SEED, most_steps=1 + SEARCH_WORK // count)
        assert board.best is not None
        start = board.best.start
    return drawn._replace(start=start * drawn.alignment, margin=margin)


def _best_forecast(streams: Sequence[ReplayEvents]) -> tuple[ForecastPlan, int]:
    """Finds the run by which the slots of the others come least high, and its number."""
    runs, alignment = [events.recording for events in streams], streams[0].alignment
    least, best = np.inf, None
    for number, base in enumerate(runs):
        others = [*runs[:number], *runs[number + 1 :]]
        drawn = unpacked_plan(base, others, alignment)
        tried = packed_plan(drawn, 0.0) if np.any(drawn.group != FIXED) else drawn
        total = 0.0  # of the logarithms of heights, none of which is below 0
        for events in [*streams[:number], *streams[number + 1 :]]:
            planned = tried.planned(events.recording, alignment)
            top = (planned + events.units)[planned >= 0].max(initial=0)
            # What has no slot is as if it came on top.
            total += np.log(max(top / events.peak_live, 1) + float((planned < 0).mean()))
            if total >= least:
                break
        else:
            least, best = total, (drawn, number)
    assert best is not None
    return best


def _size_groups(drawn: ForecastPlan, others: Sequence[Recording]) -> np.ndarray:
    """Groups places by the ratios of their sizes to the forecast's, one from each run: int32[F].

    All are `FIXED` where there would be too many groups.
    """
    steps = np.zeros((1 + len(drawn.size), len(others)), np.int64)  # the first is no place: FIXED
    for number, run in enumerate(others):
        place = drawn.places(run)
        there, place = place >= 0, place[place >= 0]
        ratio = np.rint(np.log(run.size[there] / drawn.size[place]) / SAME_RATIO)
        # A shorter run has not come to all places, but to others in the same context.
        _, alike = np.unique(drawn.context[0], return_inverse=True)
        for kind in (alike, np.arange(len(alike))):
            known, median = lower_medians(kind[place], ratio)
            found = np.isin(kind, known)
            steps[1:, number][found] = median[np.searchsorted(known, kind[found])]
    _, group = np.unique(steps, axis=0, return_inverse=True)
    group, groups = group.ravel(), int(group.max()) + 1
    if groups > MOST_GROUPS:
        return np.full(len(drawn.size), FIXED, np.int32)
    return ((group[1:] - group[0]) % groups).astype(np.int32)
