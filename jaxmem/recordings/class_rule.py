"""A rule for a program whose earlier runs are known: a fit for each of four classes of requests.

A request is long-lived or not, by the lifetime that a profile foretells, and small or not, by its
share of the arena. What a profile does not know goes where best fit puts it; requests in a few
contexts may be excepted, and take another fit.
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
from jaxmem.recordings.profile import UNFORETOLD, UNKNOWN_CONTEXT

LONG = (30, 100, 300, 1000, NEVER - 1)  # requests, above which a block is long-lived
SMALL = (16, 32, 64, 128)  # parts of the arena, up to one of which a block is small
REQUEST_CLASSES = ("short and small", "short and large", "long and small", "long and large")
CLASS_FITS = ("first, low end", "last, high end", "best, low end", "best, high end")

NO_CONTEXT = UNKNOWN_CONTEXT - 1  # which no request has
EXCEPTIONS_STEP = 8  # few shapes to compile
BEST_LOW = CLASS_FITS.index("best, low end")


class ClassRule(struct.PyTreeNode):
    """The numbers of such a rule; it plays in arenas that are bounded."""

    long: jax.Array  # int32[]  requests, of the longest lifetime that is short
    parts: jax.Array  # int32[]  of the arena, of which a small request takes no more than one
    best: jax.Array  # bool[4]  by class: the shortest hole, else the outermost
    high: jax.Array  # bool[4]  by class: the high end, of the highest hole if not of the shortest
    excepted: jax.Array  # int32[K]  contexts, as places in the profile; the last one counts
    there: jax.Array  # int32[K]  the fit that is taken there, by its place in `CLASS_FITS`

    def place(
        self, table: HoleTable, cells: jax.Array, known: Known, live: Live
    ) -> tuple[HoleTable, jax.Array]:
        """Places the block in the arena of int32[] units; its start: int32[], maybe NOWHERE."""
        del live
        return table.place(known.size, self.order(cells, known))

    def fit(self, cells: jax.Array, known: Known) -> jax.Array:
        """Chooses the fit of a request: int32[], its place in `CLASS_FITS`."""
        kind = 2 * (known.foretold > self.long) + (known.size > cells // self.parts)
        fit = 2 * self.best[kind].astype(jnp.int32) + self.high[kind]
        fit = jnp.where(known.foretold == UNFORETOLD, BEST_LOW, fit)
        count = self.excepted.shape[-1]
        if count:
            here = jnp.any(known.contexts == self.excepted[:, None], axis=1)
            last = jnp.max(jnp.where(here, jnp.arange(count), UNKNOWN_CONTEXT))
            fit = jnp.where(last == UNKNOWN_CONTEXT, fit, self.there[last])
        return fit

    def order(self, cells: jax.Array, known: Known) -> Order:
        """Returns the order of the holes for a request in the arena of int32[] units."""
        return order_of_fit(self.fit(cells, known))


def order_of_fit(fit: jax.Array) -> Order:
    """Makes the order of the holes for a fit: int32[], its place in `CLASS_FITS`."""
    best, high = fit >= 2, fit % 2 == 1
    twice = lambda value: jnp.stack([value, value])  # noqa: E731  whatever the size
    return Order(
        threshold=jnp.zeros((), jnp.int32),
        by_length=twice(best.astype(jnp.int32)),
        by_end=twice(-(high & ~best).astype(jnp.int32)),
        at_high=twice(high),
        onward=jnp.zeros((), bool),
    )


class RuleNumbers(NamedTuple):
    """A class rule in plain numbers, as a card has it."""

    long: int
    parts: int
    fits: tuple[int, int, int, int]  # places in `CLASS_FITS`, by class
    exceptions: tuple[tuple[int, int], ...] = ()  # a context, as a place in the profile; its fit

    @property
    def is_best_fit(self) -> bool:
        """Tells whether all requests go where best-fit puts them."""
        return {*self.fits, *(fit for _, fit in self.exceptions)} == {BEST_LOW}

    @property
    def words(self) -> list[str]:
        """Says where each class goes, and what is excepted."""
        classes = zip(REQUEST_CLASSES, self.fits, strict=True)
        excepted = ((f"context {context} of the profile", fit) for context, fit in self.exceptions)
        return [f"{name}: {CLASS_FITS[fit]}" for name, fit in (*classes, *excepted)]


BEST_FIT_RULE = RuleNumbers(LONG[0], SMALL[0], (2, 2, 2, 2))


def all_rules() -> list[RuleNumbers]:
    """Lists every rule there is; by symmetry the first class is at a low end."""
    fit = range(len(CLASS_FITS))
    fits = [row for row in product(fit, fit, fit, fit) if row[0] in (0, 2)]
    return [RuleNumbers(long, parts, row) for long in LONG for parts in SMALL for row in fits]


def class_rules(numbers: Sequence[RuleNumbers]) -> ClassRule:
    """Makes P rules that play side by side, with [P] before every shape."""
    return ClassRule(**jax.device_put(_columns(numbers)))


def class_rule(numbers: RuleNumbers) -> ClassRule:
    """Makes one rule."""
    columns = {name: column[0] for name, column in _columns([numbers]).items()}
    return ClassRule(**jax.device_put(columns))


def _columns(numbers: Sequence[RuleNumbers]) -> dict[str, np.ndarray]:
    """Returns the fields of P rules, made in NumPy, for which nothing is compiled."""
    fits = np.array([rule.fits for rule in numbers])
    most = max(len(rule.exceptions) for rule in numbers)
    most += -most % EXCEPTIONS_STEP
    exceptions = np.full((len(numbers), most, 2), NO_CONTEXT, np.int32)
    for row, rule in zip(exceptions, numbers, strict=True):
        row[: len(rule.exceptions)] = np.array(rule.exceptions, np.int32).reshape(-1, 2)
    return {
        "long": np.array([rule.long for rule in numbers], np.int32),
        "parts": np.array([rule.parts for rule in numbers], np.int32),
        "best": fits >= 2,
        "high": fits % 2 == 1,
        "excepted": exceptions[..., 0],
        "there": exceptions[..., 1],
    }
