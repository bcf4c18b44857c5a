"""Placing with every lifetime known, one request at a time: the greedy bound."""

import jax
import jax.numpy as jnp

from jaxmem.environment.situation import Situation
from jaxmem.policies import Policy
from jaxmem.policies.placement_rules import HINT_HOLES, cheapest_end, contact_costs
from jaxmem.workloads.requests import Requests


def knowing(requests: Requests) -> Requests:
    """Returns the same requests with their true lifetimes as hints.

    What outlives the sequence dies at its end: nothing is asked for after it.
    """
    left = requests.length - jnp.arange(requests.length, dtype=jnp.int32)
    return requests.replace(hint=jnp.minimum(requests.lifetime, left).astype(jnp.float32))


def clairvoyant() -> Policy:
    """Makes the policy that takes the end with the least cost; for requests from `knowing`."""
    return Policy(parameters=None, name="clairvoyant", rule=_cheapest_end)


def _cheapest_end(parameters: None, key: jax.Array, situation: Situation) -> jax.Array:
    """Takes the cheapest end of the first holes that fit."""
    del parameters, key
    found = situation.holes(HINT_HOLES)
    return cheapest_end(found, contact_costs(situation, found))
