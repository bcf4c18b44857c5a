"""One request waiting for a place: what a policy may see of it, and what a placement does."""

import jax
import jax.numpy as jnp
from flax import struct

from jaxmem.arena import measures
from jaxmem.arena.arena import Arena, Holes
from jaxmem.workloads.requests import Requests


@struct.dataclass
class Situation:
    """The arena and the request that a policy decides on, never the future."""

    arena: Arena
    size: jax.Array  # int32[]  cells asked for
    hint: jax.Array  # float32[]  predicted lifetime in requests, 0: none
    kind: jax.Array  # int32[]  call site or class

    def live_with(self, start: jax.Array) -> jax.Array:
        """Counts live cells with the request at `start` (int32[]), before the tick: int32[]."""
        return measures.live_cells(self.arena) + jnp.where(start >= 0, self.size, 0)

    def holes(self, count: int) -> Holes:
        """Finds the first `count` holes in which the request fits."""
        return self.arena.holes_that_fit(self.size, count)


def situation_at(arena: Arena, requests: Requests, sequence: jax.Array) -> Situation:
    """Reads the request that waits when the arena's clock shows its number; the last one stays."""
    time = jnp.minimum(arena.now, requests.length - 1)
    return Situation(
        arena=arena,
        size=requests.size[sequence, time],
        hint=requests.hint[sequence, time],
        kind=requests.kind[sequence, time],
    )


def serve(situation: Situation, start: jax.Array, lifetime: jax.Array) -> Arena:
    """Moves the arena on to the next request, with this one at `start` (int32[], or NOWHERE).

    Args:
        lifetime: int32[]  requests for which the block lives, this one included.
    """
    arena, hint = situation.arena, situation.hint
    forecast = jnp.where(hint > 0, arena.now + jnp.maximum(jnp.round(hint), 1.0), 0.0)
    return arena.advance(start, situation.size, arena.now + lifetime, forecast.astype(jnp.int32))
