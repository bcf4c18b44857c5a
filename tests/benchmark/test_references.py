"""The references play the oracle's game, and say why when they cannot play."""

import functools
import sys
from importlib import metadata

import numpy as np
import pytest
from oracle import SlowGame
from repetition import slow

from jaxmem.benchmark.references import REFERENCES, Unavailable, build

ALLOCATORS = ("python_loop", "numpy", "numba", "c")
PLAYED = ("python_loop", "numpy", *slow("numba"), "c")  # numba takes seconds to compile
SEQUENCES, HORIZON, ARENAS = 3, 40, 4  # one sequence is played twice
NEVER = 2**30
# In the middle of an episode, at its end, and in the one that follows.
STOPS = (1, 2, 9, 27, HORIZON - 1, HORIZON, HORIZON + 1, 2 * HORIZON + 19)


def drawn(cells, seed, sequences=SEQUENCES, horizon=HORIZON):
    """Sizes up to a third of the arena, lifetimes of which some end with the episode."""
    random = np.random.default_rng(seed)
    shape = (sequences, horizon)
    size = random.integers(1, cells // 3 + 2, shape)
    lifetime = 1 + random.geometric(0.1, shape)
    lifetime[random.random(shape) < 0.03] = NEVER
    size[random.random(shape) < 0.03] = cells + 3  # fits no arena
    return size.astype(np.int32), lifetime.astype(np.int32)


@functools.cache
def played_by_the_oracle(cells, seed):
    """After every step: failed requests of all arenas so far, observation and mask of each."""
    size, lifetime = drawn(cells, seed)
    hints = np.zeros(size.shape)
    game = SlowGame(size.tolist(), lifetime.tolist(), hints.tolist(), cells)
    failed = np.zeros((max(STOPS), ARENAS), int)
    observation = np.zeros((max(STOPS), ARENAS, cells + 1), np.float32)
    mask = np.zeros((max(STOPS), ARENAS, cells + 1), bool)
    for arena in range(ARENAS):
        game.begin(arena % SEQUENCES)
        for step in range(max(STOPS)):
            outcome = game.answer(game.arena.start_by("best", game.size))
            if outcome.truncated:
                game.begin(arena % SEQUENCES)
            failed[step, arena] = not outcome.placed
            taken = [owner is not None for owner in game.arena.owner]
            observation[step, arena] = [*taken, game.size / cells]
            mask[step, arena] = [legal for _, legal in game.choices("address", 0, cells)]
    return failed.sum(axis=1).cumsum(), observation, mask


def built(name, size, lifetime, cells, arenas, observe):
    """The reference, or the reason for which this machine has none, as a skip."""
    try:
        return build(name, size, lifetime, cells, arenas, observe)
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("seed", [0, *slow(1)])
@pytest.mark.parametrize("cells", [1, 7, 33, 100, 257])
@pytest.mark.parametrize("name", PLAYED)
def test_a_reference_fails_and_shows_what_the_oracle_does(name, cells, seed):
    failed, observation, mask = played_by_the_oracle(cells, seed)
    reference = built(name, *drawn(cells, seed), cells, ARENAS, observe=True)
    done, so_far = 0, 0
    for stop in STOPS:
        so_far += reference.play(stop - done)
        done = stop
        assert so_far == failed[stop - 1]
        np.testing.assert_array_equal(reference.observation, observation[stop - 1])
        np.testing.assert_array_equal(reference.mask, mask[stop - 1])


@pytest.mark.parametrize("cells", [1, 7, 33, 100, 257])
@pytest.mark.parametrize("name", PLAYED)
def test_a_reference_that_shows_nothing_fails_the_same_requests(name, cells):
    failed, _, _ = played_by_the_oracle(cells, seed=0)
    reference = built(name, *drawn(cells, seed=0), cells, ARENAS, observe=False)
    found = [reference.play(steps) for steps in np.diff((0, *STOPS)).tolist()]
    assert np.cumsum(found).tolist() == [failed[stop - 1] for stop in STOPS]
    assert reference.observation is None
    assert reference.mask is None


def test_the_oracle_sees_failures_and_every_kind_of_mask():
    failed, _, mask = played_by_the_oracle(100, seed=0)
    assert 0 < failed[-1] < max(STOPS) * ARENAS / 2
    assert mask[..., -1].any()
    assert (mask[..., :-1].sum(axis=-1) > 0).mean() > 0.5


@pytest.mark.parametrize("observe", [True, False])
@pytest.mark.parametrize("name", PLAYED)
def test_after_a_reset_the_same_episode_is_played(name, observe):
    reference = built(name, *drawn(33, seed=2), 33, ARENAS, observe)
    once = [reference.play(9), reference.play(HORIZON - 9)]
    assert reference.play(17) >= 0  # into the next episode
    reference.reset()
    assert [reference.play(9), reference.play(HORIZON - 9)] == once


@pytest.mark.parametrize("name", PLAYED)
def test_what_is_shown_has_a_row_for_each_arena_and_a_column_for_refusal(name):
    reference = built(name, *drawn(33, seed=2), 33, ARENAS, observe=True)
    reference.play(HORIZON)
    assert reference.observation is not None
    assert reference.mask is not None
    assert reference.observation.shape == reference.mask.shape == (ARENAS, 34)
    assert reference.observation.dtype == np.float32
    assert reference.mask.dtype in (np.bool_, np.uint8)
    assert reference.observation.flags.c_contiguous
    assert reference.mask.flags.c_contiguous


@pytest.mark.parametrize("name", PLAYED)
def test_every_step_writes_all_that_is_shown(name):
    reference = built(name, *drawn(33, seed=2), 33, ARENAS, observe=True)
    reference.play(20)
    assert reference.observation is not None
    assert reference.mask is not None
    reference.observation[:], reference.mask[:] = 7, 1
    _, observation, mask = played_by_the_oracle(33, seed=2)
    reference.play(1)
    np.testing.assert_array_equal(reference.observation, observation[20])
    np.testing.assert_array_equal(reference.mask, mask[20])


@pytest.mark.parametrize("horizon", [2**14 - 1, 2**14])
def test_numpy_counts_time_beyond_sixteen_bits(horizon):
    size, lifetime = drawn(5, seed=3, sequences=1, horizon=horizon)
    lifetime = np.minimum(lifetime, 4)
    lifetime[0, -50:] = NEVER
    game = SlowGame(size.tolist(), lifetime.tolist(), np.zeros(size.shape).tolist(), 5)
    starts = (game.arena.start_by("best", game.size) for _ in range(horizon))
    failed = sum(not game.answer(start).placed for start in starts)
    assert build("numpy", size, lifetime, 5, 1, observe=False).play(horizon) == failed


@pytest.mark.parametrize("name", PLAYED)
def test_best_fit_takes_the_lower_of_two_equally_short_holes_at_its_low_end(name):
    # Both blocks of 3 are gone when the 2 comes, so holes of 3, 3 and 4 cells wait for it.
    size = np.array([[3, 1, 3, 1, 2, 9]], np.int32)
    lifetime = np.array([[4, 9, 2, 9, 9, 9]], np.int32)
    reference = built(name, size, lifetime, 12, 1, observe=True)
    assert reference.play(5) == 0
    shown = np.array([[1, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 9 / 12]], np.float32)
    np.testing.assert_array_equal(reference.observation, shown)
    np.testing.assert_array_equal(reference.mask, [[False] * 12 + [True]])


def test_cartpole_plays_and_fails_nothing():
    reference = built("cartpole", *drawn(7, seed=0), 7, ARENAS, observe=True)
    assert reference.play(2) == reference.play(3) == 0
    reference.reset()
    assert reference.play(2) == 0


def test_without_a_compiler_c_says_which_one_it_wanted(monkeypatch):
    monkeypatch.setenv("CC", "/nowhere/cc")
    with pytest.raises(Unavailable, match="no C compiler is called /nowhere/cc; set CC"):
        build("c", *drawn(7, seed=0), 7, 1, observe=False)


def test_a_compiler_that_fails_is_quoted_in_one_line(monkeypatch, tmp_path):
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\necho 'in arenas.c' >&2\necho 'error: no memory' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    with pytest.raises(Unavailable, match=r"cc does not compile arenas\.c: error: no memory$"):
        build("c", *drawn(7, seed=0), 7, 1, observe=False)


@pytest.mark.parametrize(("name", "module"), [("numba", "numba"), ("cartpole", "gymnax")])
def test_without_its_package_a_reference_says_what_to_install(name, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(Unavailable, match=f"{module} cannot be imported .uv run --extra bench"):
        build(name, *drawn(7, seed=0), 7, 1, observe=False)


def test_another_gymnax_is_refused_by_its_version(monkeypatch):
    monkeypatch.setattr(metadata, "version", lambda name: "0.0.9")
    with pytest.raises(Unavailable, match=r"gymnax is 0\.0\.9"):
        build("cartpole", *drawn(7, seed=0), 7, 1, observe=False)


def test_an_unknown_name_is_answered_with_the_nearest_one():
    assert list(REFERENCES) == [*ALLOCATORS, "cartpole"]
    with pytest.raises(ValueError, match="'nunba'; did you mean numba"):
        build("nunba", *drawn(7, seed=0), 7, 1, observe=False)


def test_requests_that_mean_nothing_are_refused():
    size, lifetime = drawn(7, seed=0)
    for arguments, complaint in (
        ((size[0], lifetime[0], 7, 1), r"must both be \[P, T\]"),
        ((size, lifetime[:1], 7, 1), r"must both be \[P, T\]"),
        ((size * 0, lifetime, 7, 1), "size must be at least 1"),
        ((size, lifetime - 9, 7, 1), "lifetime must be at least 1"),
        ((size, lifetime, 0, 1), "cells must be at least 1"),
        ((size, lifetime, 7, 0), "arenas must be at least 1"),
    ):
        with pytest.raises(ValueError, match=complaint):
            build("numpy", *arguments, observe=False)
