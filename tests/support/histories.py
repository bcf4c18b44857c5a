"""Random histories of an arena, played by the fast arenas and by the slow one.

A `Script` is one history of requests, releases and ticks. `play` runs it on an arena in one
compiled scan and keeps everything that the arena says at every step; `replay` does the same with
the oracle.
"""

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from oracle import FITS, NOWHERE, SlowArena

from jaxmem.arena import measures
from jaxmem.arena.arena import NEVER
from jaxmem.arena.compute_once import compute_once, itself

RULES = (*FITS, "last")
# How a step chooses its start: a rule, or one of these.
HIGH_END_OF_BEST, ANY_LEGAL, REFUSE, ADDRESS = range(len(RULES), len(RULES) + 4)
HOLES = 3
LAYOUT = 3  # steps that lay blocks at given addresses
NO_RELEASE = -1


class Script(NamedTuple):
    """One history: arrays int32[T]."""

    size: np.ndarray
    choice: np.ndarray  # number in RULES, HIGH_END_OF_BEST, ANY_LEGAL, REFUSE or ADDRESS
    expiry: np.ndarray
    forecast: np.ndarray
    freed: np.ndarray  # a cell whose block is released before the request
    pick: np.ndarray  # which legal start, for ANY_LEGAL; the start, for ADDRESS


class Shape(NamedTuple):
    """A shape of arena, and the sizes of arena that are played in it."""

    capacity: int
    cells: tuple[int, ...]
    horizon: int = 31  # the clock needs 5 bits, and never needs one more; 14: both need 4
    representation: str = "auto"
    room: float = 1.0  # slots of a table, as a share of the most blocks that live at once


def random_script(rng: np.random.Generator, shape: Shape, cells: int) -> Script:
    """A history that fills the arena, with every kind of request that a caller may make."""
    steps = shape.horizon
    largest = max(1, int(cells * rng.choice([0.06, 0.15, 0.4])))
    size = rng.integers(1, largest, steps, endpoint=True)
    oversize = [cells, cells + 1, shape.capacity, shape.capacity + 1, 2**30, 2**31 - 1]
    size = np.where(rng.random(steps) < 0.1, rng.choice(oversize, steps), size)
    now = np.arange(steps)
    lifetime = np.maximum(1, rng.geometric(rng.choice([0.05, 0.15]), steps))
    at_the_horizon = shape.horizon - now + rng.integers(0, 3, steps)
    kind = rng.random(steps)
    lifetime = np.where(kind < 0.1, NEVER, np.where(kind < 0.25, at_the_horizon, lifetime))
    freed = rng.choice([-2, cells, cells + 1, shape.capacity + 40, *range(min(cells, 8))], steps)
    freed = np.where(rng.random(steps) < 0.7, rng.integers(0, cells, steps), freed)
    choice = rng.integers(0, REFUSE, steps, endpoint=True)
    pick = rng.integers(0, 2**20, steps)
    borders = np.sort(rng.integers(0, cells, 2 * LAYOUT, endpoint=True)).reshape(LAYOUT, 2)
    length = borders[:, 1] - borders[:, 0]
    choice[:LAYOUT] = np.where(length > 0, ADDRESS, REFUSE)
    pick[:LAYOUT] = borders[:, 0]
    size[:LAYOUT] = np.clip(length, 1, max(1, cells // 4))
    return Script(
        size=size,
        choice=choice,
        expiry=now + lifetime,
        forecast=np.where(rng.random(steps) < 0.3, 0, rng.integers(0, shape.horizon, steps)),
        freed=np.where(rng.random(steps) < 0.3, freed, NO_RELEASE),
        pick=pick,
    )


def _step(arena, step):
    """What the arena says before a placement, and the arena a request later."""
    size, choice, expiry, forecast, freed, pick = step
    # Borders in the program, which would take twice as long to compile without.
    arena = compute_once(arena.now, itself, arena.release(freed))
    count = arena.start_count(size)
    starts = [getattr(arena, rule)(size) for rule in RULES]
    picked = arena.numbered_start(size, pick % jnp.maximum(count, 1))
    high_ends = jax.vmap(partial(arena.high_end, size=size))(jnp.stack([*starts, picked]))
    starts += [high_ends[RULES.index("best")], picked, NOWHERE, pick]
    starts = compute_once(arena.now, itself, starts)
    start = jnp.stack(starts)[choice]
    borders = jnp.stack([0, *_borders(pick, arena.cells), arena.cells])
    mask, some = arena.legal_starts(size, arena.capacity)
    found = {f"{rule} fit": at for rule, at in zip(RULES, starts, strict=False)}
    found |= {
        "high_ends": high_ends,
        "start": start,
        "picked": picked,
        "beyond": jax.vmap(partial(arena.numbered_start, size))(jnp.stack([-1, count])),
        "start_count": count,
        "mask": mask,
        "some": some,
        "allowed": jnp.stack([arena.allows(cell, size) for cell in _addresses(pick, arena.cells)]),
        "taken": arena.taken(arena.capacity),
        "begins": arena.begins(arena.capacity),
        "holes": arena.holes_that_fit(size, HOLES),
        "parts": arena.parts(borders),
        "free": arena.free_cells(),
        "live": measures.live_cells(arena),
        "blocks": arena.live_blocks(),
        "hole_count": arena.hole_count(),
        "fitting": arena.hole_count(size),
        "largest_hole": arena.largest_hole(),
        "external_fragmentation": measures.external_fragmentation(arena),
        "unusable_free": measures.unusable_free(arena, size),
        "hole_histogram": arena.hole_histogram(),
    }
    at_once = arena.advance(start, size, expiry, forecast)
    arena = arena.place(start, size, expiry, forecast)
    arena = arena.tick(arena.now + 1)
    same = jax.tree.map(jnp.array_equal, at_once, arena)
    found["advance is place and tick"] = jnp.stack(jax.tree.leaves(same)).all()
    found |= {"cursor": arena.cursor, "high_water": arena.high_water, "now": arena.now}
    return arena, found


def _addresses(pick, cells):
    """Where a request may be asked to start, rightly or wrongly."""
    return [pick, pick // 2, 0, -1 - pick, cells, 2**31 - 1]


def _borders(pick, cells):
    """Two rising addresses in 0 .. cells."""
    middle = pick % (cells + 1)
    return (middle // 3, middle)


@jax.jit
def play(arenas, scripts):
    """Everything that E arenas say while scripts are played on them: arrays [E, T, ...]."""
    turned = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), scripts)
    found = jax.lax.scan(jax.vmap(_step), arenas, turned)[1]
    return jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), found)


