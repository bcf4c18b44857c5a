"""Plans: a run is followed through its forecast, by what has come so far and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
from program_runs import batches_run, buffers_run

from jaxmem.arena.arena import NOWHERE
from jaxmem.recordings import Recording
from jaxmem.recordings.forecast import MOST_MISSED, ForecastPlan
from jaxmem.recordings.packing import check_packing, deaths_of
from jaxmem.recordings.plan_search import packed_plan, unpacked_plan
from jaxmem.recordings.planned_rule import MISSED
from jaxmem.recordings.replay import units_of
from jaxmem.recordings.sites import CallSites


def plan_of(
    base: Recording, *others: Recording, margin: float = 0.0, alignment: int = 1
) -> ForecastPlan:
    return packed_plan(unpacked_plan(base, others, alignment), margin)


def test_buffers_that_are_their_own_call_site_are_followed_exactly():
    base = buffers_run(1)
    later = replace(base, size=base.size + 7)
    np.testing.assert_array_equal(plan_of(base).places(later), np.arange(base.requests))
    new = replace(base, call_sites=CallSites(base.call_sites.key + np.uint64(1)))
    assert (plan_of(base).places(new) == NOWHERE).all()


def test_a_program_that_goes_on_longer_comes_round_again():
    base, later = batches_run(8, 4), batches_run(8, 11)
    places = plan_of(base).places(later)
    assert places.min() >= 0
    np.testing.assert_array_equal(places[: base.requests], np.arange(base.requests))
    np.testing.assert_array_equal(base.site[places], later.site)


def test_a_place_that_is_left_out_is_passed_over():
    base = buffers_run(2)
    kept = np.delete(np.arange(base.requests), [20, 21, 40])
    later = Recording("less", base.size[kept], base.lifetime[kept], base.site[kept],
                      call_sites=base.call_sites)  # fmt: skip
    np.testing.assert_array_equal(plan_of(base).places(later), kept)


@pytest.mark.parametrize("alignment", [1, 64])
@pytest.mark.parametrize("margin", [0.0, 0.06])
def test_slots_do_not_overlap_and_have_room_for_the_margin(alignment, margin):
    base = buffers_run(3)
    plan = plan_of(base, margin=margin, alignment=alignment)
    larger = replace(base, size=(base.size * (1 + margin)).astype(np.int64))
    planned = plan.planned(larger, alignment)
    assert planned.min() >= 0
    check_packing(planned.astype(np.int64), units_of(larger, alignment), deaths_of(base))


@pytest.mark.parametrize("alignment", [16, 256])
def test_a_plan_can_be_played_in_other_units(alignment):
    base = buffers_run(4)
    planned = plan_of(base, margin=0.03, alignment=64).planned(base, alignment)
    assert planned.min() >= 0
    check_packing(planned.astype(np.int64), units_of(base, alignment), deaths_of(base))


def test_what_is_known_of_a_request_does_not_depend_on_those_after_it():
    base = buffers_run(5)
    random = np.random.default_rng(5)
    later = replace(
        base,
        size=np.rint(base.size * np.exp(random.normal(0, 0.05, base.requests))).astype(np.int64),
    )
    runs = [batches_run(batch, steps) for batch, steps in ((8, 4), (11, 4), (5, 4))]
    for plan, run in (
        (plan_of(base, margin=0.06), later),
        (plan_of(*runs[:2]), runs[2]),
    ):
        whole = plan.planned(run, 1)
        for cut in (1, 20, 37, 55):
            part = Recording("part", run.size[:cut], run.lifetime[:cut], run.site[:cut],
                             call_sites=run.call_sites)  # fmt: skip
            np.testing.assert_array_equal(plan.planned(part, 1), whole[:cut])


def test_sizes_that_change_together_are_foretold_from_the_first_of_them():
    base, other, later = batches_run(8, 4), batches_run(16, 3), batches_run(30, 6)
    plan = plan_of(base, other)
    assert np.unique(plan.group).size == 2
    planned = plan.planned(later, 1)
    assert planned.min() >= 0
    assert (planned + later.size).max() < 1.05 * later.peak_live
    without = plan_of(base).planned(later, 1)
    assert (without == NOWHERE).mean() > 0.5


def test_after_too_many_misses_the_plan_is_dropped_for_good():
    base = buffers_run(6, 200)
    plan, allowed = plan_of(base), int(MOST_MISSED * 200)
    for missed, dropped in ((allowed, False), (allowed + 1, True)):
        size = base.size.copy()
        size[10 : 10 + missed] += 1
        planned = plan.planned(replace(base, size=size), 1)
        assert (planned[10 : 10 + allowed] == MISSED).all()
        assert (planned[:10] >= 0).all()
        assert (planned[10 + missed :] == NOWHERE).all() == dropped
        assert (planned[10 + missed :] >= 0).all() != dropped


@pytest.mark.parametrize("seed", [7, 8])
def test_no_slot_is_where_a_block_still_is_that_stays_for_longer_than_foretold(seed):
    base = buffers_run(seed, 120)
    mortal = np.flatnonzero(base.lifetime < 20)
    stay = np.random.default_rng(seed).choice(mortal, 4, replace=False)
    lifetime = base.lifetime.copy()
    lifetime[stay] += 40
    later = replace(base, lifetime=lifetime)
    planned = plan_of(base).planned(later, 1)
    assert planned.min() >= 0
    check_packing(planned.astype(np.int64), later.size, deaths_of(later))
    before = int(stay.min())
    np.testing.assert_array_equal(planned[:before], plan_of(base).planned(base, 1)[:before])


def test_no_slot_is_beyond_what_an_arena_can_have():
    huge = Recording("huge", np.array([2**62 - 64, 64]), np.array([1, 1]))
    assert plan_of(huge, alignment=2**40).planned(huge, 1).tolist() == [NOWHERE, NOWHERE]
