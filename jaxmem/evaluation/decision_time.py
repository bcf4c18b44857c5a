"""The time that a policy takes to decide."""

import time

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.environment.playing import play
from jaxmem.environment.situation import Situation, situation_at
from jaxmem.environment.tasks import initial_arena
from jaxmem.policies import Policy
from jaxmem.workloads.registry import Workload
from jaxmem.workloads.requests import Requests

ARENAS = 1024  # decided at once, as in training: the time is a share of the batch's
ROUNDS = 31


def decision_nanoseconds(policy: Policy, requests: Requests, workload: Workload) -> np.ndarray:
    """Times a decision, batched over arenas: wall nanoseconds, float64[ROUNDS], one each.

    The situations are those in the middle of the sequences, after first fit.
    """
    told = policy.told(requests, workload.has_hints)
    situations = jax.block_until_ready(_middle(told, workload))
    keys = jax.random.split(jax.random.key(0), ARENAS)
    decide = jax.jit(jax.vmap(policy)).lower(keys, situations).compile()
    decide(keys, situations).block_until_ready()  # a first call pays for more than deciding
    seconds = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        decide(keys, situations).block_until_ready()
        seconds.append(time.perf_counter() - begin)
    return 1e9 * np.asarray(seconds) / ARENAS


def _middle(requests: Requests, workload: Workload) -> Situation:
    """Makes ARENAS situations half way through their sequences."""
    initial = initial_arena(workload, requests)

    def first_fit(_: tuple[()], situation: Situation, __: None):
        return (), situation.arena.first(situation.size), None

    @jax.jit
    @jax.vmap
    def middle(sequence: jax.Array) -> Situation:
        half = requests.length // 2
        arena, *_ = play(first_fit, initial, requests, sequence, (), length=half)
        return situation_at(arena, requests, sequence)

    return middle(jnp.arange(ARENAS) % requests.sequences)
