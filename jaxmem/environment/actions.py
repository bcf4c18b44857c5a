"""The choices of an agent, and the start address that each choice means.

Every action space ends with one action, *refuse*, that is legal only when nothing fits: so there is
always exactly one legal action or more, and an agent never learns to refuse what could be served.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import struct

from jaxmem.arena.arena import NOWHERE, Holes
from jaxmem.environment.situation import Situation
from jaxmem.rules import FITS


@struct.dataclass
class Choices:
    """The A actions of one situation."""

    starts: jax.Array | None  # int32[A - 1]  cell of every action but *refuse*; None: the action
    legal: jax.Array  # bool[A]  True: may be taken

    def start_of(self, situation: Situation, action: jax.Array) -> jax.Array:
        """Returns the start (int32[]) that `action` (int32[]) means; an illegal one has none."""
        if self.starts is None:
            # Asked of the arena, not of the list: a look-up would keep what follows from being
            # computed for many arenas at once.
            start, legal = action, situation.arena.allows(action, situation.size)
        else:
            last = self.starts.shape[0] - 1
            chosen = jnp.clip(action, 0, last)
            start = self.starts[chosen]
            legal = (action == chosen) & self.legal[chosen]
        return jnp.where(legal, start, NOWHERE).astype(jnp.int32)

    def meaning(self, start: jax.Array) -> jax.Array:
        """Tells which legal actions place at `start` (int32[]): bool[A]; none at NOWHERE."""
        starts = jnp.arange(len(self.legal) - 1) if self.starts is None else self.starts
        return jnp.append(starts == start, False) & self.legal


def ends_of(found: Holes) -> Choices:
    """Offers the holes that were found, each at its low and its high end: A = 2 * K + 1."""
    starts = jnp.stack([found.low, found.high], axis=-1).reshape(-1)
    return _with_refusal(starts, jnp.repeat(found.exists, 2))


def holes_and_ends(situation: Situation, holes: int, cells: int) -> Choices:
    """Offers the first `holes` holes that fit, each at both ends: A = 2 * holes + 1."""
    del cells
    return ends_of(situation.holes(holes))


def addresses(situation: Situation, holes: int, cells: int) -> Choices:
    """Offers every cell as a start address: A = cells + 1."""
    del holes
    # One cell more, and then *refuse* in its place: to append it would cost more than all the rest.
    legal, some = situation.arena.legal_starts(situation.size, cells + 1)
    return Choices(starts=None, legal=jnp.where(jnp.arange(cells + 1) == cells, ~some, legal))


def fit_rules(situation: Situation, holes: int, cells: int) -> Choices:
    """Offers first, second, best, worst or next fit: A = 6."""
    del holes, cells
    starts = jnp.stack([getattr(situation.arena, rule)(situation.size) for rule in FITS])
    return _with_refusal(starts, starts >= 0)


ACTION_SPACES: dict[str, Callable[[Situation, int, int], Choices]] = {
    "holes": holes_and_ends,
    "address": addresses,
    "fit": fit_rules,
}


def action_count(space: str, holes: int, cells: int) -> int:
    """Returns A, the number of actions of an action space."""
    return {"holes": 2 * holes, "address": cells, "fit": len(FITS)}[space] + 1


def _with_refusal(starts: jax.Array, legal: jax.Array) -> Choices:
    return Choices(starts=starts, legal=jnp.append(legal, ~jnp.any(legal)))
