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
import numpy as np
from flax import struct

from jaxmem.arena.arena import Arena, Holes
from jaxmem.arena.compute_once import compute_once, itself
from jaxmem.environment.situation import Situation

SEGMENTS = 8  # equal parts of the arena, each summed up in three numbers
BINS = 8  # hole lengths [1, 2) [2, 4) ... [128, ...)
_LOG_CELLS = 7.0  # log2 of the longest length that is told apart from 1.0: about 128 cells
_LOG_TIME = 8.0  # log2 of the longest time, likewise: about 256 requests

# The features and their ranges, in arenas of up to 256 cells and episodes of up to 512 requests;
# `ranges` has those of larger ones. A flag is 0 or 1.
_FLAG, _SHARE, _CELLS, _TIME = (0.0, 1.0), (0.0, 1.0), (0.0, 1.2), (0.0, 1.13)
_AHEAD, _HOLES, _BIN = (0.0, 1.26), (0.0, 8.0), (0.0, 32.0)
_NEIGHBOUR = {
    "wall": _FLAG,  # the arena ends here; the other five are then 0
    "size": _CELLS,  # of the block, log2(1 + cells) / 7
    "age": _TIME,  # since it was placed, log2(1 + requests) / 8
    "remaining": _AHEAD,  # predicted until it dies, log2(1 + requests) / 8; 0: not known
    "dies_with": (-2.0, 2.0),  # predicted deaths, the block's after the request's, requests / 32
    "known": _FLAG,  # there is a prediction, and the block is not overdue
}
_HOLES_AFTER = tuple(f"holes_after_{2**k}" for k in range(BINS))
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
    **dict.fromkeys(_HOLES_AFTER, _BIN),  # of [2^k, 2^(k+1)) cells, number / 4
}
_GLOBAL = {
    "request_size": _CELLS,  # log2(1 + cells) / 7
    "request_share": (0.0, 2.0),  # over the arena; more than 1 can never fit
    "hint": _AHEAD,  # predicted lifetime, log2(1 + requests) / 8
    "has_hint": _FLAG,
    "free": _SHARE,  # cells, over the arena
    "largest_hole": _SHARE,  # likewise
    "holes": _HOLES,  # number / 16
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
OVERVIEW = tuple(_GLOBAL)  # those of the whole arena, which end every row


def ranges(cells: int, horizon: int, holes: int) -> dict[str, tuple[float, float]]:
    """Returns `RANGES`, widened where `cells`, requests of an episode or `holes` shown ask for it.

    Lengths and times go on as logarithms, and numbers of holes in proportion.
    """
    larger, longer = max(cells / 256, 1.0), max(horizon / 512, 1.0)
    later = np.log2(longer) / _LOG_TIME
    more = {
        _CELLS: np.log2(larger) / _LOG_CELLS,
        _TIME: later,
        _AHEAD: later,
        _HOLES: _HOLES[1] * (larger - 1.0),
        _BIN: _BIN[1] * (larger - 1.0),
    }
    wide = {name: (own[0], own[1] + float(more.get(own, 0.0))) for name, own in RANGES.items()}
    return {**wide, "fitting_holes": (0.0, max(1.0, holes / 8))}


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
    "holes_after": _HOLES_AFTER,
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
    columns = compute_once(arena.now, itself, [found.low, found.length, *sides[0], *sides[1]])
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


def candidates(packed: Packed, columns: tuple[str, ...] = FEATURES) -> jax.Array:
    """Computes a row for each action of `holes_and_ends`: float32[2 * K + 1, len(columns)].

    The rows of holes that do not exist, and the candidate part of *refuse*, are zero but for the
    flag; the global part stands in every row.
    """
    actions = jnp.arange(2 * packed.holes.shape[0] + 1)
    alone = jax.tree.map(lambda leaf: leaf[None], packed)
    return rows(alone, jnp.zeros_like(actions), actions, columns)


def rows(
    packed: Packed,
    situation: jax.Array,
    action: jax.Array,
    columns: tuple[str, ...] = FEATURES,
) -> jax.Array:
    """Computes the features of some candidates of E situations: float32[M, len(columns)].

    Args:
        packed: batched over E.
        situation: int32[M]  0 .. E - 1.
        action: int32[M]  0 .. 2 * K.
        columns: names of `FEATURES`, in any order.
    """
    limit = packed.holes.shape[1]
    number = jnp.minimum(action // 2, limit - 1)
    here = jax.tree.map(lambda leaf: leaf[situation], packed.replace(holes=None))
    here = here.replace(holes=packed.holes[situation, number])
    refuse = action == 2 * limit
    exists = (number < here.count) & ~refuse
    named = _candidate(here, number, action % 2 == 1)
    features = jnp.stack([named[name].astype(jnp.float32) for name in _CANDIDATE]).T
    flag = jnp.arange(len(_CANDIDATE)) == list(_CANDIDATE).index("refuse")
    features = jnp.where(exists[:, None], features, (flag & refuse[:, None]).astype(jnp.float32))
    every = jnp.concatenate([features, here.overview], axis=-1)
    if columns == FEATURES:
        return every
    return every[:, np.array([FEATURES.index(name) for name in columns])]


def bitmap(situation: Situation, cells: int, recent: jax.Array) -> jax.Array:
    """Lists taken cells (1.0), this size and the `recent` (int32[H]) before it, over `cells`.

    Returns:
        float32[cells + 1 + H]; cells outside a smaller arena count as taken.
    """
    # One cell more, and then the size in its place: to append it would cost more than all the rest.
    taken = jnp.where(situation.arena.taken(cells + 1), jnp.float32(1.0), jnp.float32(0.0))
    size = compute_once(situation.arena.now, itself, (situation.size / cells).astype(jnp.float32))
    seen = jnp.where(jnp.arange(cells + 1) == cells, size, taken)
    return jnp.concatenate([seen, (recent / cells).astype(jnp.float32)])


def _candidate(here: Packed, number: jax.Array, high: jax.Array) -> dict[str, jax.Array]:
    """Computes the candidate features of M placements, by name: [M] each.

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
    touched = {name: jnp.where(high, above[name], below[name]) for name in _NEIGHBOUR}
    across = {name: jnp.where(high, below[name], above[name]) for name in _NEIGHBOUR}
    moved = _in_bins(leftover) - _in_bins(length)
    return {
        "length": _log_cells(length),
        "leftover": _log_cells(leftover),
        "leftover_is_0": leftover == 0,
        "leftover_is_1": leftover == 1,
        "leftover_is_2": leftover == 2,
        "is_tightest": length == here.shortest,
        "is_largest": length == here.longest,
        "is_first": number == 0,
        "is_last": number == here.count - 1,
        "from_low_wall": start / cells,
        "from_high_wall": (cells - start - size) / cells,
        "high_end": high,
        "refuse": jnp.zeros_like(number),
        **{f"touched_{name}": column for name, column in touched.items()},
        **{f"across_{name}": column for name, column in across.items()},
        **dict(zip(_HOLES_AFTER, ((here.histogram + moved) / 4.0).T, strict=True)),
    }


def _beside(wall: jax.Array, block: list[jax.Array], hint: jax.Array) -> dict[str, jax.Array]:
    """Computes the features of what lies beside a hole, by name, all arguments and results [M]."""
    size, age, remaining = block
    known = remaining > 0
    dies_with = jnp.where(known & (hint > 0), (remaining - hint) / 32.0, 0.0)
    return {
        "wall": wall,
        "size": _log_cells(size),
        "age": _log_time(age),
        "remaining": _log_time(remaining),
        "dies_with": jnp.clip(dies_with, -2.0, 2.0),
        "known": known,
    }


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
    named = {
        "request_size": _log_cells(situation.size),
        "request_share": situation.size / arena.cells,
        "hint": _log_time(hint),
        "has_hint": hint > 0,
        "free": arena.free_cells() / arena.cells,
        "largest_hole": arena.largest_hole() / arena.cells,
        "holes": arena.hole_count() / 16.0,
        "fitting_holes": fitting / 8.0,
    }
    numbers = [jnp.asarray(named[name], jnp.float32) for name in _GLOBAL if name in named]
    # What is stacked unsettled is computed inside the stack, one arena after the other.
    head = jnp.stack(compute_once(arena.now, itself, numbers))
    return jnp.concatenate([head, _segments(situation).astype(jnp.float32)])


def _segments(situation: Situation) -> jax.Array:
    """Computes the share of live cells, blocks and mean age of each part: float32[3 * SEGMENTS]."""
    arena = situation.arena
    borders = arena.cells * jnp.arange(SEGMENTS + 1) // SEGMENTS
    width = jnp.maximum(borders[1:] - borders[:-1], 1)
    parts = compute_once(arena.now, itself, arena.parts(borders))
    mean_age = arena.now - parts.births / jnp.maximum(parts.cells, 1)
    age = jnp.where(parts.cells > 0, mean_age, 0.0)
    columns = [parts.cells / width, parts.blocks / width, _log_time(age)]
    return jnp.stack(columns, axis=-1).reshape(-1)


def _log_cells(cells: jax.Array) -> jax.Array:
    return jnp.log2(1.0 + jnp.maximum(cells, 0)) / _LOG_CELLS


def _log_time(requests: jax.Array) -> jax.Array:
    return jnp.log2(1.0 + jnp.maximum(requests, 0)) / _LOG_TIME
