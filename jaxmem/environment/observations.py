"""What an agent is shown: a row of features for every candidate placement, or the bitmap.

Lengths and times enter as logarithms, log2(1 + x) over a fixed scale, because what matters about
them is their ratio: a hole of 3 cells or 6, a block of age 10 or 100. All features lie in about
-1 .. 2. The names and the order of the columns are `FEATURES`.
"""

import jax
import jax.numpy as jnp

from jaxmem.arena.arena import Holes, Neighbour
from jaxmem.environment.situation import Situation

SEGMENTS = 8  # equal parts of the arena, each summed up in three numbers
BINS = 8  # hole lengths [1, 2) [2, 4) ... [128, ...)
_LOG_CELLS = 7.0  # log2 of the longest length that is told apart from 1.0: about 128 cells
_LOG_TIME = 8.0  # log2 of the longest time, likewise: about 256 requests

_NEIGHBOUR = ("wall", "size", "age", "remaining", "dies_with", "known")
_CANDIDATE = (
    "length",
    "leftover",
    "leftover_is_0",
    "leftover_is_1",
    "leftover_is_2",
    "is_tightest",
    "is_largest",
    "is_first",
    "is_last",
    "from_low_wall",
    "from_high_wall",
    "high_end",
    "refuse",
    *(f"touched_{name}" for name in _NEIGHBOUR),
    *(f"across_{name}" for name in _NEIGHBOUR),
    *(f"holes_after_{2**k}" for k in range(BINS)),
)
_GLOBAL = (
    "request_size",
    "request_share",
    "hint",
    "has_hint",
    "free",
    "largest_hole",
    "holes",
    "fitting_holes",
    *(f"segment_{i}_{name}" for i in range(SEGMENTS) for name in ("live", "blocks", "age")),
)
FEATURES = _CANDIDATE + _GLOBAL


def candidates(situation: Situation, holes: int) -> jax.Array:
    """A row for each action of `holes_and_ends`: float32[2 * holes + 1, len(FEATURES)].

    The rows of holes that do not exist, and the candidate part of *refuse*, are zero but for the
    flag; the global part stands in every row.
    """
    found = situation.holes(holes)
    ends = _placements(situation, found)
    rows = jnp.concatenate([ends, jnp.zeros((1, len(_CANDIDATE)))])
    refuse = jnp.arange(2 * holes + 1) == 2 * holes
    rows = rows.at[:, _CANDIDATE.index("refuse")].set(refuse.astype(jnp.float32))
    overview = jnp.broadcast_to(_overview(situation, found), (2 * holes + 1, len(_GLOBAL)))
    return jnp.concatenate([rows, overview], axis=-1).astype(jnp.float32)


def bitmap(situation: Situation, cells: int, recent: jax.Array) -> jax.Array:
    """Taken cells (1.0), the request's size and `recent` (int32[H]) sizes before it, over `cells`.

    Returns:
        float32[cells + 1 + H]; cells outside a smaller arena count as taken.
    """
    taken = situation.arena.taken(cells)
    sizes = jnp.concatenate([situation.size[None], recent]) / cells
    return jnp.concatenate([taken.astype(jnp.float32), sizes.astype(jnp.float32)])


