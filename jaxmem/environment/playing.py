"""An episode: when it ends, and the one loop in which its requests are answered."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from flax import struct

from jaxmem.arena.arena import Arena
from jaxmem.environment.situation import Situation, serve, situation_at
from jaxmem.workloads.registry import Workload
from jaxmem.workloads.requests import Requests

Carry = TypeVar("Carry")
Kept = TypeVar("Kept")
# From what is carried, the situation and what this request was given, to what is carried on, the
# start (int32[], or NOWHERE), and what is kept of the request.
Answer = Callable[[Carry, Situation, Any], tuple[Carry, jax.Array, Kept]]


class Ended(NamedTuple):
    """The two ways in which an answer ends an episode before its sequence is over."""

    lost: jax.Array  # bool[]  the request failed, and failures end episodes
    full: jax.Array  # bool[]  the request was the last that the arena had room for


@struct.dataclass
class Ending:
    """The rule for the end of an episode."""

    at_failure: jax.Array  # bool[]  the first failed request ends it
    above: jax.Array  # float32[]  so does a larger live share of the arena

    def after(self, situation: Situation, start: jax.Array) -> Ended:
        """Tells whether the episode ends with this request at `start` (int32[], or NOWHERE)."""
        return Ended(
            lost=(start < 0) & self.at_failure,
            full=situation.live_with(start) > self.above * situation.arena.cells,
        )


def ending_of(workload: Workload) -> Ending:
    """Returns the rule of a workload as arrays, so that one program serves all of them."""
    return Ending(jnp.bool_(workload.stop_at_failure), jnp.float32(workload.stop_above))


def play(
    answer: Answer[Carry, Kept],
    arena: Arena,
    requests: Requests,
    sequence: jax.Array,
    carry: Carry,
    *,
    length: int | None = None,
    given: object = None,
) -> tuple[Arena, Carry, Kept]:
    """Answers the requests of one sequence, from the one at which the arena's clock stands.

    Args:
        sequence: int32[], its row among the requests.
        carry: what the first answer is handed.
        length: requests to be answered (default: all of a sequence).
        given: pytree of [length, ...], of which every answer is handed its own.

    Returns:
        The arena when the next request waits, what the last answer carried on, and what was kept,
        [length, ...].
    """

    there = sequence >= 0

    def own(leaf: jax.Array) -> jax.Array:
        """Lets `vmap` know from the start that sequences differ in a leaf of any shape.

        Else it finds out after the first step, and traces the loop once more.
        """
        return jax.lax.select(there, leaf, leaf)

    def step(state: tuple[Arena, Carry], given: object) -> tuple[tuple[Arena, Carry], Kept]:
        arena, carry = state
        situation = situation_at(arena, requests, sequence)
        carry, start, kept = answer(carry, situation, given)
        arena = serve(situation, start, requests.lifetime[sequence, arena.now])
        return (arena, carry), kept

    length = requests.length if length is None else length
    alike = {"now": arena.now, "cells": arena.cells}
    arena, carry = jax.tree.map(own, (arena, carry))
    arena = arena.replace(**alike)
    (arena, carry), kept = jax.lax.scan(step, (arena, carry), given, length=length)
    return arena, carry, kept
