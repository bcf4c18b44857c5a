"""Policies that a Q-network plays."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from jaxmem.environment.situation import Situation
from jaxmem.policies import Policy
from jaxmem.policies.q_functions import CandidateQ, QFunction


class Guide(struct.PyTreeNode):
    """The rule that a learned policy follows where its network sees no better placement."""

    rule: Policy
    margin: Any  # float32[]  by how much a placement must be worth more, in reward


class Parameters(struct.PyTreeNode):
    """The parameters that a learned policy plays with."""

    network: Any  # as flax has it
    guide: Guide | None


def greedy(
    q: QFunction,
    network: Any,
    name: str = "learned",
    guide: Guide | None = None,
    foretells: bool = False,
) -> Policy:
    """Makes the policy that takes the action with the largest Q-value, ties to the first.

    With a guide, it takes the guide's placement unless another is worth more by the margin, or the
    guide's is none of the actions: then nothing is known of it.

    Args:
        network: parameters of the Q-function's network.
        foretells: it is to be told what the requests so far foretell, where there are no hints.
    """
    return Policy(
        parameters=Parameters(network=network, guide=guide),
        name=name,
        rule=_greedy(q),
        arena=q.arena,
        foretells=foretells,
    )


def learned(
    network: Any,
    holes: int,
    widths: tuple[int, ...],
    name: str = "learned",
    guide: Guide | None = None,
) -> Policy:
    """Makes `greedy` of a `Scorer` with these widths, which sees the first `holes` holes."""
    return greedy(CandidateQ(holes, tuple(widths)), network, name, guide)


@functools.cache
def _greedy(q: QFunction):
    # Cached, so that two policies of one shape share one compiled program.
    def choose(parameters: Parameters, key: jax.Array, situation: Situation) -> jax.Array:
        seen, choices = q.see(situation)
        values = q.values(parameters.network, seen)
        action = jnp.argmax(values)
        start = choices.start_of(situation, action)
        if parameters.guide is None:
            return start
        guided = parameters.guide.rule(key, situation)
        its = choices.meaning(guided)
        worth_it = (
            values[action] > jnp.max(values, where=its, initial=-jnp.inf) + parameters.guide.margin
        )
        return jnp.where(worth_it & jnp.any(its), start, guided)

    return choose
