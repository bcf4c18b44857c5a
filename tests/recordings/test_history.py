"""What is known of a request when it is made, against a count in plain Python; nothing of later."""

import numpy as np
import pytest
from slow_scorer import knowledge

from jaxmem.arena.arena import NEVER
from jaxmem.recordings import Recording
from jaxmem.recordings.history import history_of

REQUESTS = 90


def random_recording(seed: int, sites: bool, requests: int = REQUESTS) -> Recording:
    random = np.random.default_rng(seed)
    lifetime = random.geometric(1 / random.choice([2, 10, 40]), requests)
    lifetime[random.random(requests) < 0.1] = NEVER
    site = random.integers(-1, 3, requests).astype(np.int32) if sites else None
    return Recording("made", random.choice([1, 7, 2**40, 2**41], requests), lifetime, site)


@pytest.mark.parametrize("sites", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_what_is_known_is_what_plain_python_counts(seed, sites):
    recording = random_recording(seed, sites)
    found = history_of(recording)
    site = recording.site.tolist() if sites else [0] * REQUESTS
    lists = recording.size.tolist(), recording.lifetime.tolist(), site
    known = [knowledge(*lists, now) for now in range(REQUESTS)]
    died, lived, begins, usual = zip(*known, strict=True)
    assert found.died.tolist() == list(died)
    assert found.begins.tolist() == list(begins)
    np.testing.assert_allclose(found.lived, lived, rtol=1e-6)
    np.testing.assert_allclose(found.usual, usual, rtol=1e-6)
    assert max(died) > 2
    assert (found.died.dtype, found.lived.dtype, found.usual.dtype) == (np.float32,) * 3


@pytest.mark.parametrize("sites", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_nothing_that_comes_later_changes_what_is_known(seed, sites):
    recording = random_recording(seed, sites)
    random = np.random.default_rng(seed)
    now = int(random.integers(1, REQUESTS - 1))
    number = np.arange(REQUESTS)
    size, lifetime = recording.size.copy(), recording.lifetime.copy()
    size[now + 1 :] = random.integers(1, 2**50, REQUESTS - now - 1)
    lives_on = number + lifetime > now
    other = np.maximum(now - number, 0) + random.geometric(0.1, REQUESTS)
    lifetime = np.where(lives_on, np.where(random.random(REQUESTS) < 0.3, NEVER, other), lifetime)
    site = recording.site
    if site is not None:
        site = np.where(number > now, random.integers(-1, 9, REQUESTS), site).astype(np.int32)
    before = history_of(recording)
    after = history_of(Recording("other", size, lifetime, site))
    for one, two in zip(before, after, strict=True):
        np.testing.assert_array_equal(one[: now + 1], two[: now + 1])
    assert (before.usual[now + 1 :] != after.usual[now + 1 :]).all()


def test_blocks_that_die_when_a_request_comes_have_died_before_it():
    found = history_of(Recording("made", np.array([8, 8, 8, 8]), np.array([2, 1, 1, 1])))
    assert found.died.tolist() == [0, 0, 2, 3]
    np.testing.assert_allclose(np.exp(found.lived), [1, 1, 2, 2], rtol=1e-6)
    assert found.begins.tolist() == [True, True, False, False]


def test_blocks_of_one_size_are_alike_only_where_their_call_sites_are():
    size, lifetime = np.array([8, 8, 8, 8]), np.array([1, 1, 1, 1])
    site = np.array([-1, 5, -1, 5], np.int32)
    assert history_of(Recording("made", size, lifetime)).died.tolist() == [0, 1, 2, 3]
    assert history_of(Recording("made", size, lifetime, site)).died.tolist() == [0, 0, 1, 1]


def test_a_program_that_frees_nothing_only_begins():
    found = history_of(Recording("made", np.array([1, 4]), np.array([NEVER, NEVER])))
    assert found.begins.all()
    assert not found.died.any()
    np.testing.assert_allclose(found.usual, [0, np.log(2)], rtol=1e-6)
