"""Policies that a Q-network plays."""

import functools

import chex
import jax
import jax.numpy as jnp
from flax import struct

from jaxmem.environment.situation import Situation
from jaxmem.policies import Policy
from jaxmem.policies.networks import Weights
from jaxmem.policies.q_functions import CandidateQ, QFunction


class BaseRule(struct.PyTreeNode):
    """The rule that a learned policy follows where its network sees no better placement."""

    rule: Policy
    margin: chex.Array  # float32[]  by how much a placement must be worth more, in reward


class Parameters(struct.PyTreeNode):
    """The parameters that a learned policy plays with."""

    network: Weights
    base_policy: BaseRule | None


def greedy(
    q: QFunction,
    network: Weights,
    name: str = "learned",
    base_policy: BaseRule | None = None,
    estimates_lifetimes: bool = False,
) -> Policy:
    """Makes the policy that takes the action with the largest Q-value, ties to the first.

    With a base policy, it takes that one's placement unless another has a larger advantage than the
    margin, or it is none of the actions: then nothing is known of it.

    Args:
        network: parameters of the Q-function's network.
        estimates_lifetimes: it is told what past requests let expect, where there are no hints.
    """
    return Policy(
        parameters=Parameters(network=network, base_policy=base_policy),
        name=name,
        rule=_greedy(q),
        arena=q.arena,
        estimates_lifetimes=estimates_lifetimes,
    )


def learned(
    network: Weights,
    holes: int,
    hidden_sizes: tuple[int, ...],
    name: str = "learned",
    base_policy: BaseRule | None = None,
) -> Policy:
    """Makes `greedy` of a `Scorer` with these widths, which sees the first `holes` holes."""
    return greedy(CandidateQ(holes, tuple(hidden_sizes)), network, name, base_policy)


@functools.cache
def _greedy(q: QFunction):
    # Cached, so that two policies of one shape share one compiled program.
    def choose(parameters: Parameters, key: jax.Array, situation: Situation) -> jax.Array:
        seen, choices = q.see(situation)
        values = q.values(parameters.network, seen)
        action = jnp.argmax(values)
        start = choices.start_of(situation, action)
        if parameters.base_policy is None:
            return start
        base_start = parameters.base_policy.rule(key, situation)
        its = choices.meaning(base_start)
        worth_it = (
            values[action]
            > jnp.max(values, where=its, initial=-jnp.inf) + parameters.base_policy.margin
        )
        return jnp.where(worth_it & jnp.any(its), start, base_start)

    return choose
