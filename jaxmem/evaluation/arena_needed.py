"""The smallest arena in which a policy serves every request of a sequence."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.arena.bits import WORD
from jaxmem.arena.making import BITMAP_CELLS, new_arena
from jaxmem.environment.playing import play
from jaxmem.environment.situation import Situation
from jaxmem.policies import Policy
from jaxmem.recordings.headroom import smallest_served
from jaxmem.workloads.peaks import peak_live
from jaxmem.workloads.registry import Workload
from jaxmem.workloads.requests import Requests


def arena_needed(policy: Policy, requests: Requests, workload: Workload, seed: int) -> np.ndarray:
    """Finds the cells that the policy needs for each sequence: float64[P].

    The whole sequence is played, without early ends, by bisection between the peak live cells and
    an arena that is large enough: a smaller arena that happens to do is missed where failures do
    not grow as the arena shrinks.

    Raises:
        ValueError: the workload has a layout, or a sequence does not fit into the largest arena.
    """
    if workload.layout:
        raise ValueError("arena_needed: an arena with a layout has a given size")
    requests = policy.told(requests, workload.has_hints)
    enough, peak = _ample_arena(policy, requests, seed)
    low = peak.astype(np.int64) - 1  # one cell less than the peak always fails

    def served(cells: np.ndarray) -> np.ndarray:
        sizes = jnp.asarray(cells, jnp.int32)
        return np.asarray(_served(policy, requests, sizes, enough, seed))

    return smallest_served(served, low, np.full_like(low, enough)).astype(np.float64)


def _ample_arena(policy: Policy, requests: Requests, seed: int) -> tuple[int, np.ndarray]:
    """Finds an arena in which nothing fails, and the peak live cells float64[P]."""
    peak = peak_live(requests)
    capacity = min(BITMAP_CELLS, max(WORD, 2 * int(peak.max())))
    while True:
        cells = jnp.full((requests.sequences,), capacity, jnp.int32)
        served = np.asarray(_served(policy, requests, cells, capacity, seed))
        if served.all():
            return capacity, peak
        if capacity == BITMAP_CELLS:
            raise ValueError(
                f"arena_needed: {policy.name} fails in the largest arena, {BITMAP_CELLS} cells, "
                f"on {np.count_nonzero(~served)} of {len(served)} sequences; take fewer cells"
            )
        capacity = min(BITMAP_CELLS, 2 * capacity)


def _served(policy, requests: Requests, cells: jax.Array, capacity: int, seed: int) -> jax.Array:
    """Tells whether every request of each sequence is placed in `cells` (int32[P]): bool[P]."""
    return _play_all(policy, requests, cells, jax.random.key(seed), capacity)


@functools.partial(jax.jit, static_argnames="capacity")
def _play_all(policy: Policy, requests: Requests, cells, key, capacity: int) -> jax.Array:
    def one(sequence: jax.Array, cells: jax.Array) -> jax.Array:
        own_key = jax.random.fold_in(key, sequence)

        def answer(served: jax.Array, situation: Situation, _: None):
            start = policy(jax.random.fold_in(own_key, situation.arena.now), situation)
            return served & (start >= 0), start, None

        arena = new_arena(cells, capacity, requests.length)
        return play(answer, arena, requests, sequence, jnp.bool_(True))[1]

    return jax.vmap(one)(jnp.arange(requests.sequences), cells)
