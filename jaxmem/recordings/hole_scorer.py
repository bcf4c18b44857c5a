"""A learned policy for whole recordings in bytes: it scores both ends of every hole.

A score is a sum of weighted features, of the hole, of the request, and of what the program's past
foretells of the request. The weights are learned (`jaxmem.recordings.evolution`). Only shares of
the arena count, so that it plays in arenas of any size.

Where blocks are tiny beside the arena, as those of ordinary programs are, there is nothing to learn
and best fit plays.
"""

import jax
import jax.numpy as jnp
from flax import struct

from jaxmem.arena.arena import NOWHERE
from jaxmem.recordings.hole_table import HoleTable
from jaxmem.recordings.orders import order_of

TINY = 1 / 256  # of the arena, on the mean over live blocks
SURE = 1.0  # blocks like it that must have died to count as much as what is known of all programs
PRIOR = ("one", "size", "size^2", "begins", "begins*size")
HOLE_FEATURES = (
    *("left", "sqrt left", "exact", "tightest", "largest", "lowest", "highest", "high end"),
    *("address", "address*size", "high end*size", "address*life", "high end*life"),
    *("address^2", "address^2*life", "left*life", "sqrt left*life", "left*size"),
    *("wall", "wall*life", "address*unusual", "high end*unusual", "address*live"),
    *("address*begins", "high end*begins", "left*begins"),
)


class Known(struct.PyTreeNode):
    """A request, and what is known when it is made."""

    size: jax.Array  # int32[]  units
    died: jax.Array  # float32[]  as in `jaxmem.recordings.history`
    lived: jax.Array  # float32[]
    begins: jax.Array  # bool[]
    usual: jax.Array  # float32[]  of sizes in units
    given: jax.Array  # bool[]  best fit places it, whatever the weights
    foretold: jax.Array  # int32[]  requests, the lifetime by a profile; UNFORETOLD: none
    contexts: jax.Array  # int32[N]  its contexts, as places in a profile; UNKNOWN_CONTEXT: none
    planned: jax.Array  # int32[]  units, where its slot in a plan starts; NOWHERE: it has none


class Live(struct.PyTreeNode):
    """The live units and blocks."""

    units: jax.Array  # int32[]
    blocks: jax.Array  # int32[]


def blocks_are_tiny(live: Live, cells: jax.Array) -> jax.Array:
    """Tells whether the mean live block is tiny beside an arena, where best fit plays: bool[]."""
    return live.units < TINY * cells * live.blocks


class HoleScorer(struct.PyTreeNode):
    """The learned weights."""

    weights: jax.Array  # float32[F]  of `HOLE_FEATURES`
    prior: jax.Array  # float32[P]  of `PRIOR`, whose weighted sum is a logarithm of a lifetime

    def place(
        self, table: HoleTable, cells: jax.Array, known: Known, live: Live
    ) -> tuple[HoleTable, jax.Array]:
        """Places the block in the arena of int32[] units; its start: int32[], maybe NOWHERE."""
        return jax.lax.cond(
            blocks_are_tiny(live, cells) | known.given,
            lambda: table.place(known.size, order_of("best")),
            lambda: table.place_where(known.size, self.score(table, cells, known, live)),
        )

    def score(self, table: HoleTable, cells: jax.Array, known: Known, live: Live) -> jax.Array:
        """Scores the low and the high end of the hole in each slot: float32[2, H].

        The lifetime that is foretold is the mean logarithm over the blocks like it that have died,
        drawn towards what its size tells in other programs:

            (SURE * prior + lived) / (SURE + died)
        """
        unit = 1 / cells.astype(jnp.float32)
        share = known.size.astype(jnp.float32) * unit
        size = jnp.log(share)
        begins = known.begins.astype(jnp.float32)
        prior = self.prior @ jnp.stack([jnp.ones(()), size, size**2, begins, begins * size])
        life = (SURE * prior + known.lived) / (SURE + known.died) / 3 - 1
        unusual = (jnp.log(known.size.astype(jnp.float32)) - known.usual) / 3
        size = size / 3 + 1
        filled = live.units.astype(jnp.float32) * unit
        length = table.high - table.low
        fits = length >= known.size
        left = (length - known.size).astype(jnp.float32) * unit
        root = jnp.sqrt(jnp.maximum(left, 0))
        lowest = jnp.min(jnp.where(fits, table.low, cells))
        highest = jnp.max(jnp.where(fits, table.high, NOWHERE))
        tightest = (length == jnp.min(jnp.where(fits, length, cells))).astype(jnp.float32)
        largest = (length == jnp.max(length)).astype(jnp.float32)
        exact = (length == known.size).astype(jnp.float32)

        def scores(high: float) -> jax.Array:
            begin = table.high - known.size if high else table.low
            address = begin.astype(jnp.float32) * unit + share / 2
            first = (table.low == lowest) * (1.0 - high)
            last = (table.high == highest) * jnp.maximum(high, exact)
            wall = ((table.high == cells) if high else (table.low == 0)).astype(jnp.float32)
            features = (
                *(left, root, exact, tightest, largest, first, last, high),
                *(address, address * size, high * size, address * life, high * life),
                *(address**2, address**2 * life, left * life, root * life, left * size),
                *(wall, wall * life, address * unusual, high * unusual, address * filled),
                *(address * begins, high * begins, left * begins),
            )
            # Summed one by one, so that they are never all in memory.
            return sum(
                (weight * feature for weight, feature in zip(self.weights, features, strict=True)),
                start=jnp.zeros_like(left),
            )

        return jnp.stack([scores(0.0), scores(1.0)])
