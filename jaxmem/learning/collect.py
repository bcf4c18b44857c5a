"""Playing many arenas at once with a Q-network, and keeping what a learner needs."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import struct

from jaxmem.environment.environment import Environment, Params, State
from jaxmem.environment.observations import Packed, rows

Values = Callable[[Packed], jax.Array]  # of one situation -> float32[A], -inf: not legal


@struct.dataclass
class Arenas:
    """E arenas in play."""

    observation: Packed  # batched over E
    state: State  # batched over E


@struct.dataclass
class Steps:
    """S steps of E arenas; of each situation only the row of the action taken is kept."""

    row: jax.Array  # float32[S, E, F]  features of the action taken
    reward: jax.Array  # float32[S, E]
    value: jax.Array  # float32[S, E]  the largest Q-value among the legal actions
    terminated: jax.Array  # bool[S, E]
    truncated: jax.Array  # bool[S, E]
    placed: jax.Array  # bool[S, E]


def start_arenas(env: Environment, params: Params, key: jax.Array, count: int) -> Arenas:
    """Arenas that join their sequences at random requests.

    All at the same request would see the same phase of every sequence at once, and learning
    collapses.
    """
    by_sequence, by_time = jax.random.split(key)
    sequence = jax.random.randint(by_sequence, (count,), 0, params.requests.sequences)
    time = jax.random.randint(by_time, (count,), 0, params.requests.length)
    return Arenas(*jax.vmap(env.reset_at, in_axes=(0, 0, None))(sequence, time, params))


def collect(
    env: Environment,
    params: Params,
    values: Values,
    arenas: Arenas,
    key: jax.Array,
    epsilon: jax.Array,
    steps: int,
) -> tuple[Arenas, Steps, jax.Array]:
    """Plays `steps` steps in every arena, epsilon-greedily over the legal actions.

    Returns:
        The arenas after, the steps, and the values of the last situations float32[E].
    """
    count = arenas.state.sequence.shape[0]

    def step(arenas: Arenas, drawn: jax.Array) -> tuple[Arenas, Steps]:
        q = jax.vmap(values)(arenas.observation)
        explored = random_legal(drawn[0], arenas.observation)
        # The upper 24 bits as a number from 0 to 1.
        explores = (drawn[1] >> 8).astype(jnp.float32) * 2.0**-24 < epsilon
        action = jnp.where(explores, explored, jnp.argmax(q, axis=-1))
        row = rows(arenas.observation, jnp.arange(count), action)
        observation, state, reward, terminated, truncated, info = jax.vmap(
            env.step, in_axes=(None, 0, 0, None)
        )(None, arenas.state, action, params)
        kept = Steps(
            row=row,
            reward=reward,
            value=jnp.max(q, axis=-1),
            terminated=terminated,
            truncated=truncated,
            placed=info["placed"],
        )
        return Arenas(observation, state), kept

    # All at once: drawing in every step would take as long as a step of the arena.
    drawn = jax.random.bits(key, (steps, 2, count), jnp.uint32)
    arenas, kept = jax.lax.scan(step, arenas, drawn)
    return arenas, kept, jnp.max(jax.vmap(values)(arenas.observation), axis=-1)


def random_legal(drawn: jax.Array, packed: Packed) -> jax.Array:
    """A legal action of each arena from a random number (uint32[E]): int32[E].

    Each with the same probability, up to one part in 2^16 / A.
    """
    holes = packed.holes.shape[1]
    number = ((drawn >> 16) * (2 * packed.count).astype(jnp.uint32)) >> 16
    return jnp.where(packed.count == 0, 2 * holes, number.astype(jnp.int32))
