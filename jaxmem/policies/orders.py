"""The rules of `jaxmem.policies.fits` as orders of the holes, for replays of whole recordings."""

from typing import NamedTuple

import jax.numpy as jnp

from jaxmem.arena.hole_table import Order
from jaxmem.names import nearest


class _Half(NamedTuple):
    """The order for requests of one kind, as `Order` has it."""

    by_length: int = 0
    by_end: int = 0
    at_high: bool = False
    onward: bool = False


_FIRST, _LAST = _Half(), _Half(by_end=-1, at_high=True)
_BEST, _WORST, _NEXT = _Half(by_length=1), _Half(by_length=-1), _Half(onward=True)
# For small requests, and for larger ones.
_HALVES = {
    "first": (_FIRST, _FIRST),
    "best": (_BEST, _BEST),
    "next": (_NEXT, _NEXT),
    "worst": (_WORST, _WORST),
    "two_ended": (_FIRST, _LAST),
    "segregated": (_BEST, _BEST._replace(at_high=True)),
}
ORDERED = tuple(_HALVES)
BOUNDED = ("two_ended", "segregated")  # they need an upper end


def order_of(name: str, threshold: int = 0) -> Order:
    """The order of a rule.

    Args:
        name: one of `ORDERED`.
        threshold: units, of the largest request that is small to `two_ended` and `segregated`;
            `segregated` takes best fit's hole for both kinds.
    Raises:
        ValueError: there is no such rule, with the nearest names.
    """
    if name not in _HALVES:
        raise ValueError(f"unknown policy {name!r}{nearest(name, ORDERED)}")
    by_length, by_end, at_high, onward = zip(*_HALVES[name], strict=True)
    return Order(
        threshold=jnp.int32(threshold),
        by_length=jnp.array(by_length, jnp.int32),
        by_end=jnp.array(by_end, jnp.int32),
        at_high=jnp.array(at_high),
        onward=jnp.array(onward[0]),
    )
