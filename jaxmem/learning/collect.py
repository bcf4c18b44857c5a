"""Playing many arenas at once with a Q-network, and keeping what a learner needs."""

from typing import Any, Generic

import jax
import jax.numpy as jnp
from flax import struct

from jaxmem.environment.environment import Environment, Params, State
from jaxmem.learning.devices import FIRST, SECOND, THIRD, by_device
from jaxmem.learning.settings import Numbers
from jaxmem.policies.networks import Weights
from jaxmem.policies.q_functions import QFunction, Seen, Taken


@struct.dataclass
class Arenas:
    """E arenas in play."""

    observation: Any  # batched over E: a `Packed`, or the bitmap float32[E, N + 1]
    state: State  # batched over E


@struct.dataclass
class Steps(Generic[Seen, Taken]):
    """S steps of E arenas; of each situation only what is read of the action taken is kept."""

    row: Taken  # [S, E, ...]  what the network reads of the action taken: features float32[S, E, F]
    reward: jax.Array  # float32[S, E]
    value: jax.Array  # float32[S, E]  the largest Q-value among the legal actions
    terminated: jax.Array  # bool[S, E]
    truncated: jax.Array  # bool[S, E]
    placed: jax.Array  # bool[S, E]
    after: Seen | None = None  # [S, E, ...]  what is seen next, in the next episode if one ended


def start_arenas(env: Environment, params: Params, key: jax.Array, count: int) -> Arenas:
    """Arenas that join their sequences at random requests.

    All at the same request would see the same phase of every sequence at once, and learning
    collapses.
    """
    by_sequence, by_time = jax.random.split(key)
    sequence = jax.random.randint(by_sequence, (count,), 0, params.requests.sequences)
    time = jax.random.randint(by_time, (count,), 0, params.requests.length)
    return Arenas(*jax.vmap(env.reset_at, in_axes=(0, 0, None))(sequence, time, params))


def epsilon_at(
    update: jax.Array, updates: int, numbers: Numbers, decay: str = "linear"
) -> jax.Array:
    """The share of steps that explore, after `update` (int32[]) of `updates` updates: float32[].

    It falls from 1 to `final_epsilon` over `exploration_fraction` of the run, in a line or
    exponentially, by the same factor in each update.
    """
    last = numbers["exploration_fraction"] * updates
    done = jnp.where(last > 0, jnp.minimum(update / jnp.where(last > 0, last, 1.0), 1.0), 1.0)
    if decay == "exponential":
        return numbers["final_epsilon"] ** done
    return 1.0 + done * (numbers["final_epsilon"] - 1.0)


def collect(
    env: Environment,
    params: Params,
    q: QFunction[Seen, Taken],
    network: Weights,
    arenas: Arenas,
    key: jax.Array,
    epsilon: jax.Array,
    steps: int,
    *,
    keep_after: bool = False,
) -> tuple[Arenas, Steps[Seen, Taken], jax.Array]:
    """Plays `steps` steps in every arena, epsilon-greedily over the legal actions.

    Args:
        network: parameters of the Q-function's network.
        keep_after: keep what is seen after each step, too.

    Returns:
        The arenas after, the steps, and the values of the last situations float32[E].
    """
    count = arenas.state.sequence.shape[0]

    def look(arenas: Arenas) -> tuple[Seen, jax.Array]:
        seen = q.seen(arenas.observation, arenas.state)
        return seen, jax.vmap(lambda seen: q.values(network, seen))(seen)

    def step(arenas: Arenas, drawn: jax.Array) -> tuple[Arenas, Steps[Seen, Taken]]:
        seen, values = look(arenas)
        explored = q.random(drawn[0], seen)
        # The upper 24 bits as a number from 0 to 1.
        explores = (drawn[1] >> 8).astype(jnp.float32) * 2.0**-24 < epsilon
        action = jnp.where(explores, explored, jnp.argmax(values, axis=-1))
        row = q.take(seen, action)
        observation, state, reward, terminated, truncated, info = jax.vmap(
            env.step, in_axes=(None, 0, 0, None)
        )(None, arenas.state, action, params)
        kept = Steps(
            row=row,
            reward=reward,
            value=jnp.max(values, axis=-1),
            terminated=terminated,
            truncated=truncated,
            placed=info["placed"],
            after=q.seen(observation, state) if keep_after else None,
        )
        return Arenas(observation, state), kept

    def play(arenas: Arenas, drawn: jax.Array) -> tuple[Arenas, Steps[Seen, Taken], jax.Array]:
        arenas, kept = jax.lax.scan(step, arenas, drawn)
        return arenas, kept, jnp.max(look(arenas)[1], axis=-1)

    # All at once: drawing in every step would take as long as a step of the arena.
    drawn = jax.random.bits(key, (steps, 2, count), jnp.uint32)
    return by_device(play, (FIRST, THIRD), (FIRST, SECOND, FIRST))(arenas, drawn)
