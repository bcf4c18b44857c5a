"""The reward of a step."""

import functools
import itertools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmem import foreign


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
PACKAGED = (*REWARDS.values(),)  # those of the package


def reward_of(reward: str | Reward) -> Reward:
    """Returns the function, or the one of `REWARDS` with this name, giving float32[] or an error.

    Raises:
        ForeignError: when called, where the function raises or gives no such number.
    """
    what, function = _named(reward)

    def given(outcome: Outcome) -> jax.Array:
        found = foreign.call(what, function, outcome)
        wanted = "a number for each request, float32[]"
        return foreign.array_of(what, found, wanted).astype(jnp.float32)

    return given


@functools.lru_cache(maxsize=64)
def check_reward(reward: str | Reward, cells: int) -> None:
    """Tries a reward from outside on the smallest and the largest request, placed and failed.

    Raises:
        ForeignError: it raises, or gives no number or one that is not finite.
    """
    what, function = _named(reward)
    if function in PACKAGED:
        return
    none = Outcome(jnp.bool_(False), jnp.int32(1), jnp.int32(cells), jnp.bool_(False))
    jax.eval_shape(reward_of(reward), none)  # as compiled programs see it
    for placed, size, full in itertools.product((True, False), (1, cells), (True, False)):
        with jax.ensure_compile_time_eval():
            outcome = Outcome(jnp.bool_(placed), jnp.int32(size), jnp.int32(cells), jnp.bool_(full))
            found = float(reward_of(reward)(outcome))
        if not jnp.isfinite(found):
            became = "was placed" if placed else "failed"
            raise foreign.ForeignError(
                f"{what} returns {found} for a request of {size} of {cells} cells that {became}; "
                "learners need finite numbers"
            )


def _named(reward: str | Reward) -> tuple[str, Reward]:
    """Returns what a reward is called in messages, and its function."""
    if isinstance(reward, str):
        return f"reward {reward}", REWARDS[reward]
    return f"reward {getattr(reward, '__name__', reward)}", reward
