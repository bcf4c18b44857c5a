"""The reward of a step."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Outcome(NamedTuple):
    """What became of one request."""

    placed: jax.Array  # bool[]  else it failed
    size: jax.Array  # int32[]  cells that it asked for
    cells: jax.Array  # int32[]  of the arena
    full: jax.Array  # bool[]  the arena is now too full to go on


def failures(outcome: Outcome) -> jax.Array:
    """Gives -1 for every request that is not placed."""
    return jnp.where(outcome.placed, 0.0, -1.0)


def bytes_lost(outcome: Outcome) -> jax.Array:
    """Gives minus the share of the arena that a request not placed asked for."""
    return jnp.where(outcome.placed, 0.0, -outcome.size / outcome.cells)


def classic(outcome: Outcome) -> jax.Array:
    """Gives +0.1 for a placement, -1 for a failure, -0.5 more if the arena is too full to go on."""
    return jnp.where(outcome.placed, 0.1, -1.0) - jnp.where(outcome.full, 0.5, 0.0)


Reward = Callable[[Outcome], jax.Array]  # returns float32[]
REWARDS: dict[str, Reward] = {
    "failures": failures,
    "bytes": bytes_lost,
    "classic": classic,
}


def reward_of(reward: str | Reward) -> Reward:
    """Returns the function itself, or the one of `REWARDS` with this name."""
    return REWARDS[reward] if isinstance(reward, str) else reward
