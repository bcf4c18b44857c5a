"""What placement could save: arenas needed against the oracle, failures, packings that exist."""

import numpy as np
import pytest
from slow_replay import failures, high_water

from jaxmem.evaluation import headroom as headroom_module
from jaxmem.evaluation import offline_packing
from jaxmem.evaluation.headroom import FACTORS, headroom
from jaxmem.evaluation.offline_packing import offline_height
from jaxmem.evaluation.replay import events_of
from jaxmem.policies.orders import BOUNDED, ORDERED
from jaxmem.workloads.requests import NEVER
from jaxmem.workloads.traces import Recording


def random_recording(seed: int, requests: int = 150) -> Recording:
    random = np.random.default_rng(seed)
    size = random.choice([16, 32, 48, 200, 900], requests)
    lifetime = random.integers(1, 30, requests)
    lifetime[random.random(requests) < 0.05] = NEVER
    return Recording("made", size.astype(np.int64), lifetime.astype(np.int64))


@pytest.fixture(scope="module", params=range(3))
def judged(request):
    """A recording, its sizes and lifetimes in units of 16 bytes, and its headroom."""
    recording = random_recording(request.param)
    events = events_of(recording, 16)
    heard = []
    found = headroom(events, ORDERED, heard.append)
    assert any("segregated, arena needed: 100%" in doing for doing in heard)
    return recording, (events.units.tolist(), recording.lifetime.tolist()), found


def test_every_policy_has_the_high_water_mark_of_the_oracle(judged):
    _, lists, found = judged
    assert found.unbounded == {
        rule: high_water(rule, *lists) for rule in ORDERED if rule not in BOUNDED
    }


def test_nothing_fails_in_the_arena_needed_and_something_in_one_unit_less(judged):
    _, lists, found = judged
    assert list(found.bounded) == list(ORDERED)
    for rule, cells in found.bounded.items():
        assert not any(failures(rule, *lists, cells, found.threshold)), rule
        assert any(failures(rule, *lists, cells - 1, found.threshold)), rule
    assert found.bounded["first"] == found.unbounded["first"]
    assert min(found.bounded.values()) >= found.peak_live


def test_failures_are_counted_in_requests_and_in_bytes(judged):
    recording, lists, found = judged
    for rule in ORDERED:
        for factor in FACTORS:
            lost = failures(rule, *lists, int(factor * found.peak_live), found.threshold)
            assert found.failed[rule][factor] == pytest.approx(100 * np.mean(lost))
            share = recording.size[np.array(lost)].sum() / recording.size.sum()
            assert found.failed_bytes[rule][factor] == pytest.approx(100 * share)


def test_ratios_are_over_the_peak_live_units(judged):
    _, _, found = judged
    ratios = found.ratios()
    assert ratios["unbounded"]["best"] == found.unbounded["best"] / found.peak_live
    assert ratios["bounded"]["worst"] == found.bounded["worst"] / found.peak_live
    assert ratios["offline"] == found.offline / found.peak_live >= 1


def test_an_arena_of_more_than_twice_the_peak_is_found():
    # What stays is 1 unit behind each block that goes, and every block is longer than the last.
    size = [number for longer in range(2, 40) for number in (longer, 1)]
    lifetime = [life for _ in range(2, 40) for life in (2, NEVER)]
    recording = Recording("stairs", np.array(size, np.int64), np.array(lifetime, np.int64))
    found = headroom(events_of(recording, 1), ["first", "worst"])
    assert found.bounded["first"] == high_water("first", size, lifetime)
    assert found.bounded["worst"] > 3 * found.peak_live
    for rule, cells in found.bounded.items():
        assert not any(failures(rule, size, lifetime, cells)), rule
        assert any(failures(rule, size, lifetime, cells - 1)), rule


def test_what_ends_one_policy_ends_all():
    class EnoughError(Exception):
        pass

    heard = []

    def report(doing):
        heard.append(doing)
        if "arena needed" in doing:
            raise EnoughError

    with pytest.raises(EnoughError):
        headroom(events_of(random_recording(0), 16), ORDERED, report)
    assert "packing offline" not in heard


def test_blocks_that_all_stay_leave_nothing_to_save():
    recording = Recording("stay", np.full(20, 7, np.int64), np.full(20, NEVER, np.int64))
    found = headroom(events_of(recording, 1), ["first", "two_ended"])
    assert found.peak_live == found.offline == found.bounded["two_ended"] == 140
    assert set(found.failed["first"].values()) == {0.0}
    assert headroom_module.SMALL * found.threshold <= 140


def test_no_offline_packing_needs_more_than_a_policy(monkeypatch):
    events = events_of(random_recording(1), 16)
    found = headroom(events, ["first", "worst"])
    monkeypatch.setattr(headroom_module, "offline_height", lambda *_: (10**9, 1))
    assert headroom(events, ["first", "worst"]).offline == min(found.bounded.values())
    monkeypatch.setattr(headroom_module, "offline_height", lambda *_: (found.peak_live, 1))
    assert headroom(events, ["first", "worst"]).offline == found.peak_live


def test_the_offline_packing_is_one_that_exists():
    # A ladder in which first fit needs 5 units, and 4 are live at once.
    size, lifetime = [1, 2, 1, 3], [3, 1, NEVER, NEVER]
    recording = Recording("ladder", np.array(size, np.int64), np.array(lifetime, np.int64))
    assert offline_height(recording, recording.size) == (4, 4)
    assert high_water("first", size, lifetime) == 5


@pytest.mark.parametrize("seed", range(3))
def test_what_is_left_of_a_long_recording_lies_above_the_stack(seed, monkeypatch):
    recording = random_recording(seed)
    events = events_of(recording, 16)
    whole, stacked = offline_height(recording, events.units)
    assert stacked == recording.requests
    assert whole >= events.peak_live
    monkeypatch.setattr(offline_packing, "MOST", 60)
    height, stacked = offline_height(recording, events.units)
    assert stacked == 60
    assert whole <= height < 2 * whole
