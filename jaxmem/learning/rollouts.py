"""Branches: every placement of a state, played on against the same later requests.

What differs between two branches is then the placement alone, and not the luck of the draw (common
random numbers).
"""

import functools
from collections.abc import Callable
from typing import cast

import jax
import jax.numpy as jnp

from jaxmem.environment.environment import Environment, Params
from jaxmem.environment.observations import FEATURES, rows
from jaxmem.environment.playing import play
from jaxmem.environment.rewards import Outcome, reward_of
from jaxmem.environment.situation import Situation, serve
from jaxmem.learning.collect import Arenas
from jaxmem.learning.devices import FIRST, SECOND, by_device
from jaxmem.learning.placements import to_try
from jaxmem.policies import Policy
from jaxmem.policies.q_functions import random_candidate

Choose = Callable[[Situation], jax.Array]  # of one situation -> start int32[]


def playing(player: Policy) -> Choose:
    """Makes the choice of a policy that draws nothing."""
    unused = jax.random.key(0)  # rules and networks draw nothing
    return lambda situation: player(unused, situation)


def label(
    env: Environment,
    choose: Choose,
    params: Params,
    arenas: Arenas,
    key: jax.Array,
    *,
    candidates: int,
    horizon: int,
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Estimates the advantage of each placement in the states of E arenas, beside the others.

    Args:
        choose: the base policy, which plays on after each placement.
        candidates: C, placements that are tried in a state, at most.
        horizon: H, requests for which each is followed.

    Returns:
        Rows float32[E * C, F], advantages float32[E * C], the numbers of their states int32[E * C],
        ascending, and how many of them there are, int32[].
    """
    count, packed, state = arenas.state.sequence.shape[0], arenas.observation, arenas.state
    starts = cast(jax.Array, state.starts)  # the actions are holes
    tried = to_try(packed.count, candidates, key)
    follow_all = jax.vmap(functools.partial(follow, env, choose, params, horizon))
    followed = by_device(follow_all, (FIRST, FIRST, FIRST), FIRST)

    def branch(number: jax.Array, found: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        mine, action = tried.at(number * count + jnp.arange(count))
        situation = jax.tree.map(lambda leaf: leaf[mine], state.situation)
        reward = followed(situation, state.sequence[mine], starts[mine, action])
        new = (rows(packed, mine, action), reward, mine)
        return tuple(
            jax.lax.dynamic_update_slice_in_dim(all, part, number * count, axis=0)
            for all, part in zip(found, new, strict=True)
        )

    places, total = count * candidates, tried.ends[-1]
    nothing = (
        jnp.zeros((places, len(FEATURES))),
        jnp.zeros((places,)),
        jnp.zeros((places,), jnp.int32),
    )
    row, reward, mine = jax.lax.fori_loop(0, (total + count - 1) // count, branch, nothing)
    begins, numbers = tried.ends - tried.count, jnp.arange(candidates)
    given = reward[jnp.minimum(begins[:, None] + numbers, places - 1)]
    given = jnp.where(numbers < tried.count[:, None], given, 0.0)
    mean = jnp.sum(given, axis=1) / jnp.maximum(tried.count, 1)
    return row, reward - mean[mine], mine, total


def follow(
    env: Environment,
    choose: Choose,
    params: Params,
    horizon: int,
    situation: Situation,
    sequence: jax.Array,
    start: jax.Array,
) -> jax.Array:
    """The reward of a placement and of the H - 1 requests after it: float32[]."""
    requests, arena = params.requests, situation.arena
    given_for, nothing = reward_of(env.reward), jnp.bool_(False)

    def score(carry, situation: Situation, start: jax.Array):
        (lost, full, total), arena = carry, situation.arena
        ended = params.ending.after(situation, start)
        outcome = Outcome(start >= 0, situation.size, arena.cells, ended.full)
        # What an episode that a failure ended would still have asked for has failed too.
        reward = jnp.where(
            lost,
            given_for(outcome._replace(placed=nothing, full=nothing)),
            given_for(outcome),
        )
        asked = (arena.now < requests.length) & ~full
        lost |= asked & ended.lost
        reward = jnp.where(asked, reward, 0.0).astype(jnp.float32)
        return lost, full | (ended.full & ~lost), total + reward

    def answer(carry, situation: Situation, _: None):
        start = choose(situation)
        return score(carry, situation, start), start, None

    first = score((nothing, nothing, jnp.float32(0.0)), situation, start)
    arena = serve(situation, start, requests.lifetime[sequence, arena.now])
    _, carry, _ = play(answer, arena, requests, sequence, first, length=horizon - 1)
    return carry[-1]


def play_on(
    env: Environment,
    choose: Choose,
    params: Params,
    arenas: Arenas,
    key: jax.Array,
    *,
    steps: int,
    epsilon: float | jax.Array,
) -> tuple[Arenas, jax.Array, jax.Array]:
    """E arenas `steps` requests later, a share of them placed at random where it is legal.

    Returns:
        The arenas, the share of the requests that failed float32[], and episodes ended int32[].
    """
    count = arenas.state.sequence.shape[0]

    def draw(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        by_move, by_choice = jax.random.split(key)
        moves = jax.random.uniform(by_choice, (count,)) < epsilon
        return jax.random.bits(by_move, (count,), jnp.uint32), moves

    def play(arenas: Arenas, drawn: jax.Array, moves: jax.Array):
        def step(arenas: Arenas, drawn: tuple[jax.Array, jax.Array]):
            state, (bits, moves) = arenas.state, drawn
            at_random = random_candidate(bits, arenas.observation)

            def one(state, action, moves):
                elsewhere = state.starts[jnp.minimum(action, state.starts.shape[0] - 1)]
                return jnp.where(moves, elsewhere, choose(state.situation))

            start = jax.vmap(one)(state, at_random, moves)
            observation, state, _, terminated, truncated, info = jax.vmap(
                env.step_at, in_axes=(0, 0, None)
            )(state, start, params)
            return Arenas(observation, state), (~info["placed"], terminated | truncated)

        return jax.lax.scan(step, arenas, (drawn, moves))

    played = by_device(play, (FIRST, SECOND, SECOND), (FIRST, SECOND))
    drawn, moves = jax.vmap(draw)(jax.random.split(key, steps))
    arenas, (failed, over) = played(arenas, drawn, moves)
    return arenas, jnp.mean(failed), jnp.sum(over)
