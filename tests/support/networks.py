"""Networks that have learned nothing, drawn by NumPy: nothing is compiled to make one."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.environment.observations import FEATURES
from jaxmem.policies.networks import Scorer


def weights_of(init, seed=0):
    """Random parameters of the shapes that `init`, a function of a key, would make."""
    random = np.random.default_rng(seed)

    def drawn(path, leaf):
        spread = 1 / np.sqrt(leaf.shape[0]) if path[-1].key == "kernel" else 0.1
        mean = float(path[-1].key == "scale")
        return random.normal(mean, spread, leaf.shape).astype(leaf.dtype)

    shapes = jax.eval_shape(init, jax.random.key(0))
    return jax.device_put(jax.tree.map_with_path(drawn, shapes))


def scorer_weights(hidden_sizes, seed=0, columns=FEATURES):
    """Random parameters of a network that scores rows."""
    scorer, row = Scorer(hidden_sizes), jnp.zeros((1, len(columns)))
    return weights_of(lambda key: scorer.init(key, row), seed)
