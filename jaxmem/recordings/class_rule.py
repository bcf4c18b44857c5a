"""A rule for a program whose earlier runs are known: a fit for each of four classes of requests.

A request is long-lived or not, by the lifetime that a profile foretells, and small or not, by its
share of the arena. What a profile does not know goes where best fit puts it.
"""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxmem.arena.arena import NEVER
from jaxmem.recordings.hole_scorer import Known, Live
from jaxmem.recordings.hole_table import HoleTable, Order
from jaxmem.recordings.profile import UNFORETOLD

LONG = (30, 100, 300, 1000, NEVER - 1)  # requests, above which a block is long-lived
SMALL = (16, 32, 64, 128)  # parts of the arena, up to one of which a block is small
REQUEST_CLASSES = ("short and small", "short and large", "long and small", "long and large")
CLASS_FITS = ("first, low end", "last, high end", "best, low end", "best, high end")


class ClassRule(struct.PyTreeNode):
    """The numbers of such a rule; it plays in arenas that are bounded."""

    long: jax.Array  # int32[]  requests, of the longest lifetime that is short
    parts: jax.Array  # int32[]  of the arena, of which a small request takes no more than one
    best: jax.Array  # bool[4]  by class: the shortest hole, else the outermost
    high: jax.Array  # bool[4]  by class: the high end, of the highest hole if not of the shortest

    def place(
        self, table: HoleTable, cells: jax.Array, known: Known, live: Live
    ) -> tuple[HoleTable, jax.Array]:
        """Places the block in the arena of int32[] units; its start: int32[], maybe NOWHERE."""
        del live
        return table.place(known.size, self.order(cells, known))

    def order(self, cells: jax.Array, known: Known) -> Order:
        """Returns the order of the holes for a request in the arena of int32[] units."""
        kind = 2 * (known.foretold > self.long) + (known.size > cells // self.parts)
        unknown = known.foretold == UNFORETOLD
        best, high = self.best[kind] | unknown, self.high[kind] & ~unknown
        twice = lambda value: jnp.stack([value, value])  # noqa: E731  whatever the size
        return Order(
            threshold=jnp.zeros_like(cells),
            by_length=twice(best.astype(jnp.int32)),
            by_end=twice(-(high & ~best).astype(jnp.int32)),
            at_high=twice(high),
            onward=jnp.zeros((), bool),
        )


class RuleNumbers(NamedTuple):
    """A class rule in plain numbers, as a card has it."""

    long: int
    parts: int
    fits: tuple[int, int, int, int]  # places in `FITS`, by class

    @property
    def is_best_fit(self) -> bool:
        """Tells whether all classes go where best-fit puts them."""
        return set(self.fits) == {CLASS_FITS.index("best, low end")}

    @property
    def words(self) -> list[str]:
        """Says where each class goes."""
        return [
            f"{name}: {CLASS_FITS[fit]}"
            for name, fit in zip(REQUEST_CLASSES, self.fits, strict=True)
        ]


BEST_FIT_RULE = RuleNumbers(LONG[0], SMALL[0], (2, 2, 2, 2))


def all_rules() -> list[RuleNumbers]:
    """Lists every rule there is; by symmetry the first class is at a low end."""
    fit = range(len(CLASS_FITS))
    fits = [row for row in product(fit, fit, fit, fit) if row[0] in (0, 2)]
    return [RuleNumbers(long, parts, row) for long in LONG for parts in SMALL for row in fits]


def class_rules(numbers: Sequence[RuleNumbers]) -> ClassRule:
    """Makes P rules that play side by side, with [P] before every shape."""
    fits = np.array([rule.fits for rule in numbers])
    return ClassRule(
        long=jnp.array([rule.long for rule in numbers], jnp.int32),
        parts=jnp.array([rule.parts for rule in numbers], jnp.int32),
        best=jnp.asarray(fits >= 2),
        high=jnp.asarray(fits % 2 == 1),
    )


def class_rule(numbers: RuleNumbers) -> ClassRule:
    """Makes one rule."""
    return jax.tree.map(lambda leaf: leaf[0], class_rules([numbers]))
