"""Telling XLA to compute a value once."""

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap

Operands = TypeVarTuple("Operands")
R = TypeVar("R")


def compute_once(clock: jax.Array, compute: Callable[[*Operands], R], *operands: *Operands) -> R:
    """Computes `compute(*operands)` (any pytrees) once; `compute` closes over no array.

    On a CPU, XLA fuses a chain of cheap integer operations into every one of its users and repeats
    it there: a placement that a hundred bit planes depend on is found a hundred times. A branch is
    a border that fusion does not cross. The clock (int32[...]) never shows a negative time, so the
    branch taken is always the first, which XLA cannot know.
    """

    compute = jax.jit(compute, inline=True)  # traced once for all that follows

    def behind_a_branch(clock: jax.Array, *operands: *Operands) -> R:
        shapes = jax.eval_shape(compute, *operands)

        def nothing(*_: *Operands) -> R:
            return jax.tree.map(lambda leaf: jax.lax.full(leaf.shape, 0, leaf.dtype), shapes)

        return jax.lax.cond(jnp.ravel(clock)[0] >= 0, compute, nothing, *operands)

    def at_once(_: jax.Array, *operands: *Operands) -> R:
        return compute(*operands)

    @custom_vmap
    def computed(clock: jax.Array, *operands: *Operands) -> R:
        return jax.lax.platform_dependent(clock, *operands, cpu=behind_a_branch, default=at_once)

    @computed.def_vmap
    def _all_arenas(axis_size: int, in_batched: list, clock: jax.Array, *operands: *Operands):
        """Shares a branch among all arenas; `vmap` would make a selection, which fusion crosses."""
        del axis_size
        axes = jax.tree.map(lambda batched: 0 if batched else None, tuple(in_batched[1:]))
        if not any(jax.tree.leaves(in_batched[1:])):
            values = compute_once(clock, compute, *operands)
            return values, jax.tree.map(lambda _: False, values)
        values = compute_once(clock, jax.vmap(compute, in_axes=axes), *operands)
        return values, jax.tree.map(lambda _: True, values)

    return computed(clock, *operands)


def itself(value: R) -> R:
    """Returns `value`: what to pass to `compute_once` when it was computed elsewhere."""
    return value
