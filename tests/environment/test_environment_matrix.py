"""The game in every allowed combination of actions, observation and reward, against a slow one.

Each combination plays five arenas of different sizes, layouts and rules of ending in one compiled
program, over several episodes, with legal and illegal actions.
"""

import itertools
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle import NOWHERE, SlowGame

from jaxmem.arena.arena import NEVER
from jaxmem.arena.making import new_arena
from jaxmem.environment.actions import ACTION_SPACES, Choices
from jaxmem.environment.ending import Ending
from jaxmem.environment.environment import OBSERVATIONS, Environment, Params
from jaxmem.environment.observations import FEATURES, Packed, candidates
from jaxmem.environment.rewards import REWARDS
from jaxmem.workloads.requests import requests_of

CELLS, HORIZON, HOLES, HISTORY = 24, 10, 3, 2
SEQUENCES, STEPS = 3, 26
EVERYTHING = list(itertools.product(ACTION_SPACES, OBSERVATIONS))
ALLOWED = [(a, o) for a, o in EVERYTHING if o == "bitmap" or a == "holes"]


class Lane(NamedTuple):
    """One of the arenas that are played side by side."""

    cells: int
    layout: tuple = ()
    stop_at_failure: bool = False
    stop_above: float = 2.0


LANES = (
    Lane(24),
    Lane(24, layout=((3, 4), (12, 2), (14, 1))),
    Lane(17, stop_at_failure=True),
    Lane(11, stop_above=0.75),
    Lane(1),
)


class Step(NamedTuple):
    """What a step of the compiled program showed; arrays [lanes, steps, ...]."""

    before: dict  # of the state in which the action was taken
    action: np.ndarray
    observation: np.ndarray
    after: dict  # of the state after it
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    info: dict


class Played(NamedTuple):
    """One combination: what the program showed, and what the slow game says."""

    env: Environment
    first: np.ndarray  # observation of the reset
    steps: Step
    slow: list[list[dict]]  # [lanes][steps]

    def pairs(self):
        """Every step of every lane: (lane, what the program showed, what the slow game says)."""
        for number, found in enumerate(self.slow):
            for time, slow in enumerate(found):
                fast = jax.tree.map(lambda leaf, at=(number, time): leaf[at], self.steps)
                yield LANES[number], fast, slow


def random_requests():
    rng = np.random.default_rng(1)
    shape = SEQUENCES, HORIZON
    size = np.where(rng.random(shape) < 0.1, 30, rng.integers(1, 10, shape))
    size = np.where(rng.random(shape) < 0.2, 1, size)
    lifetime = np.where(rng.random(shape) < 0.2, NEVER, rng.integers(1, 8, shape))
    hint = np.where(rng.random(shape) < 0.4, 0.0, rng.uniform(0.1, 6.0, shape)).astype(np.float32)
    return size, lifetime, hint


def random_actions(env: Environment) -> tuple[np.ndarray, np.ndarray]:
    """For each lane and step: any number, and whether a legal action is taken instead."""
    rng = np.random.default_rng(2)
    shape = len(LANES), STEPS
    number = rng.integers(0, env.num_actions, shape)
    number = np.where(rng.random(shape) < 0.3, env.num_actions - 1, number)
    number = np.where(rng.random(shape) < 0.2, rng.choice([-1, env.num_actions, 10**6]), number)
    return number.astype(np.int32), rng.random(shape) < 0.67


def arena_of(lane: Lane):
    arena = new_arena(lane.cells, CELLS, HORIZON)
    for start, size in lane.layout:
        arena = arena.place(jnp.int32(start), jnp.int32(size), jnp.int32(NEVER))
    return arena.replace(cursor=jnp.int32(0))


@pytest.fixture(scope="module")
def params() -> Params:
    return Params(
        requests=requests_of(*random_requests()),
        initial=jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(arena_of, LANES)),
        ending=Ending(
            jnp.array([lane.stop_at_failure for lane in LANES]),
            jnp.array([lane.stop_above for lane in LANES], jnp.float32),
        ),
    )


def watched(state) -> dict:
    """Of a state, what the slow game knows too, and what must not change by itself."""
    arena, choices = state.arena, Choices(state.starts, state.mask)
    start_of = partial(choices.start_of, state.situation)
    return {
        "free": arena.free.cells(CELLS),
        "heads": arena.heads.cells(CELLS),
        "memory": (arena.birth, arena.forecast, arena.expiry, arena.cursor, arena.high_water),
        "now": arena.now,
        "sequence": state.sequence,
        "starts": jax.vmap(start_of)(jnp.arange(state.mask.shape[0])),
        "mask": state.mask,
        "last_observation": unpacked(state.last_observation),
    }


def unpacked(observation):
    """The rows of a packed observation; any other as it is."""
    return candidates(observation) if isinstance(observation, Packed) else observation


