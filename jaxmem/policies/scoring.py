"""The values of the candidates that there are, which are few of the K that there could be."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap

from jaxmem.environment.observations import Packed, candidates, rows
from jaxmem.policies.networks import Scorer, Weights, q_values

ROWS_AT_ONCE = 256  # candidates that the network reads at once, at least


def score_candidates(network: Scorer, parameters: Weights, packed: Packed) -> jax.Array:
    """Values every legal action of a situation, -inf for the others: float32[2 * K + 1].

    Under `vmap`, the candidates of all situations are read one after the other in chunks, so that
    the work grows with those that exist and not with K.
    """

    alone = functools.partial(score_every_row, network)
    values = custom_vmap(alone)

    @values.def_vmap
    def batched(axis_size: int, in_batched: Sequence[object], parameters: Weights, packed: Packed):
        parameters_batched, packed_batched = map(jax.tree.leaves, in_batched)
        if any(parameters_batched) or not all(packed_batched):
            # No matrix product serves parameters that differ between situations.
            axes = jax.tree.map(lambda batched: 0 if batched else None, tuple(in_batched))
            return jax.vmap(alone, axes)(parameters, packed), True
        return _in_chunks(network, parameters, packed, axis_size), True

    return values(parameters, packed)


def score_every_row(network: Scorer, parameters: Weights, packed: Packed) -> jax.Array:
    """Values as `score_candidates` does, whatever it is mapped over, by a row for each action."""
    read = candidates(packed, network.columns)
    return jnp.where(_legal(packed), q_values(network, parameters, read), -jnp.inf)


def _legal(packed: Packed) -> jax.Array:
    """Tells which actions are legal: bool[2 * K + 1]."""
    actions = jnp.arange(2 * packed.holes.shape[-2] + 1)
    refuse = actions == actions[-1]
    return jnp.where(refuse, packed.count == 0, actions < 2 * packed.count)


def _in_chunks(network: Scorer, parameters: Weights, packed: Packed, count: int) -> jax.Array:
    """Values `count` situations: float32[count, 2 * K + 1]."""
    actions = 2 * packed.holes.shape[-2] + 1
    chunk = min(max(ROWS_AT_ONCE, count // 4), count * actions)
    # A situation in which nothing fits has one candidate, *refuse*.
    mine = jnp.maximum(2 * packed.count, 1)
    ends = jnp.cumsum(mine)
    begins = ends - mine

    def read(number: jax.Array, values: jax.Array) -> jax.Array:
        place = number * chunk + jnp.arange(chunk)
        situation = jnp.minimum(jnp.searchsorted(ends, place, side="right"), count - 1)
        action = place - begins[situation]
        action = jnp.where(packed.count[situation] == 0, actions - 1, action)
        read_here = rows(packed, situation, action, network.columns)
        found = q_values(network, parameters, read_here)
        return jax.lax.dynamic_update_slice(values, found, (number * chunk,))

    room = jnp.zeros(-(-count * actions // chunk) * chunk, jnp.float32)
    values = jax.lax.fori_loop(0, (ends[-1] + chunk - 1) // chunk, read, room)
    place = begins[:, None] + jnp.append(jnp.arange(actions - 1), 0)
    legal = jax.vmap(_legal)(packed)
    return jnp.where(legal, values[jnp.where(legal, place, 0)], -jnp.inf)
