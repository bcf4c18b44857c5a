"""Placing with every lifetime known, one request at a time: the greedy bound."""

import jax
import jax.numpy as jnp

from jaxmem.arena.arena import Holes, Neighbour
from jaxmem.environment.situation import Situation
from jaxmem.policies import Policy
from jaxmem.policies.fits import HINT_HOLES
from jaxmem.workloads.requests import Requests

# Chosen on validation sequences of seven workloads, where 0.1 to 0.5 do about as well. Without it
# most ends cost the same, that of every neighbour that outlives the request: more failures on five
# of them, fewer on training-step.
APART_COST = 0.25


def knowing(requests: Requests) -> Requests:
    """The same requests with their true lifetimes as hints.

    What outlives the sequence dies at its end: nothing is asked for after it.
    """
    left = requests.length - jnp.arange(requests.length, dtype=jnp.int32)
    return requests.replace(hint=jnp.minimum(requests.lifetime, left).astype(jnp.float32))


def clairvoyant() -> Policy:
    """The policy that takes the end with the least cost; for requests from `knowing`."""
    return Policy(parameters=None, name="clairvoyant", rule=_greedy)


def costs(situation: Situation, found: Holes) -> tuple[jax.Array, jax.Array]:
    """What placing the request at the low and at the high end of each hole costs.

    While two blocks lie side by side there is no hole between them. So each end is charged

        lifetime - requests for which the block will touch its neighbours
                 + APART_COST * requests between its death and that of the neighbour at that end

    where both neighbours count when the hole is filled exactly. The integral of the number of holes
    over time, if nothing more were placed, grows by the first line. Walls and blocks of a layout
    stay for ever: they are touched for the whole lifetime, and nothing is charged for their death.

    Returns:
        float32[K] twice, in requests; infinite where there is no hole.
    """
    lifetime = situation.hint

    def side(neighbour: Neighbour) -> tuple[jax.Array, jax.Array]:
        # With the future known, only what was there before the first request has no prediction.
        stays = neighbour.wall | (neighbour.remaining == 0)
        touching = jnp.where(stays, lifetime, jnp.minimum(neighbour.remaining, lifetime))
        return touching, jnp.where(stays, 0.0, jnp.abs(neighbour.remaining - lifetime))

    (below, apart_below), (above, apart_above) = side(found.below), side(found.above)
    exact = found.length == situation.size
    low = lifetime - below - jnp.where(exact, above, 0.0) + APART_COST * apart_below
    high = lifetime - above - jnp.where(exact, below, 0.0) + APART_COST * apart_above
    return jnp.where(found.exists, low, jnp.inf), jnp.where(found.exists, high, jnp.inf)


def _greedy(parameters: None, key: jax.Array, situation: Situation) -> jax.Array:
    """The cheapest end of the first holes that fit; ties go to the shorter hole, then down."""
    del parameters, key
    found = situation.holes(HINT_HOLES)
    starts = jnp.concatenate([found.low, found.high])
    cost = jnp.concatenate(costs(situation, found))
    return starts[jnp.lexsort((starts, jnp.tile(found.length, 2), cost))[0]]
