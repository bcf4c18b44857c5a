"""Parts of generators: draws, rounds of requests, and lists of live blocks."""

from collections.abc import Callable
from typing import TypeVar

import chex
import jax
import jax.numpy as jnp
from flax import struct

from jaxmem.arena.arena import NEVER

T = TypeVar("T")

# Sequences worked on at once: their tables stay in a processor's cache. All 8192 at once take
# twice as long on a CPU.
PARTS_AT_ONCE = 256


def each_sequence(draw: Callable[[jax.Array], T], key: jax.Array, sequences: int, length: int) -> T:
    """Stacks `draw(key)`, arrays [T] of one sequence, of P independent keys: arrays [P, T].

    Raises ValueError where there would be no sequence or no request.
    """
    if sequences < 1 or length < 1:
        raise ValueError(
            f"sequences is {sequences} and length is {length}; both must be at least 1"
        )
    return jax.lax.map(draw, jax.random.split(key, sequences), batch_size=PARTS_AT_ONCE)


def uniform(key: jax.Array, shape: tuple[int, ...], low: int, high: int) -> jax.Array:
    """Draws U(low, high), both ends included: int32[shape]."""
    return jax.random.randint(key, shape, low, high + 1, jnp.int32)


def exponential(key: jax.Array, shape: tuple[int, ...], mean: jax.Array | float) -> jax.Array:
    """Draws Exp(mean) = max(1, round(exponential with that mean)): int32[shape] requests."""
    return jnp.maximum(1, jnp.round(mean * jax.random.exponential(key, shape))).astype(jnp.int32)


@struct.dataclass
class Round:
    """A few requests whose deaths are known, to be played after another round."""

    size: jax.Array  # int32[M]  cells; entries from `count` on are not requests
    death: jax.Array  # int32[M]  the request of this round before which the block is freed
    count: jax.Array  # int32[]   requests in the round, the end of which is death `count`


def one_after_another(rounds: Round, length: int) -> tuple[jax.Array, jax.Array]:
    """Returns the first `length` requests of rounds (leading axis R): size, lifetime int32[T].

    Where the rounds have fewer requests between them, what follows their end is undefined.
    """
    chex.assert_rank([rounds.size, rounds.death, rounds.count], [2, 2, 1])
    ends = jnp.cumsum(rounds.count)
    request = jnp.arange(length, dtype=jnp.int32)
    which = jnp.searchsorted(ends, request, side="right")
    step = request - (ends - rounds.count)[which]
    return rounds.size[which, step], rounds.death[which, step] - step


@struct.dataclass
class LiveList:
    """A program that remembers its live blocks in a list. It stops at its T-th request."""

    time: jax.Array  # int32[]   requests made so far, 0..T
    count: jax.Array  # int32[]   live blocks in the list
    born: jax.Array  # int32[T]  the request of each live block, in places 0 .. count-1


def empty_list(length: int) -> LiveList:
    """Makes a program that has made none of its `length` requests."""
    zero = jnp.zeros((), jnp.int32)
    return LiveList(time=zero, count=zero, born=jnp.zeros(length, jnp.int32))


def operate(
    live: LiveList, frees: jax.Array, place: jax.Array, requests: jax.Array | bool
) -> tuple[LiveList, tuple[jax.Array, jax.Array]]:
    """Frees the block at `place` (int32[]) if `frees`, then requests one if `requests` (bool[]).

    A new block goes to the place just freed, or to the end; without one, the last block fills the
    gap. Returns also the request freed (T: none) and its lifetime, for `lifetimes_of`. Changes
    nothing once T requests were made.
    """
    chex.assert_rank([live.born, frees, place], [1, 0, 0])
    length = live.born.shape[0]
    going = live.time < length
    freed = jnp.where(going & frees, live.born[place], length)
    changed = jnp.where(going, jnp.where(frees, place, live.count), length)
    now_there = jnp.where(requests, live.time, live.born[live.count - 1])
    after = LiveList(
        time=live.time + (going & requests),
        count=live.count + (going & requests) - (going & frees),
        born=live.born.at[changed].set(now_there, mode="drop"),
    )
    return after, (freed, live.time - freed)


def lifetimes_of(freed: jax.Array, lifetime: jax.Array, length: int) -> jax.Array:
    """Returns lifetimes int32[T] from `operate`'s results, stacked; NEVER for those not freed."""
    return jnp.full((length,), NEVER, jnp.int32).at[freed].set(lifetime, mode="drop")


def random_place(live: LiveList, fraction: jax.Array) -> jax.Array:
    """Chooses a place in the list, int32[], by a uniform draw `fraction` in [0, 1)."""
    return jnp.floor(fraction * live.count).astype(jnp.int32)