def play(env: Environment, params: Params, number: np.ndarray, choose_legal: np.ndarray):
    """All lanes played by `number`, or by the number-th legal action: first observation, Step.

    The state before a step is the one after the step before it.
    """

    each_lane = Params(requests=None, initial=0, ending=0)

    @partial(jax.vmap, in_axes=(each_lane,))
    def begin(params):
        first, state = env.reset_at(jnp.int32(1), jnp.int32(0), params)
        return unpacked(first), watched(state), state

    @partial(jax.vmap, in_axes=(each_lane, 0, 0, 0))
    def step(params, state, number, choose_legal):
        rank = jnp.cumsum(state.mask)
        legal = jnp.argmax(rank == number % rank[-1] + 1)
        action = jnp.where(choose_legal, legal, number).astype(jnp.int32)
        observation, after, *rest = env.step(jax.random.key(0), state, action, params)
        return after, (action, unpacked(observation), watched(after), *rest)

    @jax.jit
    def play_on(params, numbers):
        first, begun, state = begin(params)
        steps = jax.lax.scan(lambda state, at: step(params, state, *at), state, numbers)[1]
        return first, begun, steps

    first, begun, steps = jax.device_get(play_on(params, (number.T, choose_legal.T)))
    steps = jax.tree.map(lambda leaf: np.moveaxis(leaf, 0, 1), steps)
    action, observation, after, *rest = steps
    before = jax.tree.map(
        lambda begun, after: np.concatenate([begun[:, None], after[:, :-1]], axis=1), begun, after
    )
    return first, Step(before, action, observation, after, *rest)


def shown(game: SlowGame) -> list[float]:
    """The bitmap observation: taken cells, the waiting request and the ones before it."""
    owners = game.arena.owner + ["outside"] * (CELLS - game.cells)
    sizes = [game.size, *game.recent(HISTORY)]
    return [float(owner is not None) for owner in owners] + [size / CELLS for size in sizes]


def replay(lane: Lane, actions: str, taken: list[int]):
    """What the slow game says about each of the actions that were taken."""
    game = SlowGame(*(column.tolist() for column in random_requests()), *lane, sequence=1)
    for action in taken:
        choices = game.choices(actions, HOLES, CELLS)
        start, legal = choices[action] if 0 <= action < len(choices) else (NOWHERE, False)
        found = {
            "choices": choices,
            "legal": legal,
            "start": start,
            "sequence": game.sequence,
            "now": game.arena.now,
            "free": [cell for cell, block in enumerate(game.arena.owner) if block is None],
            "heads": [block.start for block in game.arena.blocks()],
        }
        outcome = game.answer(start)
        found |= {"outcome": outcome, "last": shown(game)}
        if outcome.terminated or outcome.truncated:
            game.begin_next()
        yield found | {"after": shown(game), "next": (game.sequence, game.arena.now)}


def played_cases():
    """In the short run every kind of action, of observation and every reward is played."""
    short = {
        ("holes", "candidates", "failures"),
        ("holes", "packed", "bytes"),
        ("address", "bitmap", "classic"),
        ("fit", "bitmap", "failures"),
    }
    every = ((*combination, reward) for combination in ALLOWED for reward in REWARDS)
    return [pytest.param(each, marks=() if each in short else pytest.mark.slow) for each in every]


@pytest.fixture(scope="module", params=played_cases(), ids="-".join)
def played(request, params) -> Played:
    actions, observation, reward = request.param
    history = HISTORY if observation == "bitmap" else 0
    env = Environment(CELLS, HORIZON, actions, observation, reward, holes=HOLES, history=history)
    first, steps = play(env, params, *random_actions(env))
    slow = [
        list(replay(lane, actions, taken.tolist()))
        for lane, taken in zip(LANES, steps.action, strict=True)
    ]
    return Played(env, first, steps, slow)


@pytest.mark.parametrize("combination", EVERYTHING, ids="-".join)
def test_candidates_are_shown_only_for_holes(combination):
    if combination in ALLOWED:
        Environment(CELLS, HORIZON, *combination)
        return
    with pytest.raises(ValueError, match="use observation 'bitmap'"):
        Environment(CELLS, HORIZON, *combination)


def test_shapes_and_dtypes_are_what_the_environment_says(played):
    env, steps, lead = played.env, played.steps, (len(LANES), STEPS)
    for seen in (steps.observation, *(s["last_observation"] for s in (steps.before, steps.after))):
        assert seen.shape == lead + env.observation_shape
        assert seen.dtype == np.float32
    assert played.first.shape == (len(LANES), *env.observation_shape)
    assert steps.before["mask"].shape == (*lead, env.num_actions)
    dtypes = {"placed": np.bool_, "start": np.int32, "size": np.int32, "live": np.int32}
    dtypes["high_water_mark"] = np.int32
    assert steps.info.keys() == dtypes.keys()
    for array, dtype in (
        (steps.reward, np.float32),
        (steps.terminated, np.bool_),
        (steps.truncated, np.bool_),
        *((array, dtypes[name]) for name, array in steps.info.items()),
    ):
        assert array.shape == lead
        assert array.dtype == dtype


def test_there_is_always_a_legal_action(played):
    assert played.steps.before["mask"].any(-1).all()
    assert played.steps.after["mask"].any(-1).all()


