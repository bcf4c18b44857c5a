"""The observation of an agent: candidate placements, packed or as rows of features, or the bitmap.

Lengths and times enter as logarithms, log2(1 + x) over a fixed scale, because what matters about
them is their ratio: a hole of 3 cells or 6, a block of age 10 or 100. The names and the order of
the columns are `FEATURES`, what they can be is in `RANGES`, and what they tell of in `GROUPS`.

Most situations have one to three holes that fit, out of the K that a row each is kept for. So what
is stored is packed, numbers as the arena gives them, and rows are made for those candidates that a
network reads.
"""

import jax
import jax.numpy as jnp
from flax import struct

from jaxmem.arena.arena import Arena, Holes
from jaxmem.arena.settle import itself, settle
from jaxmem.environment.situation import Situation

SEGMENTS = 8  # equal parts of the arena, each summed up in three numbers
BINS = 8  # hole lengths [1, 2) [2, 4) ... [128, ...)
_LOG_CELLS = 7.0  # log2 of the longest length that is told apart from 1.0: about 128 cells
_LOG_TIME = 8.0  # log2 of the longest time, likewise: about 256 requests

# The features and their ranges, in arenas of up to 256 cells and episodes of up to 512 requests; in
# longer ones lengths and times go on as logarithms. A flag is 0 or 1.
_FLAG, _SHARE, _CELLS, _TIME = (0.0, 1.0), (0.0, 1.0), (0.0, 1.2), (0.0, 1.13)
_NEIGHBOUR = {
    "wall": _FLAG,  # the arena ends here; the other five are then 0
    "size": _CELLS,  # of the block, log2(1 + cells) / 7
    "age": _TIME,  # since it was placed, log2(1 + requests) / 8
    "remaining": (0.0, 1.26),  # predicted until it dies, log2(1 + requests) / 8; 0: not known
    "dies_with": (-2.0, 2.0),  # predicted deaths, the block's after the request's, requests / 32
    "known": _FLAG,  # there is a prediction, and the block is not overdue
}
_CANDIDATE = {
    "length": _CELLS,  # of the hole, log2(1 + cells) / 7
    "leftover": _CELLS,  # of it beside the request, likewise
    "leftover_is_0": _FLAG,
    "leftover_is_1": _FLAG,
    "leftover_is_2": _FLAG,
    "is_tightest": _FLAG,  # among the holes shown that fit, as the next three
    "is_largest": _FLAG,
    "is_first": _FLAG,
    "is_last": _FLAG,
    "from_low_wall": _SHARE,  # free or taken cells below the block, over the arena
    "from_high_wall": _SHARE,  # and above it
    "high_end": _FLAG,  # of the hole, else the low one
    "refuse": _FLAG,  # nothing fits: the rest of the candidate part is 0
    **{f"touched_{name}": bounds for name, bounds in _NEIGHBOUR.items()},  # at the end taken
    **{f"across_{name}": bounds for name, bounds in _NEIGHBOUR.items()},  # at the other end
    **{f"holes_after_{2**k}": (0.0, 32.0) for k in range(BINS)},  # [2^k, 2^(k+1)) cells, / 4
}
_GLOBAL = {
    "request_size": _CELLS,  # log2(1 + cells) / 7
    "request_share": (0.0, 2.0),  # over the arena; more than 1 can never fit
    "hint": (0.0, 1.26),  # predicted lifetime, log2(1 + requests) / 8
    "has_hint": _FLAG,
    "free": _SHARE,  # cells, over the arena
    "largest_hole": _SHARE,  # likewise
    "holes": (0.0, 8.0),  # number / 16
    "fitting_holes": _SHARE,  # number of those shown / 8, with the usual 8
    **{
        f"segment_{i}_{name}": bounds
        for i in range(SEGMENTS)
        for name, bounds in (
            ("live", _SHARE),  # cells, over the segment
            ("blocks", _SHARE),  # that begin in it, over its cells
            ("age", _TIME),  # mean of its live cells, log2(1 + requests) / 8
        )
    },
}
RANGES: dict[str, tuple[float, float]] = {**_CANDIDATE, **_GLOBAL}
FEATURES = tuple(RANGES)


def _beside_the_hole(*names: str) -> tuple[str, ...]:
    return tuple(f"{side}_{name}" for side in ("touched", "across") for name in names)