def _placements(situation: Situation, found: Holes) -> jax.Array:
    """The candidate features, low end before high end, hole by hole: float32[2 * K, ...]."""
    size, cells = situation.size, situation.arena.cells
    leftover = found.length - size
    shortest = jnp.min(jnp.where(found.exists, found.length, cells + 1))
    longest = jnp.max(found.length)
    number = jnp.arange(found.low.shape[0])
    last = jnp.sum(found.exists) - 1
    shared = [
        _log_cells(found.length),
        _log_cells(leftover),
        leftover == 0,
        leftover == 1,
        leftover == 2,
        found.length == shortest,
        found.length == longest,
        number == 0,
        number == last,
    ]
    histogram = _histogram_after(situation, found.length, leftover)
    below = _beside(found.below, situation.hint)
    above = _beside(found.above, situation.hint)

    def side(start, touched, across, high):
        place = [start / cells, (cells - start - size) / cells, high, 0.0]
        columns = jnp.stack(
            [jnp.broadcast_to(jnp.asarray(x, jnp.float32), start.shape) for x in shared + place],
            axis=-1,
        )
        return jnp.concatenate([columns, touched, across, histogram], axis=-1)

    low = side(found.low, below, above, 0.0)
    high = side(found.high, above, below, 1.0)
    both = jnp.stack([low, high], axis=1)
    both = jnp.where(found.exists[:, None, None], both, 0.0)
    return both.reshape(2 * found.low.shape[0], -1)


def _beside(neighbour: Neighbour, hint: jax.Array) -> jax.Array:
    """Features of the block beside each hole: float32[K, 6]."""
    known = neighbour.remaining > 0
    dies_with = jnp.where(known & (hint > 0), (neighbour.remaining - hint) / 32.0, 0.0)
    columns = [
        neighbour.wall,
        _log_cells(neighbour.size),
        _log_time(neighbour.age),
        _log_time(neighbour.remaining),
        jnp.clip(dies_with, -2.0, 2.0),
        known,
    ]
    return jnp.stack([column.astype(jnp.float32) for column in columns], axis=-1)


def _histogram_after(situation: Situation, length: jax.Array, leftover: jax.Array) -> jax.Array:
    """Holes by length once the request is in a hole of `length`: float32[K, BINS], in quarters."""
    before = situation.arena.hole_histogram()
    bins = jnp.zeros(BINS, jnp.int32).at[jnp.minimum(jnp.arange(before.shape[0]), BINS - 1)]
    moved = _in_bins(leftover) - _in_bins(length)
    return (bins.add(before) + moved) / 4.0


def _in_bins(length: jax.Array) -> jax.Array:
    """Which bin a hole falls into: int32[K, BINS], all zero for a length below 1."""
    floors = 2 ** jnp.arange(BINS)
    at_least = (length[:, None] >= floors).astype(jnp.int32)
    return at_least - jnp.pad(at_least[:, 1:], ((0, 0), (0, 1)))


def _overview(situation: Situation, found: Holes) -> jax.Array:
    """The features of the whole arena: float32[len(_GLOBAL)]."""
    arena, hint = situation.arena, situation.hint
    free = arena.free_cells()
    numbers = [
        _log_cells(situation.size),
        situation.size / arena.cells,
        _log_time(hint),
        hint > 0,
        free / arena.cells,
        arena.largest_hole() / arena.cells,
        arena.hole_count() / 16.0,
        jnp.sum(found.exists) / 8.0,
    ]
    head = jnp.stack([jnp.asarray(number, jnp.float32) for number in numbers])
    return jnp.concatenate([head, _segments(situation)])


def _segments(situation: Situation) -> jax.Array:
    """Share of live cells, blocks and mean age in each part of the arena: float32[3 * SEGMENTS]."""
    arena = situation.arena
    borders = arena.cells * jnp.arange(SEGMENTS + 1) // SEGMENTS
    width = jnp.maximum(borders[1:] - borders[:-1], 1)
    parts = arena.parts(borders)
    mean_age = arena.now - parts.births / jnp.maximum(parts.cells, 1)
    age = jnp.where(parts.cells > 0, mean_age, 0.0)
    columns = [parts.cells / width, parts.blocks / width, _log_time(age)]
    return jnp.stack(columns, axis=-1).reshape(-1)


def _log_cells(cells: jax.Array) -> jax.Array:
    return jnp.log2(1.0 + jnp.maximum(cells, 0)) / _LOG_CELLS


def _log_time(requests: jax.Array) -> jax.Array:
    return jnp.log2(1.0 + jnp.maximum(requests, 0)) / _LOG_TIME
