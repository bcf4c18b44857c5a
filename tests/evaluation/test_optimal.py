"""The smallest arena, against a search that tries every placement and against what is known."""

import importlib

import jax.numpy as jnp
import numpy as np
import pytest
from oracle import NOWHERE, SlowArena

from jaxmem.arena.arena import NEVER
from jaxmem.evaluation.arena_needed import arena_needed
from jaxmem.evaluation.optimal import smallest_arena
from jaxmem.policies import policy
from jaxmem.workloads.peaks import peak_live
from jaxmem.workloads.registry import Workload
from jaxmem.workloads.requests import requests_of

needs_ortools = pytest.mark.skipif(
    importlib.util.find_spec("ortools") is None, reason="OR-tools is not installed"
)


def serves(size, lifetime, start, cells):
    """Whether the slow arena takes every block at its start; it refuses overlaps itself."""
    arena = SlowArena(cells)
    for now, (asked, lives, at) in enumerate(zip(size, lifetime, start, strict=True)):
        arena.tick(now)
        if at == NOWHERE or at not in arena.legal_starts(asked):
            return False
        arena.place(int(at), int(asked), now + int(lives))
    return True


def can_be_served(size, lifetime, cells, now=0, free_from=None):
    """Whether any addresses serve the requests from `now` on, trying all; cells are free from..."""
    free_from = free_from or [0] * cells
    if now == len(size):
        return True
    for start in range(cells - size[now] + 1):
        block = range(start, start + size[now])
        if all(free_from[cell] <= now for cell in block):
            after = [
                now + lifetime[now] if c in block else time for c, time in enumerate(free_from)
            ]
            if can_be_served(size, lifetime, cells, now + 1, after):
                return True
    return False


@needs_ortools
@pytest.mark.parametrize("seed", range(6))
def test_no_search_finds_a_smaller_arena(seed):
    random = np.random.default_rng(seed)
    size, lifetime = random.integers(1, 5, 6), random.integers(1, 5, 6)
    lower, upper, start = smallest_arena(size, lifetime)
    assert lower == upper
    assert serves(size, lifetime, start, upper)
    assert not can_be_served(size.tolist(), lifetime.tolist(), upper - 1)


@needs_ortools
def test_peak_live_may_not_be_enough_for_anyone():
    size, lifetime = [3, 3, 1, 3, 2, 2, 2, 3, 2, 3, 3], [8, 4, 1, 1, 6, 2, 3, 8, 2, 5, 1]
    lower, upper, start = smallest_arena(size, lifetime)
    assert lower == upper == 11
    assert serves(size, lifetime, start, 11)
    requests = requests_of(jnp.array([size]), jnp.array([lifetime]))
    assert peak_live(requests).tolist() == [10]
    assert not can_be_served(size, lifetime, 10)


@needs_ortools
def test_between_peak_live_and_what_best_fit_needs():
    random = np.random.default_rng(3)
    size, lifetime = random.integers(1, 9, (2, 30)), random.integers(1, 16, (2, 30))
    lifetime[:, 7] = NEVER
    requests = requests_of(jnp.asarray(size), jnp.asarray(lifetime))
    task = Workload(name="made", cells=1, draw=lambda *_: requests, length=30, warmup=0)
    needed = arena_needed(policy("best"), requests, task, seed=0)
    proven = 0
    for row, peak in enumerate(peak_live(requests)):
        lower, upper, start = smallest_arena(size[row], lifetime[row], seconds=1)
        assert peak <= lower <= upper <= needed[row]
        assert serves(size[row], lifetime[row], start, upper)
        assert start.min() == 0
        proven += lower == upper < needed[row]
    assert proven > 0


@needs_ortools
def test_without_time_there_is_still_an_arena_that_does():
    random = np.random.default_rng(0)
    size, lifetime = random.integers(1, 30, 150), random.integers(1, 60, 150)
    lower, upper, start = smallest_arena(size, lifetime, seconds=1e-3)
    assert lower < upper
    assert serves(size, lifetime, start, upper)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": []}, r"size is float64\[0\]; it must be whole numbers, one for each"),
        ({"size": [[1, 2]]}, r"size is int64\[1, 2\]"),
        ({"lifetime": [1.5, 2.0]}, r"lifetime is float64\[2\]; it must be whole numbers"),
        ({"size": [3, 0]}, "size has 0; it must be at least 1"),
        ({"lifetime": [-1, 2]}, "lifetime has -1; it must be at least 1"),
        ({"lifetime": [1, 2, 3]}, "size has 2 requests and lifetime 3"),
        ({"seconds": 0}, "seconds is 0; it must be a number above 0"),
        ({"seconds": float("nan")}, "seconds is nan"),
        ({"seconds": "1"}, "seconds is '1'"),
        ({"seed": -1}, "seed is -1; it must be a whole number from 0"),
    ],
)
def test_bad_input_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        smallest_arena(**{"size": [1, 2], "lifetime": [2, 1], **wrong})


def test_without_ortools_the_extra_is_named(monkeypatch):
    def missing(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ImportError, match=r"uv run --extra optimal python"):
        smallest_arena([1, 2], [2, 1])
