"""Beam search over placements with every lifetime known.

At each request every member of the beam is placed at both ends of the first holes that fit, and of
all the arenas that come out the W most promising are kept: those with the fewest failures so far,
and of these the ones with the least cost by `contact_costs`, in which old placements fade,
because their blocks are dead. (Lowerre 1976, The HARPY Speech Recognition System: beam search.)
"""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxmem.arena.arena import NOWHERE, Arena
from jaxmem.environment.ending import Ending, ending_of
from jaxmem.environment.situation import Situation, serve, situation_at
from jaxmem.environment.tasks import initial_arena
from jaxmem.evaluation.clairvoyant import knowing
from jaxmem.evaluation.run import chunks, joined
from jaxmem.policies.placement_rules import HINT_HOLES, contact_costs
from jaxmem.workloads.registry import Workload
from jaxmem.workloads.requests import Requests

# Chosen on validation sequences of six workloads.
BEAM_WIDTH = 64  # W; half as many fail a fifth more, in half of the time
FADING = 0.97  # what is left after a request of the cost before it; 0.8 to 0.99 do about as well
SEQUENCES_AT_ONCE = 64  # sequences searched at once, which bounds the memory


@struct.dataclass
class _Beam:
    """W arenas that have answered the same requests in different places."""

    arena: Arena  # W of them
    valid: jax.Array  # bool[W]  False: there were not as many different placements
    failed: jax.Array  # int32[W]  requests so far; after an end by failure, all that follow too
    cost: jax.Array  # float32[W]  requests; old placements have faded
    lost: jax.Array  # bool[W]  a failure has ended the episode
    full: jax.Array  # bool[W]  too many live cells have ended the episode
    start: jax.Array  # int32[W, T]  cell, NOWHERE: failed, ended, or not asked yet


def beam_search(requests: Requests, workload: Workload, width: int = BEAM_WIDTH) -> jax.Array:
    """Finds starts for P sequences of T requests by looking at all of them: int32[P, T].

    NOWHERE where a request fails, and after the end of an episode. Nothing that fits is refused.

    Args:
        width: W, arenas kept at each request, at least 1.
    """
    initial = initial_arena(workload, requests)
    requests = knowing(requests)
    found = []
    for rows in chunks(requests.sequences, SEQUENCES_AT_ONCE):
        chunk = jax.tree.map(lambda column, rows=rows: column[rows], requests)
        found.append(np.asarray(_search(chunk, initial, ending_of(workload), width)))
    return joined(found, requests.sequences)


@functools.partial(jax.jit, static_argnames="width")
def _search(requests: Requests, initial: Arena, ending: Ending, width: int) -> jax.Array:
    def one(sequence: jax.Array) -> jax.Array:
        def step(beam: _Beam, _: None) -> tuple[_Beam, None]:
            return _answered(beam, requests, sequence, ending), None

        beam = _first_beam(initial, width, requests.length)
        beam, _ = jax.lax.scan(step, beam, length=requests.length)
        fewest = jnp.argmin(jnp.where(beam.valid, beam.failed, requests.length + 1))
        return beam.start[fewest]

    return jax.vmap(one)(jnp.arange(requests.sequences))


def _first_beam(initial: Arena, width: int, length: int) -> _Beam:
    return _Beam(
        arena=jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (width, *leaf.shape)), initial),
        valid=jnp.arange(width) == 0,
        failed=jnp.zeros((width,), jnp.int32),
        cost=jnp.zeros((width,), jnp.float32),
        lost=jnp.zeros((width,), bool),
        full=jnp.zeros((width,), bool),
        start=jnp.full((width, length), NOWHERE, jnp.int32),
    )


