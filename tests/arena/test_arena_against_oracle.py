"""Every arena against the slow one: random requests, releases and ticks, step by step.

The claims compare two accounts of the same histories, quantity by quantity, for arenas of 1 to 4096
cells in all representations.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from histories import HOLES, NO_RELEASE, REFUSE, RULES, Script, Shape, play, random_script, replay
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import NOWHERE, Side

from jaxmem.arena.making import new_arena

SIDE = ("wall", "size", "age", "remaining")
SHAPES = {
    "2 words": Shape(64, (1, 2, 31, 32, 33, 48, 63, 64), horizon=63),
    "4 words": Shape(128, (33, 63, 64, 65, 90, 100, 112, 127, 128), horizon=14),
    "8 words": Shape(256, (64, 129, 160, 192, 200, 224, 250, 255, 256)),
    "4 words, stacked": Shape(128, (1, 2, 31, 32, 33, 64, 65, 100, 128), 62, "stacked"),
    "10 words": Shape(300, (257, 270, 280, 300)),
    "128 words": Shape(4096, (300, 1000, 3000, 4095, 4096)),
    "table": Shape(4096, (1, 2, 3, 17, 32, 100, 300, 1000, 4096), 62, "table"),
    "table, too few slots": Shape(300, (24, 100, 300), 62, "table", room=0.5),
}
# As above in kind, and long to compile.
AGAIN = ("8 words", "4 words, stacked", "10 words", "128 words")


class Played(NamedTuple):
    """Both accounts of the histories of one shape."""

    shape: Shape
    slots: int  # of a table
    fast: dict  # of arrays [sequences, T, ...]
    slow: list[list[dict]]  # [sequences][T]

    def expected(self, name: str) -> np.ndarray:
        return np.array([[found[name] for found in steps] for steps in self.slow])

    def steps(self):
        """Each step's fast account with the oracle's."""
        for sequence, steps in enumerate(self.slow):
            for time, found in enumerate(steps):
                yield jax.tree.map(lambda x, at=(sequence, time): x[at], self.fast), found


def cases():
    for name in SHAPES:
        marks = [pytest.mark.slow] if name in AGAIN else []
        yield pytest.param(name, id=name.replace(" ", "-"), marks=marks)


@pytest.fixture(scope="module", params=cases())
def played(request) -> Played:
    shape = SHAPES[request.param]
    rng = np.random.default_rng(list(SHAPES).index(request.param))
    scripts = [random_script(rng, shape, cells) for cells in shape.cells]
    batch = Script(*(np.stack(columns).astype(np.int32) for columns in zip(*scripts, strict=True)))

    def replayed(slots: float):
        games = zip(shape.cells, scripts, strict=True)
        return [list(replay(cells, script, slots)) for cells, script in games]

    slow = replayed(slots=np.inf)
    most = max(found["blocks after"] for steps in slow for found in steps)
    slots = int(shape.room * most)
    if slots < most:
        slow = replayed(slots)
    arenas = [
        new_arena(cells, shape.capacity, shape.horizon, shape.representation, slots)
        for cells in shape.cells
    ]
    fast = play(jax.tree.map(lambda *leaves: jnp.stack(leaves), *arenas), batch)
    return Played(shape, slots, jax.tree.map(np.asarray, fast), slow)


def test_the_histories_are_worth_playing(played):
    placed = played.expected("start") != NOWHERE
    assert 0.2 < placed.mean() < 0.95
    assert {len(found["holes"]) for steps in played.slow for found in steps} >= {0, 1, 2}


def test_a_block_without_a_slot_is_not_placed(played):
    after = played.expected("blocks after")
    assert after.max() == played.slots
    refused = (played.expected("start") != NOWHERE) & (after == played.expected("blocks"))
    assert refused.any() == (played.shape.room < 1)


@pytest.mark.parametrize("rule", RULES)
def test_every_fit_starts_where_its_rule_says(played, rule):
    np.testing.assert_array_equal(played.fast[f"{rule} fit"], played.expected(f"{rule} fit"))


def test_the_high_end_of_a_hole_is_its_highest_start(played):
    np.testing.assert_array_equal(played.fast["high_ends"], played.expected("high_ends"))


def test_the_mask_is_true_exactly_where_a_request_may_start(played):
    for fast, slow in played.steps():
        np.testing.assert_array_equal(np.flatnonzero(fast["mask"]), slow["mask"])


def test_some_start_is_legal_exactly_where_the_mask_is_true_somewhere(played):
    np.testing.assert_array_equal(played.fast["some"], played.expected("some"))


def test_a_start_is_allowed_exactly_where_it_is_legal_wherever_it_lies(played):
    np.testing.assert_array_equal(played.fast["allowed"], played.expected("allowed"))


def test_to_advance_is_to_place_and_to_tick(played):
    np.testing.assert_array_equal(
        played.fast["advance is place and tick"], played.expected("advance is place and tick")
    )


def test_legal_starts_are_numbered_by_address(played):
    np.testing.assert_array_equal(played.fast["picked"], played.expected("picked"))
    np.testing.assert_array_equal(played.fast["beyond"], played.expected("beyond"))


def test_cells_are_taken_exactly_where_a_block_lives(played):
    for fast, slow in played.steps():
        taken = np.flatnonzero(fast["taken"])
        cells = slow["free"] + slow["live"]
        np.testing.assert_array_equal(taken[taken < cells], slow["taken"])
        assert fast["taken"][cells:].all()
        np.testing.assert_array_equal(np.flatnonzero(fast["begins"]), slow["begins"])


def test_the_first_holes_are_listed_with_their_ends_and_lengths(played):
    for fast, slow in played.steps():
        holes, count = fast["holes"], len(slow["holes"])
        np.testing.assert_array_equal(holes.exists, np.arange(HOLES) < count)
        for name, absent in (("low", NOWHERE), ("high", NOWHERE), ("length", 0)):
            listed = [getattr(hole, name) for hole in slow["holes"]] + [absent] * (HOLES - count)
            np.testing.assert_array_equal(getattr(holes, name), listed)


@pytest.mark.parametrize("side", ["below", "above"])
def test_neighbours_have_their_size_age_and_predicted_remaining_life(played, side):
    nothing = Side(wall=False)
    for fast, slow in played.steps():
        sides = [getattr(hole, side) for hole in slow["holes"]]
        sides += [nothing] * (HOLES - len(sides))
        for name in SIDE:
            seen = getattr(getattr(fast["holes"], side), name)
            np.testing.assert_array_equal(seen, [getattr(beside, name) for beside in sides])


def test_neighbours_with_a_live_an_overdue_and_no_prediction_are_all_met(played):
    sides = [hole.above for steps in played.slow for found in steps for hole in found["holes"]]
    assert {(side.wall, side.remaining > 0) for side in sides} == {
        (True, False),
        (False, False),
        (False, True),
    }


@pytest.mark.parametrize("part", ["cells", "blocks", "births"])
def test_stretches_of_the_arena_know_what_lives_in_them(played, part):
    found = getattr(played.fast["parts"], part)
    np.testing.assert_array_equal(found, played.expected(f"part {part}"))
    assert (found > 0).any(axis=(0, 1)).all()


@pytest.mark.parametrize(
    "measure",
    [
        "free",
        "live",
        "blocks",
        "hole_count",
        "fitting",
        "start_count",
        "largest_hole",
        "high_water",
        "cursor",
        "now",
    ],
)
def test_counts_agree(played, measure):
    np.testing.assert_array_equal(played.fast[measure], played.expected(measure))


@pytest.mark.parametrize("measure", ["external_fragmentation", "unusable_free"])
def test_shares_agree(played, measure):
    assert played.fast[measure].dtype == np.float32
    np.testing.assert_allclose(played.fast[measure], played.expected(measure), atol=2e-7)


def test_holes_are_counted_by_length(played):
    counted = played.fast["hole_histogram"]
    bins, capacity = counted.shape[-1], played.fast["taken"].shape[-1]
    assert 2 ** (bins - 1) <= capacity < 2**bins
    np.testing.assert_array_equal(counted, played.expected("hole_histogram")[..., :bins])
    assert not played.expected("hole_histogram")[..., bins:].any()


STEPS = 24
CAPACITY = 64
request_steps = st.tuples(
    st.integers(1, 70),  # size
    st.integers(0, REFUSE),  # choice
    st.integers(1, STEPS + 2),  # lifetime
    st.sampled_from([NO_RELEASE, *range(CAPACITY)]),  # freed
    st.integers(0, CAPACITY - 1),  # pick
)


@pytest.mark.parametrize(
    "representation", ["table", pytest.param("unrolled", marks=pytest.mark.slow)]
)
@settings(max_examples=50)
@given(cells=st.integers(1, CAPACITY), steps=st.lists(request_steps, min_size=1, max_size=STEPS))
def test_blocks_never_overlap_cells_are_conserved_and_exactly_the_mask_is_legal(
    representation, cells, steps
):
    """Judged by a list of live intervals, which knows nothing of fits and holes."""
    padding = [(1, REFUSE, 1, NO_RELEASE, 0)] * (STEPS - len(steps))
    size, choice, lifetime, freed, pick = np.array([*steps, *padding], np.int32).T
    nothing = np.zeros(STEPS, np.int32)
    expiry = np.arange(STEPS, dtype=np.int32) + lifetime
    script = Script(size, choice, expiry, nothing, freed, pick)
    arena = new_arena(cells, CAPACITY, STEPS, representation, blocks=STEPS)
    batch = jax.tree.map(lambda leaf: leaf[None], (arena, script))
    fast = jax.tree.map(lambda leaf: np.asarray(leaf[0]), play(*batch))
    live: dict[int, tuple[int, int]] = {}  # expiry by (start, end)
    for time in range(len(steps)):
        live = {at: dies for at, dies in live.items() if dies > time}
        live = {at: dies for at, dies in live.items() if not at[0] <= freed[time] < at[1]}
        used = {cell for start, end in live for cell in range(start, end)}
        assert len(used) == sum(end - start for start, end in live)
        assert fast["live"][time] == len(used)
        assert fast["free"][time] == cells - len(used)
        assert fast["blocks"][time] == len(live)
        request = int(size[time])
        for cell in range(fast["mask"].shape[-1]):
            inside = cell + request <= cells
            legal = inside and used.isdisjoint(range(cell, cell + request))
            assert fast["mask"][time, cell] == legal
        start = int(fast["start"][time])
        if start == NOWHERE:
            assert choice[time] == REFUSE or not fast["mask"][time].any()
        else:
            assert fast["mask"][time, start]
            live[start, start + request] = time + int(lifetime[time])
