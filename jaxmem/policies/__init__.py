"""Policies: pure functions from a situation to a start address, each with one name."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from flax import struct

from jaxmem import foreign
from jaxmem.environment.situation import Situation
from jaxmem.names import nearest
from jaxmem.policies import placement_rules
from jaxmem.rules import CLASSICAL as CLASSICAL
from jaxmem.rules import FITS, NAMES, RULES
from jaxmem.rules import TUNED as TUNED
from jaxmem.workloads.lifetime_estimates import estimate_lifetimes
from jaxmem.workloads.requests import Requests

Chooses = Callable[[Any, jax.Array, Situation], jax.Array]


class Policy(struct.PyTreeNode):
    """A rule and its parameters: a pytree, so that one compiled program serves all parameters."""

    parameters: Any  # pytree, None for a rule that has none
    name: str = struct.field(pytree_node=False)
    rule: Chooses = struct.field(pytree_node=False)
    arena: int | None = struct.field(pytree_node=False, default=None)  # cells; None: of any size
    # Whether it reads what is estimated of lifetimes where there are no hints.
    estimates_lifetimes: bool = struct.field(pytree_node=False, default=False)

    def __repr__(self) -> str:
        return f"Policy({self.name!r})"

    def __call__(self, key: jax.Array, situation: Situation) -> jax.Array:
        """The start (int32[]) at which the request is placed, or NOWHERE.

        Raises:
            ForeignError: the rule raises, or returns no such number.
        """
        # Its own name is left away where policies that differ in nothing else share a program.
        what = f"rule {getattr(self.rule, '__name__', self.name)}"
        start = foreign.call(what, self.rule, self.parameters, key, situation)
        return foreign.array_of(what, start, "the start, int32[]", whole=True)

    def told(self, requests: Requests, has_hints: bool) -> Requests:
        """Returns the requests as this policy is told of them.

        Args:
            has_hints: they come with hints: nothing else is estimated then.
        """
        if self.estimates_lifetimes and not has_hints:
            return estimate_lifetimes(requests)
        return requests

    def check_plays(self, cells: int) -> None:
        """Raises ValueError where it was made for arenas of another size than `cells`."""
        if self.arena not in (None, cells):
            raise ValueError(
                f"policy {self.name} was trained for arenas of {self.arena} cells and plays in no "
                f"others; this one has {cells}"
            )


def policy(name: str, parameters: jax.typing.ArrayLike | None = None) -> Policy:
    """The policy with this name.

    Args:
        parameters: of a rule that is tuned its numbers: int32[] of `two_ended`, the threshold in
            cells; int32[3] of `two_ended_tuned`; of the others none.

    Raises:
        ValueError: there is no such policy, with the nearest names; or it lacks its parameters.
    """
    if name not in RULES:
        raise ValueError(f"unknown policy {name!r}{nearest(name, NAMES)}")
    tuning = RULES[name].tuning
    if tuning and parameters is None:
        raise ValueError(f"{name} needs {tuning.asks}")
    if name in FITS:
        parameters = np.int32(FITS.index(name))
    return Policy(parameters=parameters, name=name, rule=RULES[name].play or _function_of(name))


@functools.cache
def _function_of(name: str) -> Chooses:
    """Finds how a rule chooses; one function for one rule, so that its programs are shared."""
    if name in FITS:
        return placement_rules.fit
    if hasattr(placement_rules, name):
        return getattr(placement_rules, name)
    order = RULES[name].order
    if order is None:
        raise LookupError(f"rule {name} has no order, and placement_rules.py no function for it")
    return placement_rules.by_order(order)
