"""Every policy plays every workload legally, whatever its parameters are."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import scorer_weights, weights_of
from oracle import NOWHERE, SlowArena
from repetition import slow

from jaxmem.evaluation.run import run
from jaxmem.policies import policy
from jaxmem.policies.learned import greedy, learned
from jaxmem.policies.q_functions import AddressQ
from jaxmem.rules import NAMES, RULES
from jaxmem.workloads.registry import workload

SEQUENCES, LENGTH, CELLS, CAPACITY = 24, 40, 40, 36
HOLES, HIDDEN_SIZES = 3, (8,)
TASKS = {
    "memoryless": workload("memoryless", CELLS, capacity=CAPACITY),
    "memoryless with a layout": replace(
        workload("memoryless", CELLS, capacity=CAPACITY), layout=((20, 4), (3, 5))
    ),
    "call-sites with hints": workload(
        "call-sites", CELLS, capacity=CAPACITY, lifetime_hints="class"
    ),
    "comb": workload("comb", CELLS, capacity=CAPACITY),
}


@pytest.fixture(scope="module")
def network():
    """Random parameters of a small Q-network."""
    return scorer_weights(HIDDEN_SIZES)


AGAIN = ("memoryless", "comb")  # the others have all of it


@pytest.fixture(
    scope="module", params=[*(name for name in TASKS if name not in AGAIN), *slow(*AGAIN)]
)
def task(request):
    return replace(TASKS[request.param], length=LENGTH)


@pytest.fixture(scope="module")
def requests(task):
    return task.requests("test", 0, SEQUENCES)


def player_of(name, network):
    if name == "learned":
        return learned(network, HOLES, HIDDEN_SIZES)
    if name == "learned addresses":
        q = AddressQ(CELLS, HIDDEN_SIZES)
        return greedy(q, weights_of(q.init))
    tuning = RULES[name].tuning
    kind = list(tuning.kinds)[len(tuning.kinds) // 2] if tuning else ()
    return policy(name, jnp.squeeze(jnp.int32([3, *kind])) if tuning else None)


def check_legal(starts, requests, task):
    """Replays the starts cell by cell: every block on free cells, and a refusal only in need."""
    size, lifetime = np.asarray(requests.size), np.asarray(requests.lifetime)
    for sequence, played in enumerate(np.asarray(starts)):
        arena = SlowArena(task.cells)
        for start, cells in task.layout:
            arena.place(start, cells, 2**30)
        for now, start in enumerate(played.tolist()):
            arena.tick(now)
            asked = int(size[sequence, now])
            assert start != NOWHERE or not arena.fitting(asked)
            arena.place(start, asked, now + int(lifetime[sequence, now]))


@pytest.mark.parametrize("name", [*NAMES, "learned", "learned addresses"])
def test_every_policy_plays_legally_and_serves_what_fits(name, task, requests, network):
    starts = run(player_of(name, network), requests, task).start
    assert starts.shape == (SEQUENCES, LENGTH)
    check_legal(starts, requests, task)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, -3e38])
@pytest.mark.parametrize("where", ["everywhere", "here and there"])
def test_a_learned_policy_stays_legal_with_spoilt_parameters(value, where, network):
    task = replace(TASKS["memoryless with a layout"], length=LENGTH)
    requests = task.requests("test", 0, SEQUENCES)
    share = 1.0 if where == "everywhere" else 0.02
    draw = np.random.default_rng(0)
    spoilt = jax.tree.map(
        lambda leaf: jnp.where(draw.random(leaf.shape) < share, value, leaf), network
    )
    check_legal(run(player_of("learned", spoilt), requests, task).start, requests, task)


def test_a_learned_policy_gives_ties_to_the_first_candidate(task, requests, network):
    flat = jax.tree.map(jnp.zeros_like, network)
    starts = run(player_of("learned", flat), requests, task).start
    np.testing.assert_array_equal(starts, run(policy("first"), requests, task).start)
