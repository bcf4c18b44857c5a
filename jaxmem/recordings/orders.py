"""The rules of `jaxmem.rules` as orders of the holes, for replays of whole recordings."""

import jax.numpy as jnp

from jaxmem.names import nearest
from jaxmem.recordings.hole_table import Order
from jaxmem.rules import ORDERED, RULES

# By the hole that is chosen, as `Order` has it.
_BY_LENGTH = {"best": 1, "worst": -1}
_BY_END = {"last": -1}


def order_of(name: str, threshold: int = 0) -> Order:
    """The order of a rule.

    Args:
        name: one of `ORDERED`.
        threshold: units, of the largest request that is small to `two_ended` and `two_ended_tuned`;
            `two_ended_tuned` takes best fit's hole for both kinds.
    Raises:
        ValueError: there is no such rule, with the nearest names.
    """
    places = RULES[name].order if name in RULES else None
    if places is None:
        raise ValueError(f"unknown policy {name!r}{nearest(name, ORDERED)}")
    return Order(
        threshold=jnp.int32(threshold),
        by_length=jnp.array([_BY_LENGTH.get(place.hole, 0) for place in places], jnp.int32),
        by_end=jnp.array([_BY_END.get(place.hole, 0) for place in places], jnp.int32),
        at_high=jnp.array([place.high for place in places]),
        onward=jnp.array(places[0].hole == "next"),
    )
