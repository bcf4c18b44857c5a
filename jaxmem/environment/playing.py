"""The one loop in which the requests of an episode are answered."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax

from jaxmem.arena.arena import Arena
from jaxmem.environment.situation import Situation, serve, situation_at
from jaxmem.workloads.requests import Requests

Carry = TypeVar("Carry")
Kept = TypeVar("Kept")
# From what is carried, the situation and what this request was given, to what is carried on, the
# start (int32[], or NOWHERE), and what is kept of the request.
Answer = Callable[[Carry, Situation, Any], tuple[Carry, jax.Array, Kept]]


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
