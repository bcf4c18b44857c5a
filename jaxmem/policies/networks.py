"""Q-networks: from an observation to the value of every action."""

import jax
from flax import linen as nn


class Scorer(nn.Module):
    """One network that scores every candidate by its own row: float32[..., A, F] -> [..., A].

    Sharing it over the candidates makes the value independent of their order and number.
    """

    widths: tuple[int, ...] = (64, 64)

    @nn.compact
    def __call__(self, rows: jax.Array) -> jax.Array:
        hidden = rows
        for width in self.widths:
            hidden = nn.relu(nn.LayerNorm()(nn.Dense(width)(hidden)))
        return nn.Dense(1)(hidden)[..., 0]
