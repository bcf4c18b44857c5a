"""Hint-fit in bytes: no two blocks overlap, and foretold lifetimes decide where a block lies."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jaxmem.recordings import Recording
from jaxmem.recordings.packing import check_packing, deaths_of
from jaxmem.recordings.replay import events_of

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def hint_fit(monkeypatch):
    """The module."""
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    import hint_fit_bytes

    return hint_fit_bytes


@pytest.mark.parametrize("seed", range(5))
def test_blocks_do_not_overlap_in_the_arena_that_is_needed(hint_fit, seed, monkeypatch):
    random = np.random.default_rng(seed)
    run = Recording("made", random.integers(1, 50, 200), random.integers(1, 40, 200))
    foretold = np.where(random.random(200) < 0.8, run.lifetime, 0).astype(np.int32)
    events = replace(events_of(run, 1), foretold=foretold)
    cells = round(hint_fit.hint_fit_needed(events) * events.peak_live)
    assert cells >= events.peak_live
    starts = []
    placed = hint_fit._Arena.placed
    monkeypatch.setattr(
        hint_fit._Arena, "placed", lambda *words: starts.append(placed(*words)) or starts[-1]
    )
    assert hint_fit.all_placed(events, cells)
    assert max(starts + events.units) <= cells
    check_packing(np.array(starts), events.units, deaths_of(run))
    assert not hint_fit.all_placed(events, int(0.99 * events.peak_live))


def test_a_block_lies_beside_the_one_that_goes_when_it_does(hint_fit):
    arena = hint_fit._Arena(128)
    stays, goes = arena.placed(20, 90, 0), arena.placed(20, 10, 1)
    assert (stays, goes) == (0, 108)  # each at a wall, since they part early
    assert arena.placed(20, 9, 2) == 88
    assert arena.placed(20, 88, 3) == 20
    assert arena.placed(20, 0, 4) == 40  # best fit, at the low end of the only hole
