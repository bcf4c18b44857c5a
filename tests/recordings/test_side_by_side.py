"""Players in many arenas side by side: each comes as far as in a replay of its own."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem.arena.arena import NEVER
from jaxmem.recordings import Recording
from jaxmem.recordings.class_rule import all_rules, class_rule, class_rules
from jaxmem.recordings.replay import events_of, replay
from jaxmem.recordings.side_by_side import arenas_of, events_served, side_by_side

RULES = all_rules()[1::333]
SLOTS = 32


def made(seed: int, requests: int):
    random = np.random.default_rng(seed)
    lifetime = np.where(random.random(requests) < 0.2, NEVER, random.integers(1, 20, requests))
    foretold = random.choice([0, 5, 50, 500, NEVER], requests).astype(np.int32)
    events = events_of(Recording("made", random.integers(1, 30, requests), lifetime), 1)
    return replace(events, foretold=foretold)


@pytest.fixture(scope="module")
def streams():
    """Three recordings of unlike lengths, which are filled up."""
    return [made(1, 90), made(2, 40), made(3, 77)]


def slow_served(rule, events, cells: int, length: int) -> int:
    """Events before that of the first request that fails; all, and what fills up, if none does."""
    failed = replay(events, cells, class_rule(rule)).failed
    return int(np.flatnonzero(~events.frees)[failed][0]) if failed.any() else length


def check(streams, served, cells) -> None:
    length = max(len(events.frees) for events in streams)
    for place in np.ndindex(*served.shape):
        player, stream, arena = place
        of = cells[player, stream, arena] if cells.ndim == 3 else cells[stream, arena]
        assert served[place] == slow_served(RULES[player], streams[stream], int(of), length)
    assert served.min() < length == served.max()


def test_each_player_comes_as_far_as_in_a_replay(streams):
    chunks, blocks = side_by_side(streams)
    cells = arenas_of(streams, (0.9, 1.1, 1.6))
    expected = [[int(f * events.peak_live) for f in (0.9, 1.1, 1.6)] for events in streams]
    np.testing.assert_array_equal(cells, expected)
    served = events_served(class_rules(RULES), chunks, cells, SLOTS, blocks)
    assert served.shape == (len(RULES), 3, 3)
    check(streams, np.asarray(served), np.asarray(cells))


def test_each_player_may_have_arenas_of_its_own(streams):
    chunks, blocks = side_by_side(streams)
    factors = np.linspace(0.9, 1.6, 2 * len(RULES)).reshape(len(RULES), 1, 2)
    peak = np.array([events.peak_live for events in streams])[None, :, None]
    cells = jnp.asarray(factors * peak, jnp.int32)
    served = events_served(class_rules(RULES), chunks, cells, SLOTS, blocks)
    check(streams, np.asarray(served), np.asarray(cells))


def test_what_fills_up_a_shorter_recording_frees_no_block(streams):
    chunks, blocks = side_by_side(streams)
    assert blocks == 1 + max(events.blocks for events in streams)
    for at, events in enumerate(streams):
        filled = np.asarray(chunks.frees[at])[len(events.frees) :]
        assert filled.all()
        numbers = np.asarray(chunks.block[at])
        np.testing.assert_array_equal(numbers[: len(events.block)], events.block)
        assert (numbers[len(events.block) :] == blocks - 1).all()


def test_an_arena_with_more_holes_than_slots_has_failed_there():
    holes = 2 * SLOTS  # every other block goes, all of those at once
    lifetime = np.full(2 * holes + 1, NEVER)
    lifetime[1:-1:2] = 2 * holes - np.arange(1, 2 * holes, 2)
    comb = events_of(Recording("comb", np.full(2 * holes + 1, 8), lifetime), 1)
    chunks, blocks = side_by_side([comb])
    rules, cells = class_rules(RULES[:1]), arenas_of([comb], (1.0,))
    for slots, expected in ((SLOTS, 2 * holes + SLOTS - 1), (4 * SLOTS, len(comb.frees))):
        assert events_served(rules, chunks, cells, slots, blocks).item() == expected
