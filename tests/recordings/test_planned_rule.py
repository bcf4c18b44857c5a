"""Class rules with a plan: every placement against the slow oracle, and alone as side by side."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slow_classes import slow_starts

from jaxmem.arena.arena import NEVER, NOWHERE
from jaxmem.recordings import Recording
from jaxmem.recordings.class_rule import SMALL, RuleNumbers, all_rules, class_rule, class_rules
from jaxmem.recordings.hole_table import HoleTable, new_hole_table
from jaxmem.recordings.planned_rule import MISSED, PlannedRule
from jaxmem.recordings.replay import events_of, replay
from jaxmem.recordings.side_by_side import arenas_of, events_served, side_by_side


def made(seed: int, requests: int = 250):
    """Events of which most have slots, some of them taken, beyond the arena, or in the way."""
    random = np.random.default_rng(seed)
    lifetime = np.where(random.random(requests) < 0.03, NEVER, random.integers(1, 40, requests))
    events = events_of(Recording("made", random.integers(1, 14, requests), lifetime), 1)
    planned = random.integers(0, int(1.3 * events.peak_live), requests)
    planned = np.where(random.random(requests) < 0.1, MISSED, planned)
    planned = np.where(random.random(requests) < 0.3, NOWHERE, planned).astype(np.int32)
    foretold = random.choice([0, 5, 50, 500], requests).astype(np.int32)
    return replace(events, foretold=foretold, planned=planned)


@pytest.mark.parametrize("seed", range(24))
def test_every_block_goes_where_the_oracle_puts_it(seed):
    random = np.random.default_rng(seed)
    events = made(seed)
    first, second, third, fourth = random.integers(0, 4, 4).tolist()
    rule = RuleNumbers(30, int(random.choice(SMALL)), (first, second, third, fourth))
    run = events.recording
    for factor in (0.9, 1.3, 2.0):
        cells = int(factor * events.peak_live)
        played = replay(events, cells, PlannedRule(class_rule(rule))).start
        expected = slow_starts(
            *(rule, cells, run.size.tolist(), run.lifetime.tolist()),
            *(events.foretold, events.planned.tolist()),
        )
        assert played.tolist() == expected
        assert 0 < np.count_nonzero(played == events.planned) < run.requests
    without = replace(events, planned=None)
    np.testing.assert_array_equal(
        replay(without, cells, PlannedRule(class_rule(rule))).start,
        replay(without, cells, class_rule(rule)).start,
    )


def test_side_by_side_each_player_comes_as_far_as_in_a_replay():
    streams, rules = [made(1, 90), made(2, 60)], all_rules()[1::777]
    chunks, blocks = side_by_side(streams)
    cells = arenas_of(streams, (1.0, 1.3))
    served = events_served(PlannedRule(class_rules(rules)), chunks, cells, 64, blocks)
    length = chunks.frees.shape[-1]
    for player, stream, arena in np.ndindex(*served.shape):
        events = streams[stream]
        failed = replay(events, int(cells[stream, arena]), PlannedRule(class_rule(rules[player])))
        alone = np.flatnonzero(~events.frees)[failed.failed]
        assert served[player, stream, arena] == (alone[0] if alone.size else length)
    assert served.min() < length == served.max()


def placed_at(start: int, size: int, slots: int = 3) -> tuple[int, list[tuple[int, int]], bool]:
    """The start, the holes and whether one found no slot, in an arena of the units 10 to 20."""
    table = new_hole_table(20, slots)
    table = table.replace(low=table.low.at[0].set(10))
    after, found = jax.jit(HoleTable.place_at)(table, jnp.int32(size), jnp.int32(start))
    pairs = zip(after.low.tolist(), after.high.tolist(), strict=True)
    return int(found), sorted(pair for pair in pairs if pair[0] < pair[1]), bool(after.full)


@pytest.mark.parametrize(
    ("start", "size", "found", "holes"),
    [
        (10, 10, 10, []),
        (10, 4, 10, [(14, 20)]),
        (16, 4, 16, [(10, 16)]),
        (13, 4, 13, [(10, 13), (17, 20)]),
        (9, 2, NOWHERE, [(10, 20)]),
        (18, 3, NOWHERE, [(10, 20)]),
        (2**31 - 2, 5, NOWHERE, [(10, 20)]),
        (NOWHERE, 1, NOWHERE, [(10, 20)]),
        (MISSED, 1, NOWHERE, [(10, 20)]),
    ],
)
def test_a_block_leaves_what_is_free_on_both_sides(start, size, found, holes):
    assert placed_at(start, size) == (found, holes, False)


def test_a_hole_that_finds_no_slot_is_told():
    table = new_hole_table(20, 2)
    table, _ = table.place_at(jnp.int32(2), jnp.int32(4))
    assert not table.full
    table, start = table.place_at(jnp.int32(2), jnp.int32(10))
    assert start == 10
    assert table.full
