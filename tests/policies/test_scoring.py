"""A network that reads only the candidates that exist values them as if it read all rows."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import scorer_weights
from repetition import slow

from jaxmem.environment import observations
from jaxmem.environment.observations import (
    BINS,
    FEATURES,
    GROUPS,
    OVERVIEW,
    RANGES,
    Packed,
    candidates,
)
from jaxmem.policies import policy_file, scoring
from jaxmem.policies.networks import Scorer
from jaxmem.policies.q_functions import CandidateQ
from jaxmem.policies.scoring import score_candidates

HOLES = 4
ACTIONS = 2 * HOLES + 1
NETWORK = Scorer((8,))


@pytest.fixture(scope="module")
def parameters():
    return scorer_weights(NETWORK.hidden_sizes)


def situations(counts, seed=0) -> Packed:
    """Made-up situations with these numbers of holes."""
    rng = np.random.default_rng(seed)
    count = np.asarray(counts, np.int32)
    shape = (len(count), HOLES)
    size = rng.integers(1, 9, len(count)).astype(np.int32)
    length = size[:, None] + rng.integers(0, 20, shape)
    columns = [rng.integers(0, 60, shape), length, *rng.integers(0, 9, (6, *shape))]
    return Packed(
        holes=jnp.asarray(np.stack(columns, axis=-1), jnp.int32),
        size=jnp.asarray(size),
        cells=jnp.full(len(count), 100, jnp.int32),
        hint=jnp.asarray(rng.uniform(0, 9, len(count)), jnp.float32),
        count=jnp.asarray(count),
        shortest=jnp.asarray(length.min(axis=1), jnp.int32),
        longest=jnp.asarray(length.max(axis=1), jnp.int32),
        histogram=jnp.asarray(rng.integers(0, 5, (len(count), BINS)), jnp.int32),
        overview=jnp.asarray(rng.normal(size=(len(count), len(OVERVIEW))), jnp.float32),
    )


rows_of = jax.jit(jax.vmap(candidates))
values_of = jax.jit(NETWORK.apply)


@functools.cache
def reader(chunk):
    """What is tested, compiled once for each number of rows that are read together."""
    del chunk  # set in the module
    return jax.jit(
        jax.vmap(lambda network, packed: score_candidates(NETWORK, network, packed), (None, 0))
    )


def all_values(parameters, packed):
    """By reading every row, also of candidates that there are not."""
    values = np.asarray(values_of(parameters, rows_of(packed)))
    count = np.asarray(packed.count)[:, None]
    action = np.arange(ACTIONS)
    legal = np.where(action == ACTIONS - 1, count == 0, action < 2 * count)
    return np.where(legal, values, -np.inf)


COUNTS = {  # mostly as many situations, which one program reads
    "one situation": [3],
    "nothing fits anywhere": [0] * 11,
    "everything exists": [HOLES] * 11,
    "mixed": [0, 1, 4, 2, 0, 0, 3, 1, 1, 4, 0],
    "first and last refuse": [0, 0, 0, 0, 2, 4, 0, 0, 0, 0, 0],
}


@pytest.mark.parametrize("counts", COUNTS.values(), ids=COUNTS)
@pytest.mark.parametrize("chunk", [5, *slow(1, 256)])
def test_values_are_those_of_all_rows(counts, chunk, parameters, monkeypatch):
    monkeypatch.setattr(scoring, "ROWS_AT_ONCE", chunk)
    packed = situations(counts)
    values = np.asarray(reader(chunk)(parameters, packed))
    np.testing.assert_allclose(values, all_values(parameters, packed), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(
        np.isfinite(values).sum(axis=1), np.maximum(2 * np.array(counts), 1)
    )


@pytest.mark.parametrize("seed", range(4))
def test_random_situations_agree(seed, parameters):
    packed = situations(np.random.default_rng(seed).integers(0, HOLES + 1, 300), seed)
    values = reader(scoring.ROWS_AT_ONCE)(parameters, packed)
    np.testing.assert_allclose(values, all_values(parameters, packed), rtol=1e-5, atol=1e-5)


def test_one_situation_needs_no_vmap(parameters):
    packed = situations([2])
    alone = jax.tree.map(lambda leaf: leaf[0], packed)
    values = jax.jit(lambda packed: score_candidates(NETWORK, parameters, packed))(alone)
    np.testing.assert_allclose(values, all_values(parameters, packed)[0], rtol=1e-5, atol=1e-5)


def test_situations_may_have_a_network_each(parameters):
    """As where the members of a grid are mapped over."""
    packed = situations([2, 0, 4])
    networks = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf, -leaf]), parameters)
    read = jax.jit(jax.vmap(lambda network, packed: score_candidates(NETWORK, network, packed)))
    values = np.asarray(read(networks, packed))
    for number in range(3):
        own = jax.tree.map(lambda leaf, number=number: leaf[number], networks)
        expected = all_values(own, packed)[number]
        np.testing.assert_allclose(values[number], expected, rtol=1e-5, atol=1e-5)


def test_members_of_a_grid_share_their_situations(parameters):
    """Two mapped axes: networks outside, situations inside."""
    packed = situations([2, 0, 4, 1])
    networks = jax.tree.map(lambda leaf: jnp.stack([leaf, -leaf]), parameters)
    inner = jax.vmap(lambda network, packed: score_candidates(NETWORK, network, packed), (None, 0))
    values = np.asarray(jax.jit(jax.vmap(inner, (0, None)))(networks, packed))
    for number in range(2):
        own = jax.tree.map(lambda leaf, number=number: leaf[number], networks)
        expected = all_values(own, packed)
        np.testing.assert_allclose(values[number], expected, rtol=1e-5, atol=1e-5)


def test_other_counts_of_holes_do_not_compile_anew(parameters):
    chex.clear_trace_counter()

    @jax.jit
    @jax.vmap
    @chex.assert_max_traces(n=1)
    def read(packed):
        return score_candidates(NETWORK, parameters, packed)

    for counts in ([0, 0, 0], [4, 4, 4], [1, 0, 2]):
        values = read(situations(counts))
        assert np.isfinite(values).sum() == sum(max(2 * count, 1) for count in counts)


@pytest.mark.parametrize("group", GROUPS)
def test_what_a_network_is_blind_to_has_no_influence_on_a_value(group, parameters):
    rows = rows_of(situations([2, 0, 4]))
    columns = np.isin(FEATURES, GROUPS[group])
    other = np.random.default_rng(1).normal(size=rows.shape).astype(np.float32)
    blind, seeing = CandidateQ(HOLES, (8,), (group,)), CandidateQ(HOLES, (8,))
    value = blind.value(parameters, rows)
    changed = jnp.where(columns, other, rows)
    np.testing.assert_array_equal(blind.value(parameters, changed), value)
    assert (seeing.value(parameters, changed) != seeing.value(parameters, rows)).all()
    assert (blind.value(parameters, jnp.where(columns, rows, other)) != value).all()


def test_a_network_may_be_blind_to_several_groups_or_all(parameters):
    rows = rows_of(situations([2, 0, 4]))
    no_rows = jnp.zeros_like(rows)
    blind = CandidateQ(HOLES, (8,), tuple(GROUPS))
    np.testing.assert_array_equal(blind.value(parameters, rows), NETWORK.apply(parameters, no_rows))
    two = GROUPS["hole"] + GROUPS["segments"]
    np.testing.assert_array_equal(
        CandidateQ(HOLES, (8,), ("hole", "segments")).value(parameters, rows),
        NETWORK.apply(parameters, jnp.where(np.isin(FEATURES, two), 0.0, rows)),
    )


def test_a_new_feature_changes_the_values_of_no_policy_that_is_shipped(monkeypatch):
    packed = situations([0, 1, 4, 2, 3])

    def values():
        found, read = {}, {}
        for name in policy_file.SHIPPED:
            network, card = policy_file.read_policy(name)
            q = card.q
            if q not in read:
                read[q] = jax.jit(
                    jax.vmap(lambda network, one, q=q: q.values(network, one), (None, 0))
                )
            found[name] = np.asarray(read[q](network, packed))
        return found

    before, computed, traced = values(), observations._candidate, []

    def with_another(here, number, high):
        traced.append(number)
        return {"hole_number": number / 8.0, **computed(here, number, high)}

    named = {"hole_number": (0.0, 1.0), **observations._CANDIDATE}
    monkeypatch.setattr(observations, "_candidate", with_another)
    monkeypatch.setattr(observations, "_CANDIDATE", named)
    for module in (observations, policy_file):
        monkeypatch.setattr(module, "FEATURES", ("hole_number", *RANGES))
    after = values()
    assert traced
    assert after.keys() == before.keys()
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value)
