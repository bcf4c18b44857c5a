"""Every feature of the candidates observation, by its name, against a plain-Python account."""

from math import log2

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle import Side, SlowGame

from jaxmem.arena.arena import NEVER
from jaxmem.arena.making import new_arena
from jaxmem.environment.ending import Ending
from jaxmem.environment.environment import Environment, Params
from jaxmem.environment.observations import BINS, FEATURES, GROUPS, RANGES, SEGMENTS
from jaxmem.workloads.requests import requests_of

CAPACITY, HOLES = 288, 4
HORIZON, STEPS = 254, 24  # requests in a sequence, and how many of them are played
CELLS = (288, 200, 40, 17, 5)
LAYOUT = ((1, 1), (3, 1))  # small enough for every arena
ENV = Environment(CAPACITY, HORIZON, holes=HOLES)
NEIGHBOUR = ("wall", "size", "age", "remaining", "dies_with", "known")


def log_cells(cells: float) -> float:
    return log2(1 + cells) / 7


def log_time(requests: float) -> float:
    return log2(1 + requests) / 8


def beside(side: Side, hint: float) -> dict[str, float]:
    """What is shown of the wall or the block at one side of a hole."""
    known = side.remaining > 0
    together = (side.remaining - hint) / 32 if known and hint > 0 else 0
    return {
        "wall": side.wall,
        "size": log_cells(side.size),
        "age": log_time(side.age),
        "remaining": log_time(side.remaining),
        "dies_with": min(max(together, -2), 2),
        "known": known,
    }


