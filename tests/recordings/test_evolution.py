"""Weights learned by evolution: what sizes tell, what a loss is, and that it falls."""

import sys
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem.arena.arena import NEVER
from jaxmem.recordings import Recording, evolution
from jaxmem.recordings.evolution import ARENA, EvolutionConfig, evolve, prior_of
from jaxmem.recordings.hole_scorer import HOLE_FEATURES, PRIOR, HoleScorer
from jaxmem.recordings.replay import events_of, replay
from jaxmem.recordings.side_by_side import arenas_of, side_by_side

CONFIG = EvolutionConfig(
    generations=6, population=8, recordings=4, factors=(1.0, 1.2), slots=16, seed=3
)
NOTHING = np.zeros(len(PRIOR), np.float32)


def weights(**values) -> np.ndarray:
    named = {name.replace("_", " "): value for name, value in values.items()}
    assert set(named) <= set(HOLE_FEATURES)
    return np.array([named.get(name, 0.0) for name in HOLE_FEATURES], np.float32)


def mixed_program(seed: int) -> Recording:
    """Large blocks that soon go, between small ones that stay: apart they fit, in turn they do not.

    Whoever puts the small ones behind large ones breaks the space that larger ones need.
    """
    random = np.random.default_rng(seed)
    size, lifetime = [], []
    for large in range(16, 36):
        size += [large + int(random.integers(3)), 1]
        lifetime += [2, NEVER]
    return Recording(f"mixed {seed}", np.array(size), np.array(lifetime))


@pytest.fixture(scope="module")
def streams():
    return [events_of(mixed_program(seed), 1) for seed in range(4)]


def made(told, begins, requests=4000, seed=0):
    """A program whose lifetimes are exp(told(size)), those of its first requests longer.

    told, begins: of the logarithm of the size in bytes.
    """
    random = np.random.default_rng(seed)
    size = np.exp(random.uniform(np.log(100), np.log(20_000), requests)).astype(np.int64)
    number, first = np.arange(requests), 300
    logarithm = told(np.log(size)) + np.where(number < first, begins(np.log(size)), 0)
    lifetime = np.maximum(1, np.rint(np.exp(logarithm))).astype(np.int64)
    assert lifetime[:first].min() >= first
    lifetime[0] = first  # from here on something has been freed
    return Recording("made", size, lifetime)


@pytest.mark.parametrize(("slope", "bend"), [(0.3, 0.0), (-0.2, 0.0), (0.2, 0.1)])
def test_the_prior_finds_what_lifetimes_were_made_of(slope, bend):
    about = np.log(1500)
    recording = made(
        lambda size: 3.0 + slope * (size - about) + bend * (size - about) ** 2,
        lambda size: 3.8 - slope * (size - about) - bend * (size - about) ** 2,
    )
    far = np.log(ARENA * recording.peak_live) - about  # from that size to the arena
    expected = [3 + slope * far + bend * far**2, slope + 2 * bend * far, bend]
    found = prior_of([recording])
    assert found.dtype == np.float32
    # Begins has a bend of its own, which two numbers cannot follow: the share of it is small.
    np.testing.assert_allclose(found[:3], expected, rtol=0.1, atol=0.05)
    size = np.log(recording.size[300:] / (ARENA * recording.peak_live))
    told = found[0] + found[1] * size + found[2] * size**2
    np.testing.assert_allclose(told, np.log(recording.lifetime[300:]), atol=0.2)
    size = np.log(recording.size[1:300] / (ARENA * recording.peak_live))
    told = found[0] + found[1] * size + found[2] * size**2 + found[3] + found[4] * size
    assert abs(np.mean(told - np.log(recording.lifetime[1:300]))) < 0.1


def test_no_lifetime_is_told_beyond_the_end():
    size = np.full(50, 8)
    found = prior_of([Recording("stay", size, np.full(50, NEVER))])
    share = np.log(8 / (ARENA * 400))
    told = found @ np.array([1, share, share**2, 1, share], np.float32)
    assert told == pytest.approx(np.mean(np.log(np.arange(1, 51))), abs=0.02)


