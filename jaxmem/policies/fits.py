"""Placement by rule: the classical fits, and heuristics that use size or predicted lifetime."""

import jax
import jax.numpy as jnp

from jaxmem.arena.arena import Holes, Neighbour
from jaxmem.environment.situation import Situation

HINT_HOLES = 8  # holes that hint_fit looks at, as many as an agent is offered
REST_COST = 4.0  # requests; 2 to 8 do about as well on training-step and call-sites


FITS = ("first", "second", "best", "worst", "next")


def fit(number: jax.Array, key: jax.Array, situation: Situation) -> jax.Array:
    """The fit with this number (int32[]) in `FITS`: one compiled program plays them all."""
    del key
    rules = [lambda arena, size, name=name: getattr(arena, name)(size) for name in FITS]
    return jax.lax.switch(number, rules, situation.arena, situation.size)


def random(parameters: None, key: jax.Array, situation: Situation) -> jax.Array:
    """Any legal start, each with the same probability."""
    del parameters
    arena, size = situation.arena, situation.size
    number = jax.random.randint(key, (), 0, jnp.maximum(arena.start_count(size), 1))
    return arena.numbered_start(size, number)


def two_ended(threshold: jax.Array, key: jax.Array, situation: Situation) -> jax.Array:
    """Up to `threshold` (int32[]) cells: first fit from the low end; larger: from the high end."""
    del key
    arena, size = situation.arena, situation.size
    return jnp.where(size <= threshold, arena.first(size), arena.last(size))


def segregated(choice: jax.Array, key: jax.Array, situation: Situation) -> jax.Array:
    """Small requests at the low end of a hole, larger ones at the high end of one.

    Args:
        choice: int32[3]  the threshold in cells, and whether small and larger requests take the
            hole of best fit (1) or the outermost one (0). With 0 and 0 this is `two_ended`.
    """
    del key
    arena, size = situation.arena, situation.size
    threshold, small_best, large_best = choice
    best = arena.best(size)
    low = jnp.where(small_best > 0, best, arena.first(size))
    high = jnp.where(large_best > 0, arena.high_end(best, size), arena.last(size))
    return jnp.where(size <= threshold, low, high)


def hint_fit(parameters: None, key: jax.Array, situation: Situation) -> jax.Array:
    """Beside the neighbour that is predicted to die nearest in time; without a hint, best fit.

    Blocks that die together leave one hole, and a short rest of a hole is lost until they do. Among
    the ends of the first `HINT_HOLES` holes that fit, an exact fit comes first, else the end with
    the least of

        requests between the two deaths + REST_COST * cells left over

    where a wall, which never leaves a hole behind, counts as dying at the same time, and a block
    without prediction, or overdue, as dying now. Ties go to the shorter hole, then to the lower
    address.
    """
    del parameters, key
    found = situation.holes(HINT_HOLES)
    starts = jnp.concatenate([found.low, found.high])
    cost = jnp.concatenate([_cost(side, situation, found) for side in (found.below, found.above)])
    length = jnp.tile(found.length, 2)
    # One after the other: to sort by all three takes several times as long.
    least = cost == jnp.min(cost)
    least &= length == jnp.min(jnp.where(least, length, situation.arena.cells))
    chosen = jnp.min(jnp.where(least, starts, situation.arena.cells))
    best = situation.arena.best(situation.size)
    return jnp.where((situation.hint > 0) & jnp.any(found.exists), chosen, best)


def _cost(neighbour: Neighbour, situation: Situation, found: Holes) -> jax.Array:
    """What placing the request beside `neighbour` costs, in requests: float32[K]."""
    rest = found.length - situation.size
    apart = jnp.abs(neighbour.remaining - situation.hint)
    cost = jnp.where(neighbour.wall, 0.0, apart) + REST_COST * rest
    return jnp.where(found.exists, jnp.where(rest == 0, -1.0, cost), jnp.inf)
