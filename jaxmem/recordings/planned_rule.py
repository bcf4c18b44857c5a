"""A class rule with a plan: what has a slot of its own goes there, what has none out of its way."""

import jax
import jax.numpy as jnp
from flax import struct

from jaxmem.arena.arena import NOWHERE
from jaxmem.recordings.class_rule import ClassRule
from jaxmem.recordings.hole_scorer import Known, Live
from jaxmem.recordings.hole_table import HoleTable, Order

MISSED = NOWHERE - 1  # in place of a slot, for a request that the plan has none for


class PlannedRule(struct.PyTreeNode):
    """It plays in arenas that are bounded, events whose slots are planned.

    While the plan holds, a block whose slot is not free, or beyond the arena, and one that it has
    no slot for, take the high end of the highest hole, since slots lie low. All else goes by the
    rule.
    """

    rule: ClassRule

    def place(
        self, table: HoleTable, cells: jax.Array, known: Known, live: Live
    ) -> tuple[HoleTable, jax.Array]:
        """Places the block in the arena of int32[] units; its start: int32[], maybe NOWHERE."""
        del live
        planned, start = table.place_at(known.size, known.planned)
        usual, away = self.rule.order(cells, known), known.planned != NOWHERE
        order = Order(
            threshold=usual.threshold,
            by_length=jnp.where(away, 0, usual.by_length),
            by_end=jnp.where(away, -1, usual.by_end),
            at_high=away | usual.at_high,
            onward=usual.onward,
        )
        return jax.lax.cond(
            start >= 0, lambda: (planned, start), lambda: table.place(known.size, order)
        )
