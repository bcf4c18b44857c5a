"""What is timed is a decision in the middle of a sequence."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem.arena import measures
from jaxmem.evaluation import decision_time
from jaxmem.evaluation.decision_time import ROUNDS, decision_nanoseconds
from jaxmem.evaluation.run import run
from jaxmem.policies import Policy, policy
from jaxmem.workloads.registry import Workload
from jaxmem.workloads.requests import requests_of

SEQUENCES, LENGTH, CELLS = 24, 40, 40


def draw(split, key, sequences, length):
    random = np.random.default_rng(2)
    shape = (sequences, length)
    return requests_of(random.integers(1, 9, shape), random.integers(1, 9, shape))


TASK = Workload(
    name="made", cells=CELLS, draw=draw, length=LENGTH, warmup=0, layout=((20, 3), (3, 5))
)


@pytest.fixture(scope="module")
def requests():
    return TASK.requests("test", 0, SEQUENCES)


def test_every_round_is_timed_and_time_passes(requests):
    nanoseconds = decision_nanoseconds(policy("first"), requests, TASK)
    assert nanoseconds.shape == (ROUNDS,)
    assert nanoseconds.dtype == np.float64
    assert (nanoseconds > 0).all()
    # A batch of decisions, not one, and each far below a millisecond.
    assert np.median(nanoseconds) < 1e6


def test_the_time_of_a_batch_is_shared_by_its_decisions(requests, monkeypatch):
    monkeypatch.setattr(decision_time.time, "perf_counter", itertools.count().__next__)
    monkeypatch.setattr(decision_time, "ARENAS", SEQUENCES)
    nanoseconds = decision_nanoseconds(policy("first"), requests, TASK)
    assert nanoseconds == pytest.approx([1e9 / SEQUENCES] * ROUNDS)


def test_the_situations_are_those_half_way_after_first_fit(requests, monkeypatch):
    monkeypatch.setattr(decision_time, "ARENAS", SEQUENCES)
    monkeypatch.setattr(decision_time, "ROUNDS", 2)
    seen = []

    def look(parameters, key, situation):
        arena = situation.arena
        shown = (arena.now, situation.size, measures.live_cells(arena), arena.high_water)
        jax.debug.callback(lambda *values: seen.append(tuple(map(int, values))), *shown)
        return jnp.int32(0)

    decision_nanoseconds(Policy(None, "look", look), requests, TASK)
    jax.effects_barrier()
    half = LENGTH // 2
    played = run(policy("first"), requests, TASK)
    columns = (requests.size, played.live, played.high_water)
    expected = zip(*(column[:, half].tolist() for column in columns), strict=True)
    assert set(seen) == {(half, *row) for row in expected}
    assert len(seen) == SEQUENCES * 3  # once to warm up, then every round
