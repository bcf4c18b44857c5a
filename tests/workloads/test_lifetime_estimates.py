"""What is foretold of a request is counted from those before it, and from nothing else."""

import math

import chex
import jax
import numpy as np
import pytest

from jaxmem.arena.arena import NEVER
from jaxmem.evaluation.run import failed_share
from jaxmem.policies import policy
from jaxmem.workloads.lifetime_estimates import CLASSES, PER_OCTAVE, SHARE, estimate_lifetimes
from jaxmem.workloads.registry import workload
from jaxmem.workloads.requests import requests_of

LENGTH = 60


def drawn(seed, sequences=3, length=LENGTH):
    """Sizes of two kinds, lifetimes short and long, some blocks that are never freed."""
    random = np.random.default_rng(seed)
    size = random.choice([1, 2, 3, 5, 7, 11, 300, 2**21], (sequences, length))
    lifetime = random.geometric(0.15, (sequences, length))
    lifetime[random.random((sequences, length)) < 0.1] = NEVER
    return requests_of(size, lifetime)


def counted(size, lifetime, at):
    """The hint of request `at`, block by block."""
    number = [min(max(round(PER_OCTAVE * math.log2(s)), 0), CLASSES - 1) for s in size]
    lived = deaths = 0.0
    for before in range(at):
        weight = SHARE ** abs(number[before] - number[at])
        dead = before + lifetime[before] <= at
        deaths += weight * dead
        lived += weight * min(lifetime[before], at - before)
    return lived / deaths if deaths >= 1 else 0.0


@pytest.mark.parametrize("seed", range(4))
def test_hints_are_those_counted_block_by_block(seed):
    requests = drawn(seed)
    size, lifetime = np.asarray(requests.size), np.asarray(requests.lifetime)
    expected = [
        [counted(size[p], lifetime[p], at) for at in range(LENGTH)] for p in range(len(size))
    ]
    hint = np.asarray(estimate_lifetimes(requests).hint)
    np.testing.assert_allclose(hint, expected, rtol=1e-4)
    assert (hint > 0).mean() > 0.5
    assert (hint[:, 0] == 0).all()


def test_nothing_later_is_looked_at():
    requests, cut = drawn(7), 31
    other = drawn(8)
    mixed = jax.tree.map(
        lambda one, two: np.concatenate([one[:, :cut], two[:, cut:]], axis=1), requests, other
    )
    # Lifetimes that end after the cut are later, too.
    born = np.arange(LENGTH)
    alive = (born < cut) & (born + np.asarray(requests.lifetime) > cut)
    changed = mixed.replace(lifetime=np.where(alive, NEVER, mixed.lifetime))
    ours, theirs = estimate_lifetimes(requests).hint, estimate_lifetimes(changed).hint
    chex.assert_trees_all_equal(ours[:, : cut + 1][:, :cut], theirs[:, :cut])
    assert not np.array_equal(ours, theirs)


def test_only_the_hints_change():
    requests = drawn(3)
    told = estimate_lifetimes(requests)
    chex.assert_trees_all_equal(told.replace(hint=requests.hint), requests)


def test_a_size_that_always_lives_as_long_is_foretold_exactly():
    size = np.tile([1, 64], (1, 40))
    told = estimate_lifetimes(requests_of(size, np.where(size == 1, 4, 12)))
    late = np.asarray(told.hint)[0, 50:]
    # The blocks that still live make it a little longer than it is.
    assert np.all((late[::2] > 4) & (late[::2] < 5) & (late[1::2] > 12) & (late[1::2] < 16))


def test_one_request_and_blocks_without_end_foretell_nothing():
    assert (
        float(estimate_lifetimes(requests_of(np.array([[5]]), np.array([[1]]))).hint[0, 0]) == 0.0
    )
    assert not np.asarray(
        estimate_lifetimes(requests_of(np.full((1, 9), 5), np.full((1, 9), NEVER))).hint
    ).any()


def test_a_workload_with_foretell_has_the_same_requests_with_hints():
    plain, told = workload("comb"), workload("comb", lifetime_hints="estimated")
    assert told.has_hints
    assert not plain.has_hints
    requests, hinted = (task.requests("train", 5, 4) for task in (plain, told))
    chex.assert_trees_all_equal(estimate_lifetimes(requests), hinted)


def test_a_policy_that_foretells_plays_as_if_it_had_the_hints():
    plain, told = workload("training-step"), workload("training-step", lifetime_hints="estimated")
    knows = policy("hint_fit").replace(estimates_lifetimes=True)
    requests = plain.requests("validation", 0, 16)
    ours = failed_share(knows, requests, plain)
    assert ours == failed_share(policy("hint_fit"), estimate_lifetimes(requests), told)
    assert ours < failed_share(policy("hint_fit"), requests, plain)  # which is best fit


def test_hints_that_there_are_stay():
    task = workload("training-step", lifetime_hints="oracle")
    requests = task.requests("validation", 0, 4)
    assert (
        policy("hint_fit").replace(estimates_lifetimes=True).told(requests, task.has_hints)
        is requests
    )


def test_hints_of_two_kinds_are_refused():
    with pytest.raises(ValueError, match="lifetime_hints is 'class'; none, oracle or estimated"):
        workload("training-step", lifetime_hints="class")
    with pytest.raises(ValueError, match="lifetime_hints is True; none or estimated"):
        workload("comb", lifetime_hints=True)
