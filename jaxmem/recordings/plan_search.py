"""Making the plan of a program of its own runs, and choosing by how much slots are larger."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from jaxmem.arena.arena import NEVER, NOWHERE
from jaxmem.recordings.class_rule import ClassRule
from jaxmem.recordings.forecast import FIXED, MOST_MISSED, Plan, slot_lengths, stacked
from jaxmem.recordings.headroom import units_needed
from jaxmem.recordings.offline_packing import MOST_STACKED
from jaxmem.recordings.packing import deaths_of
from jaxmem.recordings.plan_task import UNPINNED, PlanTask
from jaxmem.recordings.planned_rule import PlannedRule
from jaxmem.recordings.planning import ANNEALING, plan, why_not
from jaxmem.recordings.capacity_search import SEARCH_NAME
from jaxmem.recordings.profile import contexts_of
from jaxmem.recordings.recording import Recording
from jaxmem.recordings.replay import ReplayEvents, events_of
from jaxmem.recordings.variations import Variety, varied

MARGINS = (0.0, 0.03, 0.06, 0.08, 0.12)
STEADY = 0.113  # largest |logarithm| of a size over the forecast's that a margin is for
ALIKE = 0.002  # of the logarithms of sizes that grow together
MOST_GROUPS = 48


def forecast_of(runs: Sequence[Recording]) -> Recording:
    """Chooses the run that is the forecast: the shortest, which is packed again soonest."""
    return min(runs, key=lambda run: run.requests)


def unpacked(base: Recording, runs: Sequence[Recording], alignment: int) -> Plan:
    plan = Plan(
        context=np.stack(contexts_of(base)),
        size=base.size,
        lifetime=np.minimum(base.lifetime, NEVER).astype(np.int32),
        group=np.zeros(base.requests, np.int32),
        start=np.zeros(base.requests, np.int64),
        alignment=alignment,
        margin=0.0,
    )
    return plan._replace(group=_groups(plan, [run for run in runs if run is not base]))


def _groups(plan: Plan, runs: Sequence[Recording]) -> np.ndarray:
    count = len(plan.size)
    if not runs:
        return np.zeros(count, np.int32)
    logs = np.zeros((count, len(runs)))
    for number, run in enumerate(runs):
        place = plan.places(run)
        there = place >= 0
        place = place[there]
        ratio = np.log(run.size[there]) - np.log(plan.size[place])
        order = np.lexsort([ratio, place])
        known, first, of = np.unique(place[order], return_index=True, return_counts=True)
        logs[known, number] = ratio[order][first + (of - 1) // 2]
    fixed = (np.abs(logs) <= STEADY).all(axis=1)
    steps = np.rint(logs / ALIKE).astype(np.int64)
    steps[fixed] = 0
    _, group = np.unique(np.vstack([np.zeros(len(runs), np.int64), steps]), axis=0, return_inverse=True)
    group = group.ravel()
    group = (group - group[0]) % (group.max() + 1)
    if group.max() >= MOST_GROUPS:
        return np.zeros(count, np.int32)
    return group[1:].astype(np.int32)


def packed(plan: Plan, base: Recording, margin: float, seconds: float) -> Plan:
    length = slot_lengths(plan.size, margin, plan.alignment)
    start = stacked(plan.lifetime, length, np.full(len(length), NOWHERE))
    if (plan.group == FIXED).all():
        start = _lowest(Recording(base.name, length, base.lifetime), seconds)
    return plan._replace(start=start * plan.alignment, margin=margin)


def _lowest(slots: Recording, seconds: float) -> np.ndarray:
    task = PlanTask(slots, 1, np.full(slots.requests, UNPINNED, np.int64))
    planners = [name for name in (SEARCH_NAME, ANNEALING) if not why_not(name, task)]
    board = plan(task, planners, seconds, seed=0)
    assert board.best is not None
    return board.best.start