def replay(cells: int, script: Script, slots: float) -> Iterator[dict]:
    """What the oracle says, step by step, when no more than `slots` blocks find a place."""
    slow = SlowArena(cells)
    for time, step in enumerate(zip(*(column.tolist() for column in script), strict=True)):
        size, choice, expiry, forecast, freed, pick = step
        slow.release(freed)
        legal = slow.legal_starts(size)
        starts = [slow.start_by(rule, size) for rule in RULES]
        picked = legal[pick % len(legal)] if legal else NOWHERE
        high_ends = [slow.high_end(start, size) for start in [*starts, picked]]
        starts += [high_ends[RULES.index("best")], picked, NOWHERE, pick]
        borders = [0, *_borders(pick, cells), cells]
        owners = [[b for b in slow.owner[low:high] if b] for low, high in pairwise(borders)]
        heads = [block.start for block in slow.blocks()]
        found = {f"{rule} fit": at for rule, at in zip(RULES, starts, strict=False)}
        found |= {
            "high_ends": high_ends,
            "start": starts[choice],
            "picked": picked,
            "beyond": [NOWHERE, NOWHERE],
            "start_count": len(legal),
            "mask": legal,
            "some": bool(legal),
            "allowed": [cell in legal for cell in _addresses(pick, cells)],
            "begins": heads,
            "taken": [cell for cell, block in enumerate(slow.owner) if block],
            "holes": slow.holes_that_fit(size, HOLES),
            "part cells": [len(part) for part in owners],
            "part blocks": [
                sum(low <= head < high for head in heads) for low, high in pairwise(borders)
            ],
            "part births": [sum(block.birth for block in part) for part in owners],
            "free": slow.free(),
            "live": slow.live(),
            "blocks": len(heads),
            "hole_count": len(slow.holes()),
            "fitting": len(slow.fitting(size)),
            "largest_hole": slow.largest_hole(),
            "external_fragmentation": slow.external_fragmentation(),
            "unusable_free": slow.unusable_free(size),
            "hole_histogram": slow.hole_histogram(13),
        }
        placed = starts[choice] if len(heads) < slots else NOWHERE
        slow.place(placed, size, expiry, forecast)
        found["blocks after"] = len(slow.blocks())
        found["advance is place and tick"] = True
        slow.tick(time + 1)
        found |= {"cursor": slow.cursor, "high_water": slow.high_water, "now": slow.now}
        yield found