def test_refusing_is_legal_exactly_when_nothing_fits(played):
    met = set()
    for _, fast, slow in played.pairs():
        fits = any(start != NOWHERE for start, _ in slow["choices"])
        assert fast.before["mask"][-1] == (not fits)
        met.add(fits)
    assert met == {True, False}


def test_every_action_means_the_start_that_the_slow_game_finds(played):
    for _, fast, slow in played.pairs():
        starts, legal = zip(*slow["choices"], strict=True)
        np.testing.assert_array_equal(fast.before["mask"], legal)
        np.testing.assert_array_equal(fast.before["starts"], np.where(legal, starts, NOWHERE))


def test_blocks_are_where_the_actions_put_them(played):
    for _, fast, slow in played.pairs():
        np.testing.assert_array_equal(np.flatnonzero(fast.before["free"]), slow["free"])
        np.testing.assert_array_equal(np.flatnonzero(fast.before["heads"]), slow["heads"])


def test_an_illegal_action_is_a_failed_request_and_changes_nothing_else(played):
    met = set()
    for lane, fast, slow in played.pairs():
        if slow["legal"]:
            continue
        met.add(int(np.clip(fast.action, -1, played.env.num_actions)))
        assert not fast.info["placed"]
        assert fast.info["start"] == NOWHERE
        assert fast.info["live"] == lane.cells - len(slow["free"])
        if not (fast.terminated or fast.truncated):
            memory = fast.before["memory"], fast.after["memory"]
            jax.tree.map(np.testing.assert_array_equal, *memory)
    beyond = {-1, played.env.num_actions}
    assert met & beyond
    assert played.env.num_actions - 1 in met  # refused although something fits
    assert met - beyond - {played.env.num_actions - 1}  # a placement that is not possible


def test_rewards_are_what_the_outcome_is_worth(played):
    met = set()
    for lane, fast, slow in played.pairs():
        outcome = slow["outcome"]
        met.add((outcome.placed, outcome.full))
        worth = {
            "failures": 0.0 if outcome.placed else -1.0,
            "bytes": 0.0 if outcome.placed else -outcome.size / lane.cells,
            "classic": (0.1 if outcome.placed else -1.0) - (0.5 if outcome.full else 0.0),
        }[played.env.reward]
        assert fast.reward == pytest.approx(worth, rel=1e-6)
    assert met >= {(True, False), (False, False), (True, True)}


def test_info_tells_what_happened(played):
    for _, fast, slow in played.pairs():
        outcome = slow["outcome"]
        assert fast.info == {
            "placed": outcome.placed,
            "start": slow["start"],
            "size": outcome.size,
            "live": outcome.live,
            "high_water_mark": outcome.high_water,
        }


def test_the_end_of_a_sequence_is_truncation_and_only_the_stop_rules_terminate(played):
    met = set()
    for lane, fast, slow in played.pairs():
        assert fast.truncated == (slow["now"] == HORIZON - 1)
        stopped = lane.stop_at_failure and not fast.info["placed"]
        filled = fast.info["live"] > lane.stop_above * lane.cells
        assert fast.terminated == (stopped or filled)
        met.add((stopped, filled))
    assert met == {(False, False), (True, False), (False, True)}
    assert played.steps.truncated.any()


def test_a_finished_episode_is_followed_by_the_next_sequence(played):
    for _, fast, slow in played.pairs():
        assert (fast.before["sequence"], fast.before["now"]) == (slow["sequence"], slow["now"])
        assert (fast.after["sequence"], fast.after["now"]) == slow["next"]
    assert set(played.steps.before["sequence"].flat) == set(range(SEQUENCES))


def test_a_new_episode_shows_what_a_reset_shows(played):
    """The first lane plays whole sequences: 1, 2, 0."""
    over = np.flatnonzero(played.steps.truncated[0])
    np.testing.assert_array_equal(over, [HORIZON - 1, 2 * HORIZON - 1])
    state = jax.tree.map(lambda leaf: leaf[0], played.steps.before)
    for start in (0, HORIZON, 2 * HORIZON):
        assert state["now"][start] == 0
        assert state["free"][start].all()
        for memory in jax.tree.leaves(state["memory"]):
            np.testing.assert_array_equal(memory[start], memory[0])


def test_the_last_observation_outlives_the_reset(played):
    over = played.steps.terminated | played.steps.truncated
    observation, last = played.steps.observation, played.steps.after["last_observation"]
    np.testing.assert_array_equal(observation[~over], last[~over])
    same = (observation[over] == last[over]).reshape(over.sum(), -1).all(-1)
    assert not same.all()
    np.testing.assert_array_equal(played.first, played.steps.before["last_observation"][:, 0])


def test_observations_are_of_the_waiting_request(played):
    """The last observation is of the finished episode, the other one of the new one."""
    for lane, fast, slow in played.pairs():
        for seen, expected in (
            (fast.observation, slow["after"]),
            (fast.after["last_observation"], slow["last"]),
        ):
            if played.env.observation == "bitmap":
                np.testing.assert_allclose(seen, expected, rtol=1e-6)
            else:
                share = expected[CELLS] * CELLS / lane.cells
                column = seen[:, FEATURES.index("request_share")]
                np.testing.assert_allclose(column, share, rtol=1e-6)