def _answered(beam: _Beam, requests: Requests, sequence: jax.Array, ending: Ending) -> _Beam:
    """Moves the beam on to the next request."""
    width, now = beam.valid.shape[0], beam.arena.now[0]
    situation = jax.vmap(lambda arena: situation_at(arena, requests, sequence))(beam.arena)
    starts, cost = jax.vmap(_placements)(situation, beam.lost | beam.full)
    fails = jnp.all(starts[:, :-1] < 0, axis=1)
    failed = beam.failed + (fails & ~beam.full)
    cost = FADING * beam.cost[:, None] + cost
    chex.assert_shape([starts, cost], (width, 2 * HINT_HOLES + 1))

    # Twice as many as are kept, so that leaving out those that are alike leaves enough.
    score = _score(failed, jnp.where(beam.valid[:, None], cost, jnp.inf))
    worst, place = jax.lax.top_k(-score, min(2 * width, score.shape[0]))
    member, choice = jnp.divmod(place, starts.shape[1])
    start = starts[member, choice]
    contents = _contents(beam.start, requests, sequence, now)[member]
    contents += _mark(start, requests.size[sequence, now], _deaths(requests, sequence)[now], now)
    new = _first_of_its_kind(contents) & (worst > -jnp.inf)
    kept = jnp.argsort(~new, stable=True)[:width]
    member, choice, start = member[kept], choice[kept], start[kept]

    parent, situation = jax.tree.map(lambda leaf: leaf[member], (beam, situation))
    serve_all = jax.vmap(functools.partial(serve, lifetime=requests.lifetime[sequence, now]))
    ended = jax.vmap(ending.after)(situation, start)
    return _Beam(
        arena=serve_all(situation, start),
        valid=new[kept],
        failed=failed[member],
        cost=cost[member, choice],
        lost=parent.lost | (ended.lost & ~parent.full),
        full=parent.full | (ended.full & ~parent.lost),
        start=parent.start.at[:, now].set(start),
    )


def _placements(situation: Situation, ended: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Lists where one member's request may go: starts int32[2K + 1], costs float32[2K + 1].

    The last is to fail, which is possible only where nothing else is. What is not possible has an
    infinite cost and the start NOWHERE.
    """
    found = situation.holes(HINT_HOLES)
    low, high = contact_costs(situation, found)
    high = jnp.where(found.low == found.high, jnp.inf, high)
    fails = ended | ~jnp.any(found.exists)
    cost = jnp.where(ended, jnp.inf, jnp.concatenate([low, high]))
    starts = jnp.where(jnp.isfinite(cost), jnp.concatenate([found.low, found.high]), NOWHERE)
    return jnp.append(starts, NOWHERE), jnp.append(cost, jnp.where(fails, 0.0, jnp.inf))


def _score(failed: jax.Array, cost: jax.Array) -> jax.Array:
    """Scores by a number: fewer failures come first, then less cost: float32[W * C], flat.

    Args:
        failed: int32[W]
        cost: float32[W, C], infinite where there is nothing.
    """
    possible = jnp.isfinite(cost)
    least = jnp.min(cost)
    apart = jnp.max(jnp.where(possible, cost, least)) - least + 1.0
    fewest = jnp.min(jnp.where(jnp.any(possible, axis=1), failed, jnp.iinfo(jnp.int32).max))
    return ((failed - fewest)[:, None] * apart + (cost - least)).ravel()


def _deaths(requests: Requests, sequence: jax.Array) -> jax.Array:
    """Returns when each request's block dies, by the end of the sequence: int32[T]."""
    times = jnp.arange(requests.length, dtype=jnp.int32)
    return jnp.minimum(times + requests.lifetime[sequence], requests.length)


def _contents(
    start: jax.Array, requests: Requests, sequence: jax.Array, now: jax.Array
) -> jax.Array:
    """Sums up what of each member's past outlives the request at `now`, as a number: uint32[W].

    Two arenas have the same number when the same cells will be free at the same times; others may
    have it by chance, once in 2^32.
    """
    past = jnp.arange(requests.length) < now
    marks = _mark(start, requests.size[sequence], _deaths(requests, sequence), now)
    return jnp.sum(jnp.where(past, marks, 0), axis=1, dtype=jnp.uint32)


def _mark(start: jax.Array, size: jax.Array, death: jax.Array, now: jax.Array) -> jax.Array:
    """Marks a block that lives after the request at `now` by a number, others by 0: uint32[...]."""
    mark: jax.Array = jnp.zeros((), jnp.uint32)
    for number in (death, size, start):
        # The finaliser of MurmurHash3 (Appleby 2011).
        mark = mark * jnp.uint32(5) + number.astype(jnp.uint32)
        mark = (mark ^ (mark >> 16)) * jnp.uint32(0x85EBCA6B)
        mark = (mark ^ (mark >> 13)) * jnp.uint32(0xC2B2AE35)
        mark = mark ^ (mark >> 16)
    return jnp.where((start >= 0) & (death > now + 1), mark, jnp.uint32(0))


def _first_of_its_kind(numbers: jax.Array) -> jax.Array:
    """Tells whether no number before it is the same: bool[M], for uint32[M]."""
    return ~jnp.any(jnp.tril(numbers[:, None] == numbers[None, :], -1), axis=1)
