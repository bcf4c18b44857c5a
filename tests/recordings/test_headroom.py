"""What placement could save: arenas needed against the oracle, failures, packings that exist."""

import numpy as np
import pytest
from repetition import slow
from slow_replay import failures, high_water

from jaxmem.arena.arena import NEVER
from jaxmem.recordings import Recording, offline_packing
from jaxmem.recordings import headroom as headroom_module
from jaxmem.recordings.headroom import FACTORS, headroom
from jaxmem.recordings.offline_packing import offline_packing as packed
from jaxmem.recordings.packing import Packing, check_packing, deaths_of
from jaxmem.recordings.policy_file import SMALL_SHARE
from jaxmem.recordings.replay import ARENA_FACTOR, events_of
from jaxmem.rules import BOUNDED, ORDERED


def random_recording(seed: int, requests: int = 150) -> Recording:
    random = np.random.default_rng(seed)
    size = random.choice([16, 32, 48, 200, 900], requests)
    lifetime = random.integers(1, 30, requests)
    lifetime[random.random(requests) < 0.05] = NEVER
    return Recording("made", size.astype(np.int64), lifetime.astype(np.int64))


@pytest.fixture(scope="module", params=[0, *slow(1, 2)])
def judged(request):
    """A recording, its sizes and lifetimes in units of 16 bytes, and its headroom."""
    recording = random_recording(request.param)
    events = events_of(recording, 16)
    heard = []
    found = headroom(events, ORDERED, heard.append)
    assert any("two_ended_tuned, arena needed: 100%" in doing for doing in heard)
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
    assert ratios["offline"] == found.offline.height / found.peak_live >= 1 == ratios["lower_bound"]


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
    assert found.peak_live == found.offline.height == found.bounded["two_ended"] == 140
    assert set(found.failed["first"].values()) == {0.0}
    assert SMALL_SHARE * found.threshold <= 140


def test_no_offline_packing_needs_more_than_a_policy(monkeypatch):
    events = events_of(random_recording(1), 16)
    found = headroom(events, ["first", "worst"])
    start = np.zeros(150, np.int64)
    high = Packing(start, 10**9, 1, "stacks")
    monkeypatch.setattr(headroom_module, "offline_packing", lambda *_: high)
    offline = headroom(events, ["worst", "first"]).offline
    assert offline.height == min(found.bounded.values()) == found.bounded[offline.method]
    # The policy's own placements are the packing.
    check_packing(offline.start, events.units, deaths_of(events.recording))
    assert (offline.start + events.units).max() <= offline.height
    low = Packing(start, found.peak_live, 1, "stacks")
    monkeypatch.setattr(headroom_module, "offline_packing", lambda *_: low)
    assert headroom(events, ["first", "worst"]).offline == low


def test_the_offline_packing_has_no_overlap_and_no_block_above_its_height(judged):
    recording, lists, found = judged
    size = np.array(lists[0])
    check_packing(found.offline.start, size, deaths_of(recording))
    assert (found.offline.start + size).max() == found.offline.height
    assert found.offline.method in ("stacks", "annealed", *ORDERED)


@pytest.mark.parametrize(("blocks", "share"), [(300, 299 / 300), (256, 0.0), (2, 0.0)])
def test_a_learned_policy_is_best_fit_where_more_than_256_blocks_fill_the_arena(blocks, share):
    # As soon as one block is live, the mean one is one of `blocks` parts of the arena.
    recording = Recording("made", np.full(blocks, 7, np.int64), np.full(blocks, NEVER, np.int64))
    found = headroom_module._share_by_best_fit(events_of(recording, 1), 7 * blocks)
    assert found == pytest.approx(share)


def test_blocks_that_have_died_are_no_longer_live_where_the_share_of_best_fit_is_told():
    # Two of 4 units live at a time; only the first request finds none.
    recording = Recording("made", np.full(100, 4, np.int64), np.full(100, 2, np.int64))
    events = events_of(recording, 1)
    assert headroom_module._share_by_best_fit(events, 256 * 4) == 0.0
    assert headroom_module._share_by_best_fit(events, 256 * 4 + 4) == pytest.approx(0.99)


@pytest.mark.parametrize("peak", [2**31, 40_000_001_024, 2**40 + 1])
def test_a_recording_that_is_too_large_is_told_an_alignment_that_does(peak):
    recording = Recording("large", np.array([peak]), np.array([NEVER]))
    with pytest.raises(ValueError, match=r"take alignment=\d+$") as caught:
        events_of(recording, 1)
    alignment = int(str(caught.value).rpartition("=")[2])
    assert events_of(recording, alignment).peak_live * ARENA_FACTOR < 2**31 - 1
    assert -(-peak // (alignment // 2)) * ARENA_FACTOR > 2**31 - 2


def test_the_offline_packing_is_one_that_exists():
    # A ladder in which first fit needs 5 units, and 4 are live at once.
    size, lifetime = [1, 2, 1, 3], [3, 1, NEVER, NEVER]
    recording = Recording("ladder", np.array(size, np.int64), np.array(lifetime, np.int64))
    found = packed(recording, recording.size)
    assert (found.height, found.stacked, found.method) == (4, 4, "stacks")
    assert high_water("first", size, lifetime) == 5


@pytest.mark.parametrize("seed", range(3))
def test_what_is_left_of_a_long_recording_lies_above_the_stack(seed, monkeypatch):
    recording = random_recording(seed)
    events = events_of(recording, 16)
    whole = packed(recording, events.units)
    assert whole.stacked == recording.requests
    assert whole.height >= events.peak_live
    monkeypatch.setattr(offline_packing, "MOST_STACKED", 60)
    cut = packed(recording, events.units)
    assert cut.stacked == 60
    assert whole.height <= cut.height < 2 * whole.height
    for packing in (whole, cut):
        check_packing(packing.start, events.units, deaths_of(recording))
        assert (packing.start + events.units).max() == packing.height