# The features by what they tell of, each in one group: what a network can be blind to.
GROUPS: dict[str, tuple[str, ...]] = {
    "hole": (
        *("length", "leftover", "leftover_is_0", "leftover_is_1", "leftover_is_2"),
        *("is_tightest", "is_largest", "is_first", "is_last", "refuse"),
    ),
    "place": ("from_low_wall", "from_high_wall", "high_end"),
    "neighbour_sizes": _beside_the_hole("wall", "size"),
    "neighbour_ages": _beside_the_hole("age"),
    "predictions": (*_beside_the_hole("remaining", "dies_with", "known"), "hint", "has_hint"),
    "holes_after": tuple(name for name in FEATURES if name.startswith("holes_after_")),
    "request": ("request_size", "request_share"),
    "totals": ("free", "largest_hole", "holes", "fitting_holes"),
    "segments": tuple(name for name in FEATURES if name.startswith("segment_")),
}


class Packed(struct.PyTreeNode):
    """The candidates of one situation: the first K holes that fit, in numbers."""

    holes: (
        jax.Array
    )  # int32[K, 8]  low start, length; size, age, remaining of the block below, above
    size: jax.Array  # int32[]  cells asked for
    cells: jax.Array  # int32[]  of the arena
    hint: jax.Array  # float32[]  predicted lifetime in requests, 0: none
    count: jax.Array  # int32[]  holes that there are, 0 .. K
    shortest: jax.Array  # int32[]  length of the shortest of them
    longest: jax.Array  # int32[]  and of the longest
    histogram: jax.Array  # int32[BINS]  holes of the arena by length
    overview: jax.Array  # float32[G]  the features of the whole arena


def pack(situation: Situation, found: Holes) -> Packed:
    """Packs the situation, with its `found` holes, as a network will read it."""
    arena = situation.arena
    sides = [(side.size, side.age, side.remaining) for side in (found.below, found.above)]
    columns = settle(arena.now, itself, [found.low, found.length, *sides[0], *sides[1]])
    count = jnp.sum(found.exists, dtype=jnp.int32)
    return Packed(
        holes=jnp.stack(columns, axis=-1).astype(jnp.int32),
        size=situation.size,
        cells=arena.cells,
        hint=situation.hint,
        count=count,
        shortest=jnp.min(jnp.where(found.exists, found.length, arena.cells)),
        longest=jnp.max(found.length),
        histogram=_histogram(arena),
        overview=_overview(situation, count),
    )


def candidates(packed: Packed) -> jax.Array:
    """Computes a row for each action of `holes_and_ends`: float32[2 * K + 1, len(FEATURES)].

    The rows of holes that do not exist, and the candidate part of *refuse*, are zero but for the
    flag; the global part stands in every row.
    """
    actions = jnp.arange(2 * packed.holes.shape[0] + 1)
    alone = jax.tree.map(lambda leaf: leaf[None], packed)
    return rows(alone, jnp.zeros_like(actions), actions)


