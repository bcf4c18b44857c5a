"""A learned policy's view of every placement that it could have chosen."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.arena.arena import NOWHERE, Arena
from jaxmem.environment.playing import play
from jaxmem.environment.situation import Situation
from jaxmem.environment.tasks import initial_arena
from jaxmem.policies import Policy
from jaxmem.policies.q_functions import CandidateQ
from jaxmem.workloads.registry import Workload
from jaxmem.workloads.requests import Requests


class CandidateValues(NamedTuple):
    """The candidates of each of T requests, K holes at either end, and what each is worth."""

    start: np.ndarray  # int32[T, 2 K]  cell, NOWHERE: there is no such candidate
    value: np.ndarray  # float32[T, 2 K]  Q-value, NaN likewise
    base_start: np.ndarray  # int32[T]  the base policy's; NOWHERE: nowhere, or there is none


def candidate_values(
    policy: Policy,
    q: CandidateQ,
    start: np.ndarray,
    requests: Requests,
    workload: Workload,
    capacity: int | None = None,
) -> CandidateValues:
    """Returns what a policy thinks at every request of one sequence, placed as it was.

    Args:
        policy: a learned one, and `q` its Q-function.
        start: int32[T], where each request was placed, by whomever; NOWHERE: failed.
        requests: one sequence of T requests.
        capacity: of the arena, as in `run`.
    """
    initial = initial_arena(workload, requests, capacity=capacity)
    requests = policy.told(requests, workload.has_hints)
    policy = policy.replace(name="")  # the same program serves policies that only differ in name
    found = jax.device_get(
        _candidate_values(policy, q, jnp.asarray(start, jnp.int32), requests, initial)
    )
    return CandidateValues(*found)


@functools.partial(jax.jit, static_argnames="q")
def _candidate_values(
    policy: Policy, q: CandidateQ, start: jax.Array, requests: Requests, initial: Arena
) -> tuple[jax.Array, ...]:
    base_policy = policy.parameters.base_policy
    key = jax.random.key(0)  # no base policy draws

    def answer(_: tuple[()], situation: Situation, played: jax.Array):
        seen, choices = q.see(situation)
        values = q.values(policy.parameters.network, seen)[:-1]  # but for *refuse*
        starts = jnp.asarray(choices.starts)
        legal = choices.legal[:-1]
        base_start = jnp.int32(NOWHERE) if base_policy is None else base_policy.rule(key, situation)
        told = jnp.where(legal, starts, NOWHERE), jnp.where(legal, values, jnp.nan), base_start
        return (), played, told

    return play(answer, initial, requests, jnp.int32(0), (), given=start)[2]
