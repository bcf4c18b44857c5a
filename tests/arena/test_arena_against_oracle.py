"""The bit-packed arena against the slow one: random requests, releases and ticks, step by step.

A `Script` is one random history. `play` runs it on the packed arena in one compiled scan and keeps
everything that the arena says at every step; `replay` does the same with the oracle. The claims
compare the two, quantity by quantity, for arenas of 1 to 4096 cells in both representations.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import FITS, NOWHERE, Side, SlowArena

from jaxmem.arena import bits, fits, measures
from jaxmem.arena.bitmap import (
    block_ends,
    block_starts,
    holes_that_fit,
    legal_starts,
    new_arena,
    place,
    release,
    tick,
)
from jaxmem.arena.settle import settle
from jaxmem.workloads.requests import NEVER

RULES = (*FITS, "last")
# How a step chooses its start: a rule, or one of these.
HIGH_END_OF_BEST, ANY_LEGAL, REFUSE, ADDRESS = range(len(RULES), len(RULES) + 4)
HOLES = 3
LAYOUT = 3  # steps that lay blocks at given addresses
NO_RELEASE = -1
SIDE = ("wall", "size", "age", "remaining")


class Script(NamedTuple):
    """One history: arrays int32[T]."""

    size: np.ndarray
    choice: np.ndarray  # number in RULES, HIGH_END_OF_BEST, ANY_LEGAL, REFUSE or ADDRESS
    expiry: np.ndarray
    forecast: np.ndarray
    freed: np.ndarray  # a cell whose block is released before the request
    pick: np.ndarray  # which legal start, for ANY_LEGAL; the start, for ADDRESS


class Shape(NamedTuple):
    """A shape of arena, and the sizes of arena that are played in it."""

    capacity: int
    cells: tuple[int, ...]
    horizon: int = 31  # the clock needs 5 bits, and never needs one more; 14: both need 4
    stacked: bool = False  # force the representation of large arenas


SHAPES = {
    "1 word": Shape(32, (1, 2, 3, 17, 24, 31, 32), horizon=63),
    "4 words": Shape(128, (33, 63, 64, 65, 90, 100, 112, 127, 128)),
    "8 words": Shape(256, (64, 129, 160, 192, 200, 224, 250, 255, 256), horizon=14),
    "4 words, stacked": Shape(128, (1, 2, 31, 32, 33, 64, 65, 100, 128), 62, stacked=True),
    "10 words": Shape(300, (257, 270, 280, 300)),
    "128 words": Shape(4096, (300, 1000, 3000, 4095, 4096)),
}


def random_script(rng: np.random.Generator, shape: Shape, cells: int) -> Script:
    """A history that fills the arena, with every kind of request that a caller may make."""
    steps = shape.horizon
    largest = max(1, int(cells * rng.choice([0.06, 0.15, 0.4])))
    size = rng.integers(1, largest, steps, endpoint=True)
    oversize = [cells, cells + 1, shape.capacity, shape.capacity + 1, 2**30, 2**31 - 1]
    size = np.where(rng.random(steps) < 0.1, rng.choice(oversize, steps), size)
    now = np.arange(steps)
    lifetime = np.maximum(1, rng.geometric(rng.choice([0.05, 0.15]), steps))
    at_the_horizon = shape.horizon - now + rng.integers(0, 3, steps)
    kind = rng.random(steps)
    lifetime = np.where(kind < 0.1, NEVER, np.where(kind < 0.25, at_the_horizon, lifetime))
    freed = rng.choice([-2, cells, cells + 1, shape.capacity + 40, *range(min(cells, 8))], steps)
    freed = np.where(rng.random(steps) < 0.7, rng.integers(0, cells, steps), freed)
    choice = rng.integers(0, REFUSE, steps, endpoint=True)
    pick = rng.integers(0, 2**20, steps)
    borders = np.sort(rng.integers(0, cells, 2 * LAYOUT, endpoint=True)).reshape(LAYOUT, 2)
    length = borders[:, 1] - borders[:, 0]
    choice[:LAYOUT] = np.where(length > 0, ADDRESS, REFUSE)
    pick[:LAYOUT] = borders[:, 0]
    size[:LAYOUT] = np.clip(length, 1, max(1, cells // 4))
    return Script(
        size=size,
        choice=choice,
        expiry=now + lifetime,
        forecast=np.where(rng.random(steps) < 0.3, 0, rng.integers(0, shape.horizon, steps)),
        freed=np.where(rng.random(steps) < 0.3, freed, NO_RELEASE),
        pick=pick,
    )


def packed_step(arena, step):
    """What the packed arena says before a placement, and the arena a request later."""
    size, choice, expiry, forecast, freed, pick = step
    asked = jnp.stack([freed, pick % arena.cells])
    found = {"block_starts": block_starts(arena, asked), "block_ends": block_ends(arena, asked)}
    # Borders in the program, which would take twice as long to compile without.
    arena = settle(arena.now, release(arena, freed))
    legal = legal_starts(arena, size)
    starts = [getattr(fits, rule)(arena, size) for rule in RULES]
    mask = legal.cells(arena.capacity)
    picked = jnp.argmax(jnp.cumsum(mask) == pick % jnp.maximum(jnp.sum(mask), 1) + 1)
    picked = jnp.where(legal.any(), picked, NOWHERE)
    to_high_end = partial(fits.to_high_end, arena, size=size)
    high_ends = jax.vmap(to_high_end)(jnp.stack([*starts, picked]))
    starts += [high_ends[RULES.index("best")], picked, NOWHERE, pick]
    starts = settle(arena.now, starts)
    start = jnp.stack(starts)[choice]
    found |= {f"{rule} fit": at for rule, at in zip(RULES, starts, strict=False)}
    found |= {
        "high_ends": high_ends,
        "start": start,
        "mask": mask,
        "taken": ~arena.free.cells(arena.capacity),
        "heads": arena.heads.cells(arena.capacity),
        "holes": holes_that_fit(arena, size, HOLES),
        "free": measures.free_cells(arena),
        "live": measures.live_cells(arena),
        "blocks": measures.live_blocks(arena),
        "hole_count": measures.hole_count(arena),
        "largest_hole": measures.largest_hole(arena),
        "external_fragmentation": measures.external_fragmentation(arena),
        "unusable_free": measures.unusable_free(arena, size),
        "hole_histogram": measures.hole_histogram(arena),
    }
    arena = place(arena, start, size, expiry, forecast)
    arena = tick(arena, arena.now + 1)
    found |= {"cursor": arena.cursor, "high_water": arena.high_water, "now": arena.now}
    return arena, found


@jax.jit
@jax.vmap
def play(arena, script):
    """Everything that packed arenas say while scripts are played on them."""
    return jax.lax.scan(packed_step, arena, script)[1]


def replay(cells: int, script: Script):
    """What the oracle says, step by step."""
    slow = SlowArena(cells)
    for time, step in enumerate(zip(*(column.tolist() for column in script), strict=True)):
        size, choice, expiry, forecast, freed, pick = step
        owners = [slow.owner[cell] if 0 <= cell < cells else None for cell in (freed, pick % cells)]
        slow.release(freed)
        legal = slow.legal_starts(size)
        starts = [slow.start_by(rule, size) for rule in RULES]
        picked = legal[pick % len(legal)] if legal else NOWHERE
        high_ends = [slow.high_end(start, size) for start in [*starts, picked]]
        starts += [high_ends[RULES.index("best")], picked, NOWHERE, pick]
        found = {f"{rule} fit": at for rule, at in zip(RULES, starts, strict=False)}
        found |= {
            "owners": owners,
            "high_ends": high_ends,
            "start": starts[choice],
            "mask": legal,
            "taken": [cell for cell, block in enumerate(slow.owner) if block],
            "heads": [block.start for block in slow.blocks()],
            "holes": slow.holes_that_fit(size, HOLES),
            "free": slow.free(),
            "live": slow.live(),
            "blocks": len(slow.blocks()),
            "hole_count": len(slow.holes()),
            "largest_hole": slow.largest_hole(),
            "external_fragmentation": slow.external_fragmentation(),
            "unusable_free": slow.unusable_free(size),
            "hole_histogram": slow.hole_histogram(13),
        }
        slow.place(starts[choice], size, expiry, forecast)
        slow.tick(time + 1)
        found |= {"cursor": slow.cursor, "high_water": slow.high_water, "now": slow.now}
        yield found


class Played(NamedTuple):
    """Both accounts of the histories of one shape."""

    shape: Shape
    packed: dict  # of arrays [sequences, T, ...]
    slow: list[list[dict]]  # [sequences][T]

    def expected(self, name: str) -> np.ndarray:
        return np.array([[found[name] for found in steps] for steps in self.slow])

    def steps(self):
        """Each step's packed account with the oracle's."""
        for sequence, steps in enumerate(self.slow):
            for time, found in enumerate(steps):
                yield jax.tree.map(lambda x, at=(sequence, time): x[at], self.packed), found


@pytest.fixture(scope="module", params=SHAPES, ids=lambda name: name.replace(" ", "-"))
def played(request) -> Played:
    shape = SHAPES[request.param]
    rng = np.random.default_rng(list(SHAPES).index(request.param))
    scripts = [random_script(rng, shape, cells) for cells in shape.cells]
    batch = Script(*(np.stack(columns).astype(np.int32) for columns in zip(*scripts, strict=True)))
    with pytest.MonkeyPatch.context() as patch:
        if shape.stacked:
            patch.setattr(bits, "UNROLLED_WORDS", 0)
        arenas = [new_arena(cells, shape.capacity, shape.horizon) for cells in shape.cells]
        packed = play(jax.tree.map(lambda *leaves: jnp.stack(leaves), *arenas), batch)
    assert isinstance(arenas[0].free.words, tuple) == (shape.capacity <= 256 and not shape.stacked)
    slow = [list(replay(cells, script)) for cells, script in zip(shape.cells, scripts, strict=True)]
    return Played(shape, jax.tree.map(np.asarray, packed), slow)


def test_the_histories_are_worth_playing(played):
    placed = played.expected("start") != NOWHERE
    assert 0.2 < placed.mean() < 0.95
    assert {len(found["holes"]) for steps in played.slow for found in steps} >= {0, 1, 2}


@pytest.mark.parametrize("rule", RULES)
def test_every_fit_starts_where_its_rule_says(played, rule):
    np.testing.assert_array_equal(played.packed[f"{rule} fit"], played.expected(f"{rule} fit"))


def test_the_high_end_of_a_hole_is_its_highest_start(played):
    np.testing.assert_array_equal(played.packed["high_ends"], played.expected("high_ends"))


def test_the_mask_is_true_exactly_where_a_request_may_start(played):
    for packed, slow in played.steps():
        np.testing.assert_array_equal(np.flatnonzero(packed["mask"]), slow["mask"])


def test_cells_are_taken_exactly_where_a_block_lives(played):
    for packed, slow in played.steps():
        taken = np.flatnonzero(packed["taken"])
        cells = slow["free"] + slow["live"]
        np.testing.assert_array_equal(taken[taken < cells], slow["taken"])
        np.testing.assert_array_equal(np.flatnonzero(packed["heads"]), slow["heads"])
        assert packed["taken"][cells:].all()


def test_the_first_holes_are_listed_with_their_ends_and_lengths(played):
    for packed, slow in played.steps():
        holes, count = packed["holes"], len(slow["holes"])
        np.testing.assert_array_equal(holes.exists, np.arange(HOLES) < count)
        for name, absent in (("low", NOWHERE), ("high", NOWHERE), ("length", 0)):
            listed = [getattr(hole, name) for hole in slow["holes"]] + [absent] * (HOLES - count)
            np.testing.assert_array_equal(getattr(holes, name), listed)


@pytest.mark.parametrize("side", ["below", "above"])
def test_neighbours_have_their_size_age_and_predicted_remaining_life(played, side):
    nothing = Side(wall=False)
    for packed, slow in played.steps():
        sides = [getattr(hole, side) for hole in slow["holes"]]
        sides += [nothing] * (HOLES - len(sides))
        for name in SIDE:
            seen = getattr(getattr(packed["holes"], side), name)
            np.testing.assert_array_equal(seen, [getattr(beside, name) for beside in sides])


def test_neighbours_with_a_live_an_overdue_and_no_prediction_are_all_met(played):
    sides = [hole.above for steps in played.slow for found in steps for hole in found["holes"]]
    assert {(side.wall, side.remaining > 0) for side in sides} == {
        (True, False),
        (False, False),
        (False, True),
    }


@pytest.mark.parametrize(
    "measure",
    ["free", "live", "blocks", "hole_count", "largest_hole", "high_water", "cursor", "now"],
)
def test_counts_agree(played, measure):
    np.testing.assert_array_equal(played.packed[measure], played.expected(measure))


@pytest.mark.parametrize("measure", ["external_fragmentation", "unusable_free"])
def test_shares_agree(played, measure):
    assert played.packed[measure].dtype == np.float32
    np.testing.assert_allclose(played.packed[measure], played.expected(measure), atol=2e-7)


def test_holes_are_counted_by_length(played):
    counted = played.packed["hole_histogram"]
    bins = counted.shape[-1]
    assert 2 ** (bins - 1) <= 32 * -(-played.shape.capacity // 32) < 2**bins
    np.testing.assert_array_equal(counted, played.expected("hole_histogram")[..., :bins])
    assert not played.expected("hole_histogram")[..., bins:].any()


def test_a_cell_knows_the_ends_of_its_block(played):
    covered = 0
    for packed, slow in played.steps():
        for number, block in enumerate(slow["owners"]):
            if block is not None:
                covered += 1
                assert packed["block_starts"][number] == block.start
                assert packed["block_ends"][number] == block.start + block.size
    assert covered > 10


STEPS = 24
PROPERTY_SHAPE = Shape(64, (64,), horizon=STEPS)
request_steps = st.tuples(
    st.integers(1, 70),  # size
    st.integers(0, REFUSE),  # choice
    st.integers(1, STEPS + 2),  # lifetime
    st.sampled_from([NO_RELEASE, *range(64)]),  # freed
    st.integers(0, 63),  # pick
)


@settings(max_examples=50)
@given(cells=st.integers(1, 64), steps=st.lists(request_steps, min_size=1, max_size=STEPS))
def test_blocks_never_overlap_cells_are_conserved_and_exactly_the_mask_is_legal(cells, steps):
    """Judged by a list of live intervals, which knows nothing of fits and holes."""
    padding = [(1, REFUSE, 1, NO_RELEASE, 0)] * (STEPS - len(steps))
    size, choice, lifetime, freed, pick = np.array([*steps, *padding], np.int32).T
    nothing = np.zeros(STEPS, np.int32)
    expiry = np.arange(STEPS, dtype=np.int32) + lifetime
    script = Script(size, choice, expiry, nothing, freed, pick)
    arena = new_arena(cells, PROPERTY_SHAPE.capacity, PROPERTY_SHAPE.horizon)
    batch = jax.tree.map(lambda leaf: leaf[None], (arena, script))
    packed = jax.tree.map(lambda leaf: np.asarray(leaf[0]), play(*batch))
    live: dict[int, tuple[int, int]] = {}  # expiry by (start, end)
    for time in range(len(steps)):
        live = {at: dies for at, dies in live.items() if dies > time}
        live = {at: dies for at, dies in live.items() if not at[0] <= freed[time] < at[1]}
        used = {cell for start, end in live for cell in range(start, end)}
        assert len(used) == sum(end - start for start, end in live)
        assert packed["live"][time] == len(used)
        assert packed["free"][time] == cells - len(used)
        assert packed["blocks"][time] == len(live)
        request = int(size[time])
        for cell in range(packed["mask"].shape[-1]):
            inside = cell + request <= cells
            legal = inside and used.isdisjoint(range(cell, cell + request))
            assert packed["mask"][time, cell] == legal
        start = int(packed["start"][time])
        if start == NOWHERE:
            assert choice[time] == REFUSE or not packed["mask"][time].any()
        else:
            assert packed["mask"][time, start]
            live[start, start + request] = time + int(lifetime[time])
