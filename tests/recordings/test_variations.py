"""Variations and windows of a recording, against the same counted in plain Python."""

import numpy as np
import pytest

from jaxmem.arena.arena import NEVER
from jaxmem.recordings import Recording
from jaxmem.recordings.variations import Variety, varied, window

SAME = Variety(sizes=0.0, dropped=0.0, backward=0.0, mixed=0.0)
REQUESTS = 80


def random_recording(seed: int, sites: bool = False) -> Recording:
    random = np.random.default_rng(seed)
    lifetime = random.geometric(1 / random.choice([2, 10, 40]), REQUESTS)
    lifetime[np.arange(REQUESTS) + lifetime >= REQUESTS] = NEVER
    site = random.integers(0, 9, REQUESTS).astype(np.int32) if sites else None
    return Recording("made", random.integers(1, 50, REQUESTS), lifetime, site)


def rectangles(recording) -> list[tuple[int, int, int]]:
    """(birth, death, size) of all blocks, sorted, in time that only a free moves on.

    The order of requests between which nothing is freed, and of frees, is not in it.
    """
    ends = [
        min(number + life, recording.requests)
        for number, life in enumerate(recording.lifetime.tolist())
    ]
    births = [sum(end <= number for end in set(ends)) for number in range(recording.requests)]
    steps = sorted(set(births))  # those in which something is asked for
    return sorted(
        (steps.index(births[number]), sum(step <= births[end - 1] for step in steps), size)
        for number, (end, size) in enumerate(zip(ends, recording.size.tolist(), strict=True))
    )


def backward(rectangles) -> list[tuple[int, int, int]]:
    end = max(death for _, death, _ in rectangles)
    return sorted((end - death, end - birth, size) for birth, death, size in rectangles)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("seed", range(40))
def test_a_variation_is_a_recording_whatever_is_varied(seed):
    recording = random_recording(seed)
    most = Variety(sizes=3.0, dropped=0.9)
    found = varied(recording, rng(seed), most)
    assert 1 <= found.requests <= REQUESTS
    assert found.size.min() >= 1
    assert found.size.dtype == np.int64
    assert found.lifetime.min() >= 1
    outlives = np.arange(found.requests) + found.lifetime >= found.requests
    assert (found.lifetime[outlives] == NEVER).all()
    assert found.site is None


@pytest.mark.parametrize("seed", range(5))
def test_without_variety_it_is_the_same_program(seed):
    recording = random_recording(seed)
    found = varied(recording, rng(), SAME)
    np.testing.assert_array_equal(found.size, recording.size)
    np.testing.assert_array_equal(found.lifetime, recording.lifetime)


def test_the_same_seed_draws_the_same_variation():
    recording = random_recording(0)
    one, two, other = (varied(recording, rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.size, two.size)
    np.testing.assert_array_equal(one.lifetime, two.lifetime)
    assert one.size.tolist() != other.size.tolist()


def test_blocks_of_a_size_change_together():
    recording = random_recording(1)
    found = varied(recording, rng(), SAME._replace(sizes=0.5))
    pairs = set(zip(recording.size.tolist(), found.size.tolist(), strict=True))
    assert len(pairs) == len(set(recording.size.tolist()))
    assert any(one != other for one, other in pairs)
    np.testing.assert_array_equal(found.lifetime, recording.lifetime)


def test_dropped_requests_leave_the_others_as_they_were():
    # Every size is another, so that blocks are known by it.
    recording = random_recording(2)
    recording = Recording("made", np.arange(1, REQUESTS + 1), recording.lifetime)
    fewest = REQUESTS
    for seed in range(20):
        found = varied(recording, rng(seed), SAME._replace(dropped=0.5))
        number = found.size - 1
        assert (np.diff(number) > 0).all()
        death = number + recording.lifetime[number]
        expected = [
            sum(later < dies for later in number) - place
            for place, dies in enumerate(death.tolist())
        ]
        ends = np.arange(found.requests) + expected >= found.requests
        assert found.lifetime.tolist() == np.where(ends, NEVER, expected).tolist()
        fewest = min(fewest, found.requests)
    assert 0.3 * REQUESTS < fewest < 0.7 * REQUESTS


def test_something_is_left_where_all_is_dropped():
    one = Recording("one", np.array([7]), np.array([NEVER]))
    for seed in range(5):
        assert varied(one, rng(seed), SAME._replace(dropped=1.0)).size.tolist() == [7]


@pytest.mark.parametrize("seed", range(20))
def test_backward_what_is_freed_is_asked_for_and_twice_is_the_same_program(seed):
    recording = random_recording(seed)
    turned = SAME._replace(backward=1.0)
    once = varied(recording, rng(), turned)
    twice = varied(once, rng(), turned)
    assert rectangles(once) == backward(rectangles(recording))
    assert rectangles(twice) == rectangles(recording)
    assert once.peak_live == twice.peak_live == recording.peak_live


@pytest.mark.parametrize("seed", range(20))
def test_mixed_requests_change_places_only_where_nothing_is_freed_between_them(seed):
    recording = random_recording(seed)
    found = varied(recording, rng(seed), SAME._replace(mixed=1.0))
    assert rectangles(found) == rectangles(recording)
    assert found.peak_live == recording.peak_live


def test_mixing_moves_the_requests_of_a_burst():
    recording = Recording("burst", np.arange(1, 41), np.full(40, NEVER))
    found = varied(recording, rng(), SAME._replace(mixed=1.0))
    assert found.size.tolist() != recording.size.tolist()
    assert sorted(found.size.tolist()) == recording.size.tolist()


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("seed", range(10))
def test_a_window_holds_what_was_live_and_what_is_asked_for_in_it(seed, full):
    recording = random_recording(seed, sites=seed % 2 == 0)
    first, length = (int(n) for n in np.random.default_rng(seed).integers(1, REQUESTS // 2, 2))
    found, given = window(recording, first, length, full)
    lifetime = recording.lifetime.tolist()
    live = [request for request in range(first) if request + lifetime[request] > first]
    chosen = [*(live if full else []), *range(first, first + length)]
    assert given == len(chosen) - length
    assert found.size.tolist() == recording.size[chosen].tolist()
    if recording.site is None:
        assert found.site is None
    else:
        assert found.site.tolist() == recording.site[chosen].tolist()
    for place, request in enumerate(chosen):
        death = request + lifetime[request]
        lives = given + death - first - place if death < first + length else NEVER
        assert found.lifetime[place] == lives


def test_a_full_window_has_as_much_live_as_the_program_had():
    recording = random_recording(3)
    found, given = window(recording, 30, 50, full=True)
    assert given > 0
    number = np.arange(REQUESTS)
    death = number + recording.lifetime
    live = [recording.size[(number <= now) & (death > now)].sum() for now in range(30, 80)]
    place, dies = np.arange(found.requests), np.arange(found.requests) + found.lifetime
    for now, units in enumerate(live, start=given):
        assert found.size[(place <= now) & (dies > now)].sum() == units


def test_the_whole_recording_is_a_window_of_itself():
    recording = random_recording(4)
    found, given = window(recording, 0, REQUESTS, full=True)
    assert given == 0
    np.testing.assert_array_equal(found.lifetime, recording.lifetime)


@pytest.mark.parametrize(("first", "length"), [(-1, 5), (0, 0), (3, -2), (0, 81), (80, 1)])
def test_a_window_outside_the_recording_is_refused(first, length):
    with pytest.raises(ValueError, match=r"requests -?\d+ to \d+ of made; it has 80"):
        window(random_recording(0), first, length, full=False)
