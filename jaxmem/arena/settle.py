"""Telling XLA to compute a value once."""

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap


@custom_vmap
def settle(clock, value):
    """`value` itself (any pytree), computed once and kept.

    On a CPU, XLA fuses a chain of cheap integer operations into every one of its users and repeats
    it there: a placement that a hundred bit planes depend on is found a hundred times. A branch is
    a border that fusion does not cross. The clock (int32[...]) never shows a negative time, so the
    branch taken is always the first, which XLA cannot know.
    """

    def behind_a_branch(clock, value):
        return jax.lax.cond(
            jnp.ravel(clock)[0] >= 0,
            lambda kept: kept,
            lambda kept: jax.tree.map(jnp.zeros_like, kept),
            value,
        )

    return jax.lax.platform_dependent(
        clock, value, cpu=behind_a_branch, default=lambda clock, value: value
    )


@settle.def_vmap
def _settle_batch(axis_size, in_batched, clock, value):
    """All arenas share one branch; `vmap` would make it a selection, which fusion crosses."""
    del axis_size
    return settle(clock, value), in_batched[1]
