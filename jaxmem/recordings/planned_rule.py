"""A class rule with a plan: what has a slot of its own goes there, all else by the rule."""

import jax
from flax import struct

from jaxmem.recordings.class_rule import ClassRule
from jaxmem.recordings.hole_scorer import Known, Live
from jaxmem.recordings.hole_table import HoleTable


class PlannedRule(struct.PyTreeNode):
    """It plays in arenas that are bounded, events whose slots are planned.

    A slot that is not free, or beyond the arena, is left to whoever is there.
    """

    rule: ClassRule

    def place(
        self, table: HoleTable, cells: jax.Array, known: Known, live: Live
    ) -> tuple[HoleTable, jax.Array]:
        """Places the block in the arena of int32[] units; its start: int32[], maybe NOWHERE."""
        planned, start = table.place_at(known.size, known.planned)
        return jax.lax.cond(
            start >= 0,
            lambda: (planned, start),
            lambda: self.rule.place(table, cells, known, live),
        )
