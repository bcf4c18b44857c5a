"""Whether an exported policy places every block of a recording as JAX does."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxmem.arena.arena import NOWHERE
from jaxmem.export.calling import REQUEST, CalledPolicy, CSituation, Followed
from jaxmem.export.exported import SizeRule
from jaxmem.recordings.hole_scorer import HoleScorer, Known, Live
from jaxmem.recordings.hole_table import new_hole_table
from jaxmem.recordings.profile import CONTEXTS, UNKNOWN_CONTEXT
from jaxmem.recordings.profiled_policy import ProfiledPolicy
from jaxmem.recordings.replay import ReplayEvents, replay

NEAR = 1e-6  # scores that lie closer may be taken for one another


class Agreement(NamedTuple):
    """What an exported policy says along a replay by JAX."""

    followed: Followed
    start: np.ndarray  # int64[R]  where JAX places
    ties: int  # choices that differ, of starts that JAX finds worth the same, up to `NEAR`
    differing: int  # other choices that differ


def agreement(
    called: CalledPolicy,
    policy: SizeRule | ProfiledPolicy | HoleScorer,
    events: ReplayEvents,
    cells: int,
) -> Agreement:
    """Replays a recording, and asks the policy in C at each request.

    Args:
        events: with lifetimes foretold, where the policy is a profiled one.
        cells: units of the arena, 0: it grows.
    """
    player = policy if isinstance(policy, HoleScorer) else policy.player
    start = replay(events, cells, player).start
    followed = called.follow(events, cells, start)
    other = np.flatnonzero(followed.choice != start)
    ties = 0
    if isinstance(policy, HoleScorer) and len(other):
        seen = called.follow(events, cells, start, keep=other.tolist()).situations
        ties = sum(
            _worth(policy, situation, followed.choice[now])
            > _worth(policy, situation, start[now]) - NEAR
            for now, situation in zip(other, seen, strict=True)
        )
    return Agreement(followed, start, ties, len(other) - ties)


def _worth(scorer: HoleScorer, situation: CSituation, start: int) -> float:
    """Returns what a start is worth by JAX, less than anything where best fit plays."""
    cells, live_units, live_blocks, _ = situation.arena
    low, high = jnp.asarray(situation.holes).T
    asked = {name: jnp.asarray(situation.request[name]) for name in REQUEST.names or ()}
    size, begins = asked.pop("size").astype(jnp.int32), asked.pop("begins") > 0
    del asked["excepted"]  # which only class rules ask
    known = Known(
        size=size,
        begins=begins,
        given=jnp.zeros((), bool),
        contexts=jnp.full(len(CONTEXTS), UNKNOWN_CONTEXT),
        planned=jnp.int32(NOWHERE),
        **asked,
    )
    spare = jnp.zeros(2, jnp.int32)  # a table has two slots at least
    low, high = jnp.append(low, spare), jnp.append(high, spare)
    table = new_hole_table(cells, len(low)).replace(low=low, high=high)
    live = Live(jnp.int32(live_units), jnp.int32(live_blocks))
    score = np.asarray(scorer.score(table, jnp.int32(cells), known, live))
    fits = np.asarray(high - low >= size)
    at_start = [score[0][fits & (low == start)], score[1][fits & (high - size == start)]]
    return max(np.concatenate(at_start).tolist(), default=-np.inf)
