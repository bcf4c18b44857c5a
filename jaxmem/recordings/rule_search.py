"""Finding the class rule that a program's own runs need least memory under.

Every rule there is plays the runs, each foretold by the profile of the others, in a few tight
arenas; those that come far play in more (successive halving), and the arenas that the best ones
need are found by bisection.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.recordings.class_rule import BEST_FIT, RuleNumbers, all_rules, class_rules
from jaxmem.recordings.headroom import smallest_served
from jaxmem.recordings.orders import order_of
from jaxmem.recordings.profile import profile_of
from jaxmem.recordings.recording import Recording
from jaxmem.recordings.replay import (
    ARENA_FACTOR,
    LEAST_SLOTS,
    Chunk,
    ReplayEvents,
    events_of,
    replay,
)
from jaxmem.recordings.side_by_side import arenas_of, events_served, side_by_side
from jaxmem.settings.learner import RuleSearchConfig

Report = Callable[[str], None]


@dataclass(frozen=True)
class FoundRule:
    """The rule, and the arenas that it and best-fit need."""

    rule: RuleNumbers
    needed: np.ndarray  # float64[D]  over peak live, by run
    by_best_fit: np.ndarray  # float64[D]
    ranked: list[tuple[float, RuleNumbers]]  # finalists by the geometric mean, the best first


def foretold_by_others(runs: Sequence[Recording], alignment: int) -> list[ReplayEvents]:
    """Makes the events of each run, its lifetimes foretold by the profile of the other runs.

    A run that is alone is foretold by its own profile.
    """
    streams = []
    for number, run in enumerate(runs):
        others = [*runs[:number], *runs[number + 1 :]] or [run]
        foretold = profile_of(others).foretold(run)
        streams.append(replace(events_of(run, alignment), foretold=foretold))
    return streams


def find_rule(
    streams: Sequence[ReplayEvents],
    config: RuleSearchConfig,
    report: Report = lambda doing: None,
) -> FoundRule:
    """Finds the class rule that needs least memory on the geometric mean over D runs.

    Args:
        streams: the events of the runs, with their lifetimes foretold.
        report: told what is being done.
    """
    if not streams:
        raise ValueError("no runs to learn from; at least one is needed")
    chunks, blocks = side_by_side(streams)
    slots = min(config.most_slots, max(map(_slots_for, streams)))
    play = partial(_served_shares, slots=slots, blocks=blocks, batch=config.batch)
    rules = all_rules()
    # The run that takes longest says most.
    longest = int(np.argmax([len(events.frees) for events in streams]))
    alone = jax.tree.map(lambda column: column[longest : longest + 1], chunks)
    cells = np.asarray(arenas_of(streams, (config.screened,)))[longest : longest + 1]
    share = play(rules, alone, cells, report=lambda done: report(f"all rules: {done:.0%}"))
    rules = _first(rules, share.mean(axis=(1, 2)), config.kept)
    cells = np.asarray(arenas_of(streams, config.factors))
    share = play(rules, chunks, cells, report=lambda done: report(f"the better ones: {done:.0%}"))
    finalists = _first(rules, share.mean(axis=(1, 2)), config.finalists)
    if BEST_FIT not in finalists:
        finalists.append(BEST_FIT)
    report("arenas needed")
    needed = arenas_needed(finalists, streams, partial(play, chunks=chunks), config)
    mean = np.exp(np.log(needed).mean(axis=1))
    order = np.argsort(mean, kind="stable")
    best = int(order[0])
    return FoundRule(
        rule=finalists[best],
        needed=needed[best],
        by_best_fit=needed[finalists.index(BEST_FIT)],
        ranked=[(float(mean[at]), finalists[at]) for at in order],
    )


def arenas_needed(
    rules: Sequence[RuleNumbers],
    streams: Sequence[ReplayEvents],
    play: Callable[..., np.ndarray],
    config: RuleSearchConfig,
) -> np.ndarray:
    """Bisects for the arena that each of P rules needs for each of D runs.

    Returns:
        float64[P, D], over peak live; `config.widest` where that is not enough.
    """
    peak = np.array([events.peak_live for events in streams])
    shape = (len(rules), len(streams))
    step = np.maximum(1, (config.precision * peak).astype(np.int64))  # units, a step of the search
    low = np.broadcast_to((peak - 1) // step, shape)
    high = np.broadcast_to(-(-(config.widest * peak).astype(np.int64) // step), shape)

    def served(steps: np.ndarray) -> np.ndarray:
        cells = (steps.reshape(shape) * step)[:, :, None]
        return (play(rules, cells=cells) == 1).ravel()

    found = smallest_served(served, low.ravel(), high.ravel()).reshape(shape)
    return np.maximum(found * step / peak, 1.0)


def _slots_for(events: ReplayEvents) -> int:
    """Returns slots for twice the holes that best-fit leaves in a roomy arena."""
    cells = int(ARENA_FACTOR * events.peak_live)
    holes = replay(events, cells, order_of("best")).most_holes
    return max(LEAST_SLOTS, 2 ** (2 * holes).bit_length())


def _first(rules: Sequence[RuleNumbers], score: np.ndarray, count: int) -> list[RuleNumbers]:
    """Returns the rules of the largest scores, the largest first."""
    return [rules[at] for at in np.argsort(-score, kind="stable")[:count]]


_events_served = jax.jit(events_served, static_argnums=(3, 4))


def _served_shares(
    rules: Sequence[RuleNumbers],
    chunks: Chunk,
    cells: np.ndarray,
    *,
    slots: int,
    blocks: int,
    batch: int,
    report: Callable[[float], None] = lambda done: None,
) -> np.ndarray:
    """Plays the rules, some at a time: the share of events served, 1 for all: float64[P, D, C]."""
    per_rule = int(np.prod(cells.shape[-2:]))
    at_once = min(len(rules), max(1, batch // per_rule))
    events = chunks.frees.shape[-1]
    found = []
    for first in range(0, len(rules), at_once):
        some = list(rules[first : first + at_once])
        filled = some + some[:1] * (at_once - len(some))  # the same shape, compiled once
        arenas = cells
        if cells.ndim == 3:
            arenas = cells[first : first + at_once]
            arenas = np.concatenate([arenas, arenas[:1].repeat(at_once - len(some), 0)])
        served = _events_served(
            class_rules(filled), chunks, jnp.asarray(arenas, jnp.int32), slots, blocks
        )
        found.append(np.asarray(served, np.float64)[: len(some)] / events)
        report(min(1.0, (first + at_once) / len(rules)))
    return np.concatenate(found)
