"""Policies: pure functions from a situation to a start address, each with one name."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from flax import struct

from jaxmem.environment.situation import Situation
from jaxmem.names import CLASSICAL as CLASSICAL
from jaxmem.names import nearest
from jaxmem.policies import fits
from jaxmem.policies.fits import FITS
from jaxmem.workloads.foretelling import foretold
from jaxmem.workloads.requests import Requests

Rule = Callable[[Any, jax.Array, Situation], jax.Array]


class Policy(struct.PyTreeNode):
    """A rule and its parameters: a pytree, so that one compiled program serves all parameters."""

    parameters: Any  # pytree, None for a rule that has none
    name: str = struct.field(pytree_node=False)
    rule: Rule = struct.field(pytree_node=False)
    arena: int | None = struct.field(pytree_node=False, default=None)  # cells; None: of any size
    foretells: bool = struct.field(pytree_node=False, default=False)  # it reads what is `foretold`

    def __repr__(self) -> str:
        return f"Policy({self.name!r})"

    def __call__(self, key: jax.Array, situation: Situation) -> jax.Array:
        """The start (int32[]) at which the request is placed, or NOWHERE."""
        return self.rule(self.parameters, key, situation)

    def told(self, requests: Requests, hinted: bool) -> Requests:
        """The requests as this policy is told of them.

        Args:
            hinted: they come with hints: nothing else is foretold then.
        """
        return foretold(requests) if self.foretells and not hinted else requests

    def check_plays(self, cells: int) -> None:
        """Raises ValueError where it was made for arenas of another size than `cells`."""
        if self.arena not in (None, cells):
            raise ValueError(
                f"policy {self.name} was trained for arenas of {self.arena} cells and plays in no "
                f"others; this one has {cells}"
            )


_RULES: dict[str, Rule] = {
    **dict.fromkeys(FITS, fits.fit),
    "random": fits.random,
    "two_ended": fits.two_ended,
    "segregated": fits.segregated,
    "hint_fit": fits.hint_fit,
}
NAMES = tuple(_RULES)
_NEEDS = {
    "two_ended": "a threshold in cells",
    "segregated": "a threshold in cells, and 0 or 1 for the holes of small and of larger requests",
}
TUNED = {"two_ended": 1, "segregated": 3}  # those with numbers to choose, and how many


def policy(name: str, parameters: Any = None) -> Policy:
    """The policy with this name.

    Args:
        parameters: of `two_ended` the threshold in cells, int32[]; of `segregated` its choice,
            int32[3]; of the others none.

    Raises:
        ValueError: there is no such policy, with the nearest names; or it lacks its parameters.
    """
    if name not in _RULES:
        raise ValueError(f"unknown policy {name!r}{nearest(name, NAMES)}")
    if name in TUNED and parameters is None:
        raise ValueError(f"{name} needs {_NEEDS[name]}")
    if name in FITS:
        parameters = np.int32(FITS.index(name))
    return Policy(parameters=parameters, name=name, rule=_RULES[name])
