"""Replays under learned scorers of holes, against an oracle that scores every hole in Python."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slow_scorer import SlowScorer

from jaxmem.arena.arena import NEVER
from jaxmem.recordings import Recording
from jaxmem.recordings import replay as replay_module
from jaxmem.recordings.hole_scorer import HOLE_FEATURES, PRIOR, HoleScorer
from jaxmem.recordings.replay import Played, events_of, replay, step

REQUESTS = 120
BLOCKS = 2 * REQUESTS


def random_recording(seed: int, sites: bool = False) -> Recording:
    """Few or many sizes, short and long lifetimes, some blocks that are never freed."""
    random = np.random.default_rng(seed)
    most = int(random.choice([3, 12, 100]))
    lifetime = random.geometric(1 / random.choice([4, 15, 40]), REQUESTS)
    lifetime[random.random(REQUESTS) < 0.05] = NEVER
    site = random.integers(-1, 3, REQUESTS).astype(np.int32) if sites else None
    return Recording("made", random.integers(1, most + 1, REQUESTS), lifetime, site)


def random_scorer(seed: int) -> HoleScorer:
    random = np.random.default_rng(seed)
    weights = random.normal(size=len(HOLE_FEATURES)).astype(np.float32)
    return HoleScorer(
        jnp.asarray(weights), jnp.asarray(random.normal(size=len(PRIOR)).astype(np.float32))
    )


@jax.jit
def scanned(state, chunk, scorer):
    def turn(state, event):
        state, _ = step(state, event, scorer)
        return state, state.start[event.block]

    return jax.lax.scan(turn, state, chunk)


def starts_of(events, cells, scorer) -> np.ndarray:
    """Where every request is placed: int32[R]."""
    chunk = events.padded(2 * REQUESTS, BLOCKS - 1)
    state, starts = scanned(Played.new(cells, 64, BLOCKS), chunk, scorer)
    assert not state.table.full
    return np.asarray(starts)[: len(events.frees)][~events.frees]


def followed(recording, cells, scorer, alignment=1, given=0) -> SlowScorer:
    """The oracle after the replay that it has checked."""
    events = events_of(recording, alignment, given)
    starts = starts_of(events, cells, scorer).tolist()
    slow = SlowScorer(
        cells,
        dict(zip(HOLE_FEATURES, np.asarray(scorer.weights).tolist(), strict=True)),
        dict(zip(PRIOR, np.asarray(scorer.prior).tolist(), strict=True)),
    )
    site = recording.site if recording.site is not None else np.zeros(REQUESTS, np.int32)
    slow.follow(
        events.units.tolist(), recording.lifetime.tolist(), site.tolist(), starts, given
    )  # fmt: skip
    return slow


@pytest.mark.parametrize("sites", [False, True])
def test_each_block_goes_where_the_oracle_finds_the_highest_score(sites):
    scored = clear = failed = 0
    for seed in range(20):
        recording = random_recording(seed, sites)
        cells = int(np.random.default_rng(seed).choice([0.8, 1.0, 1.2]) * recording.peak_live)
        slow = followed(recording, cells, random_scorer(seed))
        scored, clear = scored + slow.scored, clear + slow.clear
        failed += slow.failed
    assert clear > 0.95 * scored > 1000
    assert failed > 50


def test_sizes_are_in_units_and_only_their_shares_of_the_arena_count():
    recording = random_recording(2)
    scorer = random_scorer(2)
    wide = Recording("wide", recording.size * 16, recording.lifetime)
    cells = recording.peak_live
    starts = starts_of(events_of(recording, 1), cells, scorer)
    np.testing.assert_array_equal(starts_of(events_of(wide, 16), cells, scorer), starts)
    scale = (2**31 - 2) // cells
    huge = Recording("huge", recording.size * scale, recording.lifetime)
    far = starts_of(events_of(huge, 1), cells * scale, scorer)
    np.testing.assert_array_equal(far, np.where(starts < 0, starts, starts * scale))


def test_best_fit_plays_while_blocks_are_tiny():
    random = np.random.default_rng(3)
    lifetime = random.geometric(1 / 6, REQUESTS)
    size = random.choice([1, 2, 30], REQUESTS, p=[0.6, 0.3, 0.1])
    slow = followed(Recording("made", size, lifetime), 4 * 256, random_scorer(3))
    assert slow.tiny > 10
    assert slow.scored > 10


@pytest.mark.parametrize("given", [1, 40, REQUESTS])
def test_best_fit_places_what_is_given(given):
    recording = random_recording(6)
    slow = followed(recording, recording.peak_live, random_scorer(6), given=given)
    assert (slow.scored == 0) == (given == REQUESTS)


def test_tables_follow_the_holes_from_chunk_to_chunk(monkeypatch):
    monkeypatch.setattr(replay_module, "EVENTS_PER_CHUNK", 32)
    monkeypatch.setattr(replay_module, "LEAST_SLOTS", 8)
    recording, scorer = random_recording(4), random_scorer(4)
    events = events_of(recording, 1)
    found = replay(events, recording.peak_live, scorer)
    starts = starts_of(events, recording.peak_live, scorer)
    assert found.failed.tolist() == (starts < 0).tolist()
    assert found.failed.any()
    assert found.most_holes > 8


def test_every_feature_has_one_weight():
    assert len(set(HOLE_FEATURES)) == len(HOLE_FEATURES)
    short = HoleScorer(jnp.zeros(len(HOLE_FEATURES) - 1), jnp.zeros(len(PRIOR)))
    recording = random_recording(0)
    with pytest.raises(ValueError, match="zip"):
        replay(events_of(recording, 1), recording.peak_live, short)