def losses(players, streams, factors) -> np.ndarray:
    """By the program that `CONFIG` has compiled: of four streams, two arenas and eight weights."""
    assert (len(streams), len(factors)) == (CONFIG.recordings, len(CONFIG.factors))
    chunks, blocks = side_by_side(streams)
    filled = [*players, *[players[0]] * (CONFIG.population - len(players))]
    prior = jnp.zeros((len(filled), len(NOTHING)))
    scorers = HoleScorer(jnp.asarray(np.stack(filled)), prior)
    cells = arenas_of(streams, factors)
    found = evolution._losses(scorers, chunks, cells, CONFIG.slots, blocks)
    return np.asarray(found)[: len(players)]


def slow_loss(player, streams, factors) -> float:
    """From replays: 1/2, and half of the share of events from the first failure on."""
    found = []
    length = max(len(events.frees) for events in streams)
    for events in streams:
        for factor in factors:
            scorer = HoleScorer(jnp.asarray(player), jnp.asarray(NOTHING))
            failed = replay(events, int(factor * events.peak_live), scorer).failed
            when = np.flatnonzero(~events.frees)[failed]
            share = 1 - (when[0] + 0.5) / length if failed.any() else -1
            found.append(0.5 + share / 2)
    return float(np.mean(found))


def test_a_loss_is_that_of_the_first_failures_of_replays(streams):
    short = Recording("short", np.array([3, 2, 9]), np.array([1, NEVER, NEVER]))
    streams = [*streams[:3], events_of(short, 1)]
    random = np.random.default_rng(0)
    players = [random.normal(size=len(HOLE_FEATURES)).astype(np.float32) for _ in range(4)]
    factors = (1.0, 1.3)
    found = losses(players, streams, factors)
    expected = [slow_loss(player, streams, factors) for player in players]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found.max() > 0


def test_who_serves_all_has_no_loss_and_who_serves_nothing_nearly_1(streams):
    apart, together = weights(**{"address*size": 3.0}), weights(largest=1.0)
    assert losses([apart, together], streams, (1.6, 3.0))[0] == 0
    assert 0.99 < losses([apart], streams, (0.01, 0.02)).item() <= 1


def test_an_arena_with_more_holes_than_slots_has_failed():
    pairs = 2 * CONFIG.slots  # of which one goes, all of those at once
    lifetime = np.full(2 * pairs + 1, NEVER)
    lifetime[1:-1:2] = 2 * pairs - np.arange(1, 2 * pairs, 2)
    comb = events_of(Recording("comb", np.full(2 * pairs + 1, 8), lifetime), 1)
    player, streams = weights(lowest=1.0), [comb] * CONFIG.recordings
    assert slow_loss(player, streams, (1.0,)) == 0
    assert losses([player], streams, (1.0, 1.0)) > 0.5


def test_weights_are_learned_that_keep_small_blocks_apart(streams, monkeypatch):
    # From nothing, not from weights that keep them apart already.
    monkeypatch.setattr(evolution, "BEGINNING", {"largest": 0.3})
    turns = list(evolve(streams, NOTHING, CONFIG))
    assert len(turns) == CONFIG.generations
    begun, learned = losses(
        [weights(largest=0.3), turns[-1][0].weights], streams, CONFIG.factors
    ).tolist()
    assert learned < 0.7 * begun
    assert turns[-1][1] < turns[0][1]
    np.testing.assert_array_equal(turns[-1][0].prior, NOTHING)
    again = list(evolve(streams, NOTHING, replace(CONFIG, generations=3)))
    for (one, loss), (two, other) in zip(turns, again, strict=False):
        np.testing.assert_array_equal(one.weights, two.weights)
        assert loss == other
    one, two = (scorer.weights for scorer, _ in turns[:2])
    assert (one != two).any()


def test_without_recordings_there_is_nothing_to_learn_from():
    with pytest.raises(ValueError, match="no recordings to learn from; at least one is needed"):
        next(evolve([], NOTHING))


def test_without_cma_the_extra_is_named(streams, monkeypatch):
    monkeypatch.setitem(sys.modules, "cma", None)
    with pytest.raises(ModuleNotFoundError, match=r"uv run --extra evolution python"):
        next(evolve(streams, NOTHING))
