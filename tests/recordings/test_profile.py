"""Profiles, against the same counted in plain Python: contexts, medians, and what is foretold."""

import numpy as np
import pytest
from small_recordings import recording_of

from jaxmem.arena.arena import NEVER
from jaxmem.recordings import Recording
from jaxmem.recordings.profile import CONTEXTS, UNFORETOLD, contexts_of, profile_of
from jaxmem.recordings.sites import UNKNOWN_KEY, CallSites

FACTOR = 0x9E3779B97F4A7C15


def random_run(seed: int, requests: int = 120, sites: int = 4) -> Recording:
    """A run with few call sites, some unknown, so that contexts come again."""
    random = np.random.default_rng(seed)
    site = np.tile(random.integers(-1, sites, 15), requests // 15).astype(np.int32)
    site[random.random(requests) < 0.05] = 0
    lifetime = np.where(random.random(requests) < 0.2, NEVER, random.integers(1, 40, requests))
    key = np.random.default_rng(9).integers(1, 2**64, sites, np.uint64)
    return Recording(
        "made", random.integers(1, 9, requests), lifetime, site, call_sites=CallSites(key)
    )


def slow_contexts(run: Recording) -> list[list[tuple[int, ...]]]:
    """The last call sites of each request, by length; before the first they are unknown."""
    assert run.site_key is not None
    keys = [UNKNOWN_KEY] * max(CONTEXTS) + run.site_key.tolist()
    ends = range(max(CONTEXTS) + 1, len(keys) + 1)
    return [[tuple(keys[end - length : end]) for end in ends] for length in CONTEXTS]


def slow_profile(runs) -> dict[tuple[int, tuple[int, ...]], int]:
    """By length and context the lower median of what followed it."""
    found: dict[tuple[int, tuple[int, ...]], list[int]] = {}
    for run in runs:
        for length, contexts in zip(CONTEXTS, slow_contexts(run), strict=True):
            for context, life in zip(contexts, run.lifetime.tolist(), strict=True):
                found.setdefault((length, context), []).append(life)
    return {key: sorted(of)[(len(of) - 1) // 2] for key, of in found.items()}


def slow_foretold(profile, run: Recording) -> list[int]:
    """By the longest context that is known."""
    contexts = slow_contexts(run)
    found = []
    for at in range(run.requests):
        known = (
            profile[length, of[at]]
            for length, of in zip(CONTEXTS, contexts, strict=True)
            if (length, of[at]) in profile
        )
        found.append(next(known, UNFORETOLD))
    return found


@pytest.mark.parametrize("seeds", [(1,), (1, 2), (3, 4, 5)])
def test_lifetimes_are_foretold_by_the_longest_context_that_is_known(seeds):
    runs, later = [random_run(seed) for seed in seeds], random_run(77, sites=5)
    slow, profile = slow_profile(runs), profile_of(runs)
    assert len(profile.key) == len(slow)
    assert (profile.key.dtype, profile.lifetime.dtype) == (np.uint64, np.int32)
    assert (profile.key[1:] > profile.key[:-1]).all()
    for run in (*runs, later):
        foretold = profile.foretold(run)
        assert foretold.dtype == np.int32
        np.testing.assert_array_equal(foretold, slow_foretold(slow, run))
    assert 0 < (profile.foretold(later) == UNFORETOLD).mean() < 1


def test_a_run_foretells_itself_where_its_contexts_are_all_new():
    keys = np.arange(1, 61, dtype=np.uint64)
    lifetime = np.random.default_rng(0).integers(1, 99, 60)
    site = np.arange(60, dtype=np.int32)
    run = Recording("new", np.ones(60, np.int64), lifetime, site, call_sites=CallSites(keys))
    np.testing.assert_array_equal(profile_of([run]).foretold(run), lifetime)


@pytest.mark.parametrize(
    ("lives", "median"),
    [([5], 5), ([9, 3], 3), ([9, 3, 4], 4), ([7, NEVER, NEVER], NEVER), ([7, NEVER], 7)],
)
def test_of_several_lifetimes_the_lower_median_counts_and_never_is_the_longest(lives, median):
    sites = CallSites(np.array([8], np.uint64))
    runs = [
        Recording("one", np.array([4]), np.array([life]), np.array([0], np.int32), call_sites=sites)
        for life in lives
    ]
    assert profile_of(runs).foretold(runs[0]).tolist() == [median]


def test_a_call_site_that_is_new_foretells_nothing_even_after_known_ones():
    keys = np.array([11, 22], np.uint64)
    site = np.array([0, 0, 0, 1], np.int32)
    run = Recording("x", np.ones(4, np.int64), np.ones(4, int), site, call_sites=CallSites(keys))
    known = Recording("y", run.size[:3], run.lifetime[:3], site[:3], call_sites=CallSites(keys))
    assert profile_of([known]).foretold(run).tolist() == [1, 1, 1, UNFORETOLD]


def test_a_context_is_a_sum_of_keys_and_powers_in_the_remainders_of_2_to_the_64():
    run = random_run(5)
    keys = run.site_key
    assert keys is not None
    assert UNKNOWN_KEY in keys
    for length, found in zip(CONTEXTS, contexts_of(run), strict=True):
        assert found.dtype == np.uint64
        for at in range(run.requests):
            last = keys[max(0, at + 1 - length) : at + 1].tolist()[::-1]
            powers = (FACTOR ** (back + 1) for back in range(length))
            total = length + sum(key * power for key, power in zip(last, powers, strict=False))
            assert int(found[at]) == total % 2**64


def test_without_call_sites_sizes_stand_for_them_and_equal_to_a_fifth_of_an_octave_is_equal():
    early = recording_of([1000, 64, 1000, 64], [3, 1, 3, 1])
    later = recording_of([1010, 64, 5000], [1, 1, 1])
    assert profile_of([early]).foretold(later).tolist() == [3, 1, UNFORETOLD]
    # Numbers of call sites that do not compare between runs are no better than none.
    numbered = Recording("n", early.size, early.lifetime, np.arange(4, dtype=np.int32))
    for one, other in zip(contexts_of(numbered), contexts_of(early), strict=True):
        np.testing.assert_array_equal(one, other)


def test_runs_of_other_programs_foretell_nothing_of_each_other():
    run = random_run(1)
    other = Recording(
        "other", run.size, run.lifetime, run.site, call_sites=CallSites(np.arange(4, dtype="u8"))
    )
    sited = run.site_key != UNKNOWN_KEY
    assert (profile_of([other]).foretold(run)[sited] == UNFORETOLD).all()
