"""Placement by rule: the classical fits, and two heuristics that use size or predicted lifetime."""

import jax
import jax.numpy as jnp

from jaxmem.arena import fits
from jaxmem.arena.bitmap import NOWHERE, Holes, Neighbour, legal_starts
from jaxmem.environment.situation import Situation

HINT_HOLES = 8  # holes that hint_fit looks at, as many as an agent is offered


def rule(fit):
    """A policy rule (parameters, key, situation) -> start from an arena fit."""

    def choose(parameters: None, key: jax.Array, situation: Situation) -> jax.Array:
        del parameters, key
        return fit(situation.arena, situation.size)

    return choose


first = rule(fits.first)
second = rule(fits.second)
best = rule(fits.best)
worst = rule(fits.worst)
next = rule(fits.next)


def random(parameters: None, key: jax.Array, situation: Situation) -> jax.Array:
    """Any legal start, each with the same probability."""
    del parameters
    starts = legal_starts(situation.arena, situation.size)
    number = jax.random.randint(key, (), 0, jnp.maximum(starts.count(), 1))
    ranks = jnp.cumsum(starts.cells(situation.arena.capacity))
    chosen = jnp.argmax(ranks == number + 1)
    return jnp.where(starts.any(), chosen, NOWHERE).astype(jnp.int32)


def two_ended(threshold: jax.Array, key: jax.Array, situation: Situation) -> jax.Array:
    """Up to `threshold` (int32[]) cells: first fit from the low end; larger: from the high end."""
    del key
    arena, size = situation.arena, situation.size
    return jnp.where(size <= threshold, fits.first(arena, size), fits.last(arena, size))


def hint_fit(parameters: None, key: jax.Array, situation: Situation) -> jax.Array:
    """Beside the neighbour that is predicted to die nearest in time; without a hint, best fit.

    Blocks that die together leave one hole. A wall counts as a neighbour that never dies; ties go
    to the shorter hole, then to the lower address.
    """
    del parameters, key
    found = situation.holes(HINT_HOLES)
    starts = jnp.concatenate([found.low, found.high])
    distance = jnp.concatenate(
        [_distance(side, situation.hint, found) for side in (found.below, found.above)]
    )
    length = jnp.tile(found.length, 2)
    order = jnp.lexsort((starts, length, distance))
    best = fits.best(situation.arena, situation.size)
    return jnp.where((situation.hint > 0) & jnp.any(found.exists), starts[order[0]], best)


def _distance(neighbour: Neighbour, hint: jax.Array, found: Holes) -> jax.Array:
    """Requests between the deaths of the neighbour and of the request: float32[K]."""
    far = jnp.float32(2**20)
    distance = jnp.abs(neighbour.remaining - hint)
    distance = jnp.where(neighbour.wall | (neighbour.remaining == 0), far, distance)
    return jnp.where(found.exists, distance, jnp.inf)
