"""Gradient steps down a loss, and the average of the parameters on the way, which plays."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from jaxmem.policies.networks import Weights

Descent = tuple[Weights, Weights, optax.OptState]  # the latest, their average, the optimizer's


def descend(
    loss_of: Callable[[Weights, jax.Array], jax.Array],
    optimizer: optax.GradientTransformation,
    before: Descent,
    keys: jax.Array,
    *,
    rate: jax.Array,
    ema_decay: float | jax.Array,
) -> tuple[Descent, jax.Array]:
    """One gradient step for each key, and the mean loss float32[].

    Args:
        loss_of: of parameters and a key, by which it draws what it is about: float32[].
        optimizer: turns gradients into directions; their length is `rate` (float32[]).
        ema_decay: share of the average that stays in a step.
    """

    def step(carry: Descent, key: jax.Array) -> tuple[Descent, jax.Array]:
        latest, average, state = carry
        loss, gradient = jax.value_and_grad(loss_of)(latest, key)
        change, state = optimizer.update(gradient, state, latest)
        latest = jax.tree.map(lambda old, by: old - rate * by, latest, change)
        average = jax.tree.map(
            lambda old, new: ema_decay * old + (1 - ema_decay) * new, average, latest
        )
        return (latest, average, state), loss

    after, loss = jax.lax.scan(step, before, keys)
    return after, jnp.mean(loss)
