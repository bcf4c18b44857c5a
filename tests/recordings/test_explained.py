"""What call sites and sizes tell of lifetimes, against a plain count one request at a time."""

from collections import defaultdict
from math import log

import numpy as np
import pytest

from jaxmem.arena.arena import NEVER
from jaxmem.recordings.explained import explained, explained_by, explained_by_size, known_sites
from jaxmem.recordings.recording import Recording
from jaxmem.recordings.sites import call_sites

CALLED = call_sites(["f3"])


def random_recording(seed: int, requests: int = 300) -> Recording:
    """Lifetimes that depend on the call site, a little on the size, and on chance."""
    rng = np.random.default_rng(seed)
    site = rng.integers(-1, 6, requests).astype(np.int32)
    size = rng.choice([8, 24, 4096], requests)
    lifetime = np.maximum(1, (2.0 ** (site + 2) * rng.lognormal(0, 0.3, requests))).astype(int)
    lifetime[rng.random(requests) < 0.05] = NEVER
    names = [f"f{at}" for at in (rng.permutation(6) if seed % 2 else range(6))]
    return Recording("r", size, lifetime, site, call_sites=call_sites(names))


def values(recording: Recording) -> list[float]:
    long = recording.requests
    return [log(long if life == NEVER else life) for life in recording.lifetime.tolist()]


def share(value: list[float], guess: list[float]) -> float:
    mean = sum(value) / len(value)
    wrong = sum((v - g) ** 2 for v, g in zip(value, guess, strict=True))
    return 1 - wrong / sum((v - mean) ** 2 for v in value)


def means(keys: list, value: list[float], leave: int = -1) -> dict:
    found = defaultdict(list)
    for at, (key, one) in enumerate(zip(keys, value, strict=True)):
        if at != leave:
            found[key].append(one)
    return {key: sum(of) / len(of) for key, of in found.items()}


@pytest.mark.parametrize("seed", range(4))
def test_of_one_recording_each_request_is_foretold_by_the_others(seed):
    recording = random_recording(seed, 120)
    value, site = values(recording), recording.site_key.tolist()
    size = recording.size.tolist()
    both = list(zip(site, size, strict=True))
    guesses = defaultdict(list)
    for at in range(len(value)):
        others = [v for k, v in enumerate(value) if k != at]
        mean = sum(others) / len(others)
        by_site = means(site, value, at).get(site[at], mean)
        guesses["size"].append(means(size, value, at).get(size[at], mean))
        guesses["site"].append(by_site)
        guesses["both"].append(means(both, value, at).get(both[at], by_site))
    found = explained(recording)
    for name, guess in guesses.items():
        assert getattr(found, name) == pytest.approx(share(value, guess))
    assert found.known == np.mean(recording.site >= 0)


@pytest.mark.parametrize("seed", range(4))
def test_one_run_foretells_another_by_names_and_not_by_numbers(seed):
    one, other = random_recording(seed), random_recording(seed + 2)
    past, value = values(one), values(other)
    mean = sum(past) / len(past)
    keys, asked = one.site_key.tolist(), other.site_key.tolist()
    sizes, wanted = one.size.tolist(), other.size.tolist()
    site, size = means(keys, past), means(sizes, past)
    both = means(list(zip(keys, sizes, strict=True)), past)
    by_site = [site.get(key, mean) if key else mean for key in asked]
    found = explained_by(one, other)
    assert found.size == pytest.approx(share(value, [size.get(each, mean) for each in wanted]))
    assert found.site == pytest.approx(share(value, by_site))
    pairs = zip(asked, wanted, by_site, strict=True)
    assert found.both == pytest.approx(share(value, [both.get((a, w), b) for a, w, b in pairs]))
    assert found.known == np.mean(other.site >= 0)
    assert explained_by(one, one).site > 0.2
    assert known_sites(one, other) == 1.0
    fewer = Recording("f", one.size[:1], one.lifetime[:1], one.site[:1] * 0, call_sites=CALLED)
    assert known_sites(fewer, other) == pytest.approx(1 / 6)


def test_without_call_sites_nothing_is_said():
    bare = Recording("r", np.array([8, 8]), np.array([1, 1]))
    assert explained(bare) is None
    assert explained_by_size(bare) == 1.0
    unknown = Recording("r", bare.size, bare.lifetime, np.array([-1, -1], np.int32))
    assert (explained(unknown), unknown.sites, random_recording(0).sites) == (None, 0, 6)
    assert explained_by(bare, random_recording(0)) is None
    with pytest.raises(ValueError, match="do not compare"):
        known_sites(random_recording(0), bare)


def test_where_all_lifetimes_are_equal_there_is_nothing_to_explain():
    same = Recording("r", np.array([8, 9, 8]), np.array([1, 1, 1]), np.array([0, 0, 1], np.int32))
    assert explained(same)[:3] == (1.0, 1.0, 1.0)


def test_another_programs_call_sites_are_unknown():
    one = random_recording(0)
    names = tuple(f"other{number}" for number in range(6))
    other = Recording("o", one.size, one.lifetime, one.site, call_sites=call_sites(names))
    found = explained_by(one, other)
    assert found.known == known_sites(one, other) == 0
    assert found.site < 0.01
