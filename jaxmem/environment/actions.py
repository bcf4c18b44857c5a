"""What an agent can choose, and the start address that each choice means.

Every action space ends with one action, *refuse*, that is legal only when nothing fits: so there is
always exactly one legal action or more, and an agent never learns to refuse what could be served.
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
from flax import struct

from jaxmem.arena.arena import NOWHERE
from jaxmem.environment.situation import Situation

FIT_RULES = ("first", "second", "best", "worst", "next")


@struct.dataclass
class Choices:
    """The A actions of one situation."""

    starts: jax.Array  # int32[A]  cell at which the action places the request, or NOWHERE
    legal: jax.Array  # bool[A]  True: may be taken

    def start_of(self, action: jax.Array) -> jax.Array:
        """The start (int32[]) that `action` (int32[]) means; an illegal action places nothing."""
        chosen = jnp.arange(self.starts.shape[0]) == action
        # Starts are NOWHERE = -1 or more, so the sum over one chosen action is exact.
        number = jnp.where(chosen & self.legal, self.starts - NOWHERE, 0)
        return jnp.sum(number, dtype=jnp.int32) + NOWHERE


def holes_and_ends(situation: Situation, holes: int, cells: int) -> Choices:
    """The first `holes` holes that fit, each at its low and its high end: A = 2 * holes + 1."""
    del cells
    found = situation.holes(holes)
    starts = jnp.stack([found.low, found.high], axis=-1).reshape(-1)
    return _with_refusal(starts, jnp.repeat(found.exists, 2))


def addresses(situation: Situation, holes: int, cells: int) -> Choices:
    """Every cell as a start address: A = cells + 1."""
    del holes
    legal = situation.arena.legal_starts(situation.size, cells)
    return _with_refusal(jnp.arange(cells, dtype=jnp.int32), legal)


def fit_rules(situation: Situation, holes: int, cells: int) -> Choices:
    """First, second, best, worst or next fit: A = 6."""
    del holes, cells
    starts = jnp.stack([getattr(situation.arena, rule)(situation.size) for rule in FIT_RULES])
    return _with_refusal(starts, starts >= 0)


ACTION_SPACES: dict[str, Callable[[Situation, int, int], Choices]] = {
    "holes": holes_and_ends,
    "address": addresses,
    "fit": fit_rules,
}


def action_count(space: str, holes: int, cells: int) -> int:
    """A, the number of actions of an action space."""
    return {"holes": 2 * holes, "address": cells, "fit": len(FIT_RULES)}[space] + 1


def _with_refusal(starts: jax.Array, legal: jax.Array) -> Choices:
    chex.assert_equal_shape([starts, legal])
    return Choices(
        starts=jnp.append(starts, NOWHERE),
        legal=jnp.append(legal, ~jnp.any(legal)),
    )