def overview(game: SlowGame) -> dict[str, float]:
    """What is shown of the request and of the whole arena, in every row."""
    arena, size, cells = game.arena, game.size, game.cells
    found = {
        "request_size": log_cells(size),
        "request_share": size / cells,
        "hint": log_time(game.hint),
        "has_hint": game.hint > 0,
        "free": arena.free() / cells,
        "largest_hole": arena.largest_hole() / cells,
        "holes": len(arena.holes()) / 16,
        "fitting_holes": len(arena.holes_that_fit(size, HOLES)) / 8,
    }
    for i in range(SEGMENTS):
        part = range(cells * i // SEGMENTS, cells * (i + 1) // SEGMENTS)
        width = max(len(part), 1)
        owners = [arena.owner[cell] for cell in part if arena.owner[cell]]
        ages = [arena.now - owner.birth for owner in owners]
        found[f"segment_{i}_live"] = len(owners) / width
        found[f"segment_{i}_blocks"] = sum(b.start in part for b in arena.blocks()) / width
        found[f"segment_{i}_age"] = log_time(sum(ages) / len(ages)) if ages else 0
    return found


def histogram_after(game: SlowGame, start: int) -> dict[str, float]:
    """Holes by length, in quarters, when the request is placed: the longest bin has no end."""
    owner = list(game.arena.owner)
    game.arena.owner[start : start + game.size] = ["placed"] * game.size
    bins = game.arena.hole_histogram(13)
    game.arena.owner = owner
    bins = [*bins[: BINS - 1], sum(bins[BINS - 1 :])]
    return {f"holes_after_{2**k}": count / 4 for k, count in enumerate(bins)}


def rows(game: SlowGame) -> list[dict[str, float]]:
    """The features of every action by name; those that a row does not have are 0."""
    size, cells = game.size, game.cells
    found = game.arena.holes_that_fit(size, HOLES)
    lengths = [hole.length for hole in found]
    result = []
    for number, hole in enumerate(found):
        leftover = hole.length - size
        sides = beside(hole.below, game.hint), beside(hole.above, game.hint)
        for high_end, start in enumerate((hole.low, hole.high)):
            touched, across = sides if not high_end else sides[::-1]
            result.append(
                {
                    "length": log_cells(hole.length),
                    "leftover": log_cells(leftover),
                    "leftover_is_0": leftover == 0,
                    "leftover_is_1": leftover == 1,
                    "leftover_is_2": leftover == 2,
                    "is_tightest": hole.length == min(lengths),
                    "is_largest": hole.length == max(lengths),
                    "is_first": number == 0,
                    "is_last": number == len(found) - 1,
                    "from_low_wall": start / cells,
                    "from_high_wall": (cells - start - size) / cells,
                    "high_end": high_end,
                }
                | {f"touched_{name}": touched[name] for name in NEIGHBOUR}
                | {f"across_{name}": across[name] for name in NEIGHBOUR}
                | histogram_after(game, start)
            )
    result += [{}] * (2 * (HOLES - len(found))) + [{"refuse": 1}]
    everywhere = overview(game)
    return [row | everywhere for row in result]


def random_requests():
    """One sequence for each arena, with sizes that leave holes of all lengths in it."""
    rng = np.random.default_rng(3)
    shape = len(CELLS), HORIZON
    most = np.maximum(np.array(CELLS)[:, None] // 8, 2)
    size = rng.integers(1, most, shape, endpoint=True)
    lifetime = rng.integers(1, 14, shape)
    hint = np.where(rng.random(shape) < 0.3, 0.0, rng.uniform(0.1, 7.0, shape)).astype(np.float32)
    hint[:, 3::7] = 100.0 - 0.25 * np.arange(len(CELLS))[:, None]  # far from its neighbours
    return size, lifetime, hint


def arena_of(cells: int):
    arena = new_arena(cells, CAPACITY, HORIZON)
    for start, size in LAYOUT:
        arena = arena.place(jnp.int32(start), jnp.int32(size), jnp.int32(NEVER))
    return arena


@pytest.fixture(scope="module")
def shown_and_expected():
    """Arrays [arena, request, action, feature], the same from the environment and spelled out."""
    params = Params(
        requests=requests_of(*random_requests()),
        initial=jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(arena_of, CELLS)),
        ending=Ending(jnp.bool_(False), jnp.float32(2.0)),
    )
    picks = np.random.default_rng(4).integers(0, 1000, (len(CELLS), STEPS)).astype(np.int32)

    def play(initial, sequence, picks):
        here = params.replace(initial=initial)

        def step(carry, pick):
            observation, state = carry
            rank = jnp.cumsum(state.mask)
            action = jnp.argmax(rank == pick % rank[-1] + 1).astype(jnp.int32)
            after, state, *_ = ENV.step_env(jax.random.key(0), state, action, here)
            return (after, state), (observation, state.last_observation, action)

        return jax.lax.scan(step, ENV.reset_at(sequence, jnp.int32(0), here), picks)[1]

    play = jax.jit(jax.vmap(play))
    shown, last, taken = map(np.asarray, play(params.initial, np.arange(len(CELLS)), picks))
    np.testing.assert_array_equal(shown[:, 1:], last[:, :-1])
    expected = np.zeros(shown.shape)
    for number, cells in enumerate(CELLS):
        columns = (column.tolist() for column in random_requests())
        game = SlowGame(*columns, cells=cells, layout=LAYOUT, sequence=number)
        for time, action in enumerate(taken[number].tolist()):
            for row, features in enumerate(rows(game)):
                assert set(features) <= set(FEATURES)
                for name, value in features.items():
                    expected[number, time, row, FEATURES.index(name)] = value
            game.answer(game.choices("holes", HOLES, CAPACITY)[action][0])
    return shown, expected


@pytest.mark.parametrize("feature", FEATURES)
def test_a_feature_is_what_its_name_says(shown_and_expected, feature):
    shown, expected = (array[..., FEATURES.index(feature)] for array in shown_and_expected)
    low, high = RANGES[feature]
    assert low <= shown.min()
    assert shown.max() <= high
    np.testing.assert_allclose(shown, expected, rtol=1e-5, atol=1e-6)
    assert np.ptp(expected) > 0, "this feature is never seen to change"


def test_no_feature_is_named_twice():
    assert len(set(FEATURES)) == len(FEATURES)
    assert ENV.observation_shape == (2 * HOLES + 1, len(FEATURES))


def test_every_feature_is_in_one_group():
    assert sorted(name for group in GROUPS.values() for name in group) == sorted(FEATURES)


def test_features_stay_in_the_range_that_networks_are_made_for(shown_and_expected):
    shown, _ = shown_and_expected
    assert shown.min() >= -2.0
    assert shown.max() <= 2.0
