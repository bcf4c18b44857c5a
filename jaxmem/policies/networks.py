"""Q-networks: from an observation to the value of every action."""

from typing import cast

import jax
import numpy as np
from flax import linen as nn
from flax.typing import VariableDict

from jaxmem.environment.observations import FEATURES, GROUPS

Weights = VariableDict  # the parameters of a network, as flax has them


class Scorer(nn.Module):
    """One network that scores every candidate by its own row: float32[..., A, F] -> [..., A].

    Sharing it over the candidates makes the value independent of their order and number. The
    features of the groups that are hidden from it are 0 for it, whatever they are.
    """

    hidden_sizes: tuple[int, ...] = (64, 64)
    hidden_feature_groups: tuple[str, ...] = ()  # names of `GROUPS`
    columns: tuple[str, ...] = FEATURES  # of the rows

    @nn.compact
    def __call__(self, rows: jax.Array) -> jax.Array:
        hidden = (
            rows * _seen(self.columns, self.hidden_feature_groups)
            if self.hidden_feature_groups
            else rows
        )
        for width in self.hidden_sizes:
            hidden = nn.relu(nn.LayerNorm()(nn.Dense(width)(hidden)))
        return nn.Dense(1)(hidden)[..., 0]


# The networks that score candidates, by name; more can be registered.
SCORERS: dict[str, type[Scorer]] = {"scorer": Scorer}


def _seen(columns: tuple[str, ...], hidden_feature_groups: tuple[str, ...]) -> np.ndarray:
    """Returns 1 for a column in none of these groups, 0 for the others: float32[F]."""
    unseen = {name for group in hidden_feature_groups for name in GROUPS[group]}
    return np.array([name not in unseen for name in columns], np.float32)


class MLP(nn.Module):
    """All actions from one vector: float32[..., N + 1] -> [..., A]; as in Mnih et al. 2015."""

    hidden_sizes: tuple[int, ...]
    actions: int  # A

    @nn.compact
    def __call__(self, observation: jax.Array) -> jax.Array:
        hidden = observation
        for width in self.hidden_sizes:
            hidden = nn.relu(nn.Dense(width)(hidden))
        return nn.Dense(self.actions)(hidden)


def q_values(network: nn.Module, parameters: Weights, observation: jax.Array) -> jax.Array:
    """Values every action, float32[..., A], or the rows given, float32[...]."""
    # flax's own annotation allows for changed variables, which these networks do not have.
    return cast(jax.Array, network.apply(parameters, observation))
