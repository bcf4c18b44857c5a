"""Lifetimes foretold from the past: what an allocator that keeps count knows of a request.

A program that frees its blocks of 3 cells soon will go on to do so. Of every size it is known how
many blocks have died, and for how many requests blocks of it have lived. The second over the first
is the most likely mean lifetime, were death equally likely at any age; blocks that still live count
as far as they have come. Sizes lend each other what they know, the less the further they lie apart.
"""

import jax
import jax.numpy as jnp

from jaxmem.workloads.requests import Requests

PER_OCTAVE = 4  # classes between a size and its double
CLASSES = 20 * PER_OCTAVE  # the last has all sizes from 2^20 cells on
SHARE = 0.5  # of what one size has seen that counts for its neighbour's class
BATCH = 64  # sequences at once: a bound on the memory


@jax.jit
def estimate_lifetimes(requests: Requests) -> Requests:
    """Gives the same requests hints: what could be foretold of each from those before it.

    The hint of a request depends on nothing later than it, and not on where blocks were placed: a
    request that failed counts as if it had been served. 0, no hint, until about one block of such a
    size has died.
    """
    hint = jax.lax.map(
        lambda sequence: _estimate_lifetimes(*sequence),
        (requests.size, requests.lifetime),
        batch_size=BATCH,
    )
    return requests.replace(hint=hint)


def _estimate_lifetimes(size: jax.Array, lifetime: jax.Array) -> jax.Array:
    """Foretells the hints of one sequence, sizes and lifetimes int32[T]: float32[T]."""
    length = size.shape[0]
    octaves = jnp.log2(size.astype(jnp.float32))
    number = jnp.clip(jnp.round(PER_OCTAVE * octaves).astype(jnp.int32), 0, CLASSES - 1)
    born = jnp.arange(length)
    dies = jnp.minimum(born + lifetime, length)  # at the end: never, as far as anyone will know
    none = jnp.zeros((length + 1, CLASSES))
    deaths = jnp.cumsum(none.at[dies, number].add(1.0), axis=0)[:-1]
    births = jnp.cumsum(none.at[born, number].add(1.0), axis=0)[:-1]
    # Requests lived by the blocks of a class so far: the number alive, summed over the time before.
    lived = jnp.cumsum(births - deaths, axis=0) - (births - deaths)
    apart = jnp.abs(number[:, None] - jnp.arange(CLASSES))
    weight = SHARE ** apart.astype(jnp.float32)
    lived, deaths = jnp.sum(weight * lived, axis=1), jnp.sum(weight * deaths, axis=1)
    return jnp.where(deaths >= 1.0, lived / jnp.maximum(deaths, 1.0), 0.0)
