"""Gymnax's CartPole under vmap: how fast a small JAX environment is on the same machine."""

import importlib
from importlib import metadata

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.benchmark.references.reference import Unavailable
from jaxmem.extras import how_to_get


class CartPole:
    """E poles pushed at random, with gymnax's own auto-reset; no memory, so nothing fails.

    The requests do not matter, and `observe` changes nothing: a step always makes its four numbers.
    """

    observation: np.ndarray | None = None
    mask: np.ndarray | None = None

    def __init__(
        self, size: np.ndarray, lifetime: np.ndarray, cells: int, arenas: int, observe: bool
    ) -> None:
        del size, lifetime, cells, observe
        env, params = _gymnax().make("CartPole-v1")
        stand = jax.vmap(env.reset, in_axes=(0, None))
        push = jax.vmap(env.step, in_axes=(0, 0, 0, None))

        def start(key):
            by_pole, key = jax.random.split(key)
            observation, state = stand(jax.random.split(by_pole, arenas), params)
            return observation, state, jnp.zeros(arenas), key

        def step(_, carry):
            _, state, total, key = carry
            by_action, by_pole, key = jax.random.split(key, 3)
            action = jax.random.randint(by_action, (arenas,), 0, 2)
            keys = jax.random.split(by_pole, arenas)
            observation, state, reward, *_ = push(keys, state, action, params)
            return observation, state, total + reward, key

        self._start = jax.jit(start)
        self._rollout = jax.jit(
            lambda carry, steps: jax.lax.fori_loop(0, steps, step, carry), donate_argnums=0
        )
        self.reset()
        self.play(1)

    def reset(self) -> None:
        """Stands every pole anew."""
        self._carry = self._start(jax.random.key(0))

    def play(self, steps: int) -> int:
        """Plays the next `steps` steps; 0 requests fail."""
        self._carry = jax.block_until_ready(self._rollout(self._carry, np.int32(steps)))
        return 0


def _gymnax():
    try:
        found = metadata.version("gymnax")
        if found.partition(".")[0] != "1":
            raise Unavailable(f"gymnax is {found}; its step is as here from 1.0 on, below 2")
        return importlib.import_module("gymnax")
    except ImportError as error:
        raise Unavailable(f"gymnax cannot be imported ({how_to_get('bench')}): {error}") from error
