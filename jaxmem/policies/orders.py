"""The rules of `jaxmem.policies.fits` as orders of the holes, for arenas side by side.

Every one of them takes the first of the holes that fit in some order, and one end of it. As numbers
these are data: one compiled program plays all rules, each in arenas of its own.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxmem.arena.hole_table import Rules
from jaxmem.names import nearest


class _Order(NamedTuple):
    by_length: int = 0
    by_end: int = 0
    at_high: bool = False
    onward: bool = False


_FIRST, _BEST, _LAST = _Order(), _Order(by_length=1), _Order(by_end=-1, at_high=True)
# For small requests, and for larger ones.
_ORDERS: dict[str, tuple[_Order, _Order]] = {
    "first": (_FIRST, _FIRST),
    "best": (_BEST, _BEST),
    "next": (_Order(onward=True), _Order(onward=True)),
    "worst": (_Order(by_length=-1), _Order(by_length=-1)),
    "two_ended": (_FIRST, _LAST),
    "segregated": (_BEST, _BEST._replace(at_high=True)),
}
ORDERED = tuple(_ORDERS)
BOUNDED = ("two_ended", "segregated")  # they need an upper end


def rules_of(names: Sequence[str], threshold: int) -> Rules:
    """The rule of each of K arenas.

    Args:
        names: K of `ORDERED`.
        threshold: units, of the largest request that is small to `two_ended` and `segregated`;
            `segregated` takes best fit's hole for both kinds.
    Raises:
        ValueError: a name that is not there, with the nearest ones.
    """
    for name in names:
        if name not in _ORDERS:
            raise ValueError(f"unknown policy {name!r}{nearest(str(name), ORDERED)}")
    orders = [_ORDERS[name] for name in names]

    def column(field: str) -> np.ndarray:
        return np.array([[getattr(order[kind], field) for order in orders] for kind in (0, 1)])

    return Rules(
        threshold=jnp.full(len(orders), threshold, jnp.int32),
        by_length=jnp.asarray(column("by_length"), jnp.int32),
        by_end=jnp.asarray(column("by_end"), jnp.int32),
        at_high=jnp.asarray(column("at_high")),
        onward=jnp.asarray(column("onward")[0]),
    )