def rows(packed: Packed, situation: jax.Array, action: jax.Array) -> jax.Array:
    """Computes the features of some candidates of E situations: float32[M, len(FEATURES)].

    Args:
        packed: batched over E.
        situation: int32[M]  0 .. E - 1.
        action: int32[M]  0 .. 2 * K.
    """
    limit = packed.holes.shape[1]
    number = jnp.minimum(action // 2, limit - 1)
    here = jax.tree.map(lambda leaf: leaf[situation], packed.replace(holes=None))
    here = here.replace(holes=packed.holes[situation, number])
    refuse = action == 2 * limit
    exists = (number < here.count) & ~refuse
    features = jnp.stack(_candidate(here, number, action % 2 == 1)).T
    flag = jnp.arange(len(_CANDIDATE)) == list(_CANDIDATE).index("refuse")
    features = jnp.where(exists[:, None], features, (flag & refuse[:, None]).astype(jnp.float32))
    return jnp.concatenate([features, here.overview], axis=-1)


def bitmap(situation: Situation, cells: int, recent: jax.Array) -> jax.Array:
    """Lists taken cells (1.0), this size and the `recent` (int32[H]) before it, over `cells`.

    Returns:
        float32[cells + 1 + H]; cells outside a smaller arena count as taken.
    """
    # One cell more, and then the size in its place: to append it would cost more than all the rest.
    taken = jnp.where(situation.arena.taken(cells + 1), jnp.float32(1.0), jnp.float32(0.0))
    size = settle(situation.arena.now, itself, (situation.size / cells).astype(jnp.float32))
    seen = jnp.where(jnp.arange(cells + 1) == cells, size, taken)
    return jnp.concatenate([seen, (recent / cells).astype(jnp.float32)])


def _candidate(here: Packed, number: jax.Array, high: jax.Array) -> list[jax.Array]:
    """Computes the candidate features of M placements: float32[M] each.

    Args:
        here: one hole and its situation for each, int32[M] or [M, ...].
        number: int32[M]  of the hole among those that fit.
        high: bool[M]  at its high end.
    """
    low, length, *beside = (here.holes[:, column] for column in range(here.holes.shape[1]))
    size, cells, leftover = here.size, here.cells, length - here.size
    start = jnp.where(high, low + leftover, low)
    # A hole that no block ends is ended by the wall.
    below = _beside(low == 0, beside[:3], here.hint)
    above = _beside(low + length == cells, beside[3:], here.hint)
    touched = [jnp.where(high, one, other) for one, other in zip(above, below, strict=True)]
    across = [jnp.where(high, one, other) for one, other in zip(below, above, strict=True)]
    moved = _in_bins(leftover) - _in_bins(length)
    columns = [
        _log_cells(length),
        _log_cells(leftover),
        leftover == 0,
        leftover == 1,
        leftover == 2,
        length == here.shortest,
        length == here.longest,
        number == 0,
        number == here.count - 1,
        start / cells,
        (cells - start - size) / cells,
        high,
        jnp.zeros_like(number),
        *touched,
        *across,
        *((here.histogram + moved) / 4.0).T,
    ]
    return [column.astype(jnp.float32) for column in columns]


def _beside(wall: jax.Array, block: list[jax.Array], hint: jax.Array) -> list[jax.Array]:
    """Computes the features of what lies beside a hole, all arguments and results [M]."""
    size, age, remaining = block
    known = remaining > 0
    dies_with = jnp.where(known & (hint > 0), (remaining - hint) / 32.0, 0.0)
    return [
        wall,
        _log_cells(size),
        _log_time(age),
        _log_time(remaining),
        jnp.clip(dies_with, -2.0, 2.0),
        known,
    ]


def _in_bins(length: jax.Array) -> jax.Array:
    """Tells which bin a hole falls into: int32[M, BINS], all zero for a length below 1."""
    floors = 2 ** jnp.arange(BINS)
    at_least = (length[:, None] >= floors).astype(jnp.int32)
    return at_least - jnp.pad(at_least[:, 1:], ((0, 0), (0, 1)))


def _histogram(arena: Arena) -> jax.Array:
    """Counts holes by length, the longest in one bin without end: int32[BINS]."""
    by_length = arena.hole_histogram()
    longest = jnp.sum(by_length[BINS - 1 :], keepdims=True)
    bins = jnp.append(jnp.pad(by_length, (0, BINS))[: BINS - 1], longest)
    return bins.astype(jnp.int32)


def _overview(situation: Situation, fitting: jax.Array) -> jax.Array:
    """Computes the features of the whole arena: float32[len(_GLOBAL)]."""
    arena, hint = situation.arena, situation.hint
    numbers = [
        _log_cells(situation.size),
        situation.size / arena.cells,
        _log_time(hint),
        hint > 0,
        arena.free_cells() / arena.cells,
        arena.largest_hole() / arena.cells,
        arena.hole_count() / 16.0,
        fitting / 8.0,
    ]
    # What is stacked unsettled is computed inside the stack, one arena after the other.
    numbers = settle(arena.now, itself, [jnp.asarray(number, jnp.float32) for number in numbers])
    head = jnp.stack(numbers)
    return jnp.concatenate([head, _segments(situation).astype(jnp.float32)])


def _segments(situation: Situation) -> jax.Array:
    """Computes the share of live cells, blocks and mean age of each part: float32[3 * SEGMENTS]."""
    arena = situation.arena
    borders = arena.cells * jnp.arange(SEGMENTS + 1) // SEGMENTS
    width = jnp.maximum(borders[1:] - borders[:-1], 1)
    parts = settle(arena.now, itself, arena.parts(borders))
    mean_age = arena.now - parts.births / jnp.maximum(parts.cells, 1)
    age = jnp.where(parts.cells > 0, mean_age, 0.0)
    columns = [parts.cells / width, parts.blocks / width, _log_time(age)]
    return jnp.stack(columns, axis=-1).reshape(-1)


def _log_cells(cells: jax.Array) -> jax.Array:
    return jnp.log2(1.0 + jnp.maximum(cells, 0)) / _LOG_CELLS


def _log_time(requests: jax.Array) -> jax.Array:
    return jnp.log2(1.0 + jnp.maximum(requests, 0)) / _LOG_TIME
