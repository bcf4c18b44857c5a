"""Policies that place by rule: the fits that an arena has, and rules of size and lifetime."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxmem.arena.arena import NOWHERE, Arena, Holes, Neighbour
from jaxmem.environment.situation import Situation
from jaxmem.rules import FITS, Place

HINT_HOLES = 8  # holes that hint_fit looks at, as many as an agent is offered
REST_COST = 4.0  # requests, for a cell; 2 does about as well on training-step and call-sites
# Chosen on validation sequences of seven workloads with all lifetimes known, where 0.1 to 0.5 do
# about as well. Without it most ends cost the same: that of every neighbour that outlives the
# request.
APART_COST = 0.25
NO_PLACE = 2**31 - 1  # no length and no address


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


def by_order(order: tuple[Place, Place]) -> Callable[..., jax.Array]:
    """Makes the rule that places by an order of the holes.

    Args:
        order: for requests of up to the rule's parameter, a threshold (int32[]) in cells, and for
            larger ones; a rule with one place for both has no parameter.
    """
    small, large = order

    def choose(threshold: jax.Array | None, key: jax.Array, situation: Situation) -> jax.Array:
        del key
        arena, size = situation.arena, situation.size
        if threshold is None:
            return _start_in(arena, size, small)
        return jnp.where(
            size <= threshold, _start_in(arena, size, small), _start_in(arena, size, large)
        )

    return choose


def _start_in(arena: Arena, size: jax.Array, place: Place) -> jax.Array:
    start = getattr(arena, place.hole)(size)
    return arena.high_end(start, size) if place.high and place.hole != "last" else start


def two_ended_tuned(choice: jax.Array, key: jax.Array, situation: Situation) -> jax.Array:
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
    """Places the block where it will long lie beside others; without a hint, best fit.

    Of the ends of the first `HINT_HOLES` holes that fit, the one with the least of `contact_costs`
    and REST_COST for every cell that is left over: a short rest of a hole is lost until a
    neighbour dies. Ties go to the shorter hole, then to the lower address.
    """
    del parameters, key
    found = situation.holes(HINT_HOLES)
    start = cheapest_end(found, contact_costs(situation, found, REST_COST))
    return jnp.where(situation.hint > 0, start, situation.arena.best(situation.size))


def contact_costs(situation: Situation, found: Holes, rest_cost: float = 0.0) -> jax.Array:
    """Computes what placing the request at the low and at the high end of each hole costs.

    While two blocks lie side by side there is no hole between them. So each end is charged

        lifetime - requests for which the block will touch its neighbours
                 + APART_COST * requests between its death and that of the neighbour at that end
                 + rest_cost * cells left over

    where both neighbours count when the hole is filled exactly. The integral of the number of holes
    over time, if nothing more were placed, grows by the first line. Walls, and blocks without a
    prediction or overdue, count as staying: they are touched for the whole lifetime, and nothing is
    charged for their death.

    Returns:
        float32[2, K]  low and high ends, in requests; infinite where there is no hole.
    """
    lifetime, rest = situation.hint, found.length - situation.size

    def side(neighbour: Neighbour) -> tuple[jax.Array, jax.Array]:
        stays = neighbour.wall | (neighbour.remaining == 0)
        touching = jnp.where(stays, lifetime, jnp.minimum(neighbour.remaining, lifetime))
        return touching, jnp.where(stays, 0.0, jnp.abs(neighbour.remaining - lifetime))

    (below, apart_below), (above, apart_above) = side(found.below), side(found.above)
    touching = jnp.stack([below, above])
    touching += jnp.where(rest == 0, jnp.stack([above, below]), 0.0)
    apart = jnp.stack([apart_below, apart_above])
    cost = lifetime - touching + APART_COST * apart + rest_cost * rest
    return jnp.where(found.exists, cost, jnp.inf)


def cheapest_end(found: Holes, cost: jax.Array) -> jax.Array:
    """The start (int32[]) of the end with the least cost (float32[2, K]), or NOWHERE.

    Ties go to the shorter hole, then to the lower address.
    """
    starts = jnp.stack([found.low, found.high])
    # One after the other: to sort by all three takes several times as long.
    least = cost == jnp.min(cost)
    least &= found.length == jnp.min(jnp.where(least, found.length, NO_PLACE))
    start = jnp.min(jnp.where(least, starts, NO_PLACE))
    return jnp.where(jnp.any(found.exists), start, NOWHERE)
