"""Finding the class rule that a program's own runs need least memory under.

Every rule there is plays the runs, each foretold by the profile of the others, in a few tight
arenas; those that come far play in more (successive halving), and the arenas that the best ones
need are found by bisection. Of runs that are long or leave many holes only what is around the
tightest moment is played, but by the last few rules.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.recordings.abreast import abreast
from jaxmem.recordings.class_rule import (
    BEST_FIT_RULE,
    ClassRule,
    RuleNumbers,
    all_rules,
    class_rule,
    class_rules,
)
from jaxmem.recordings.headroom import smallest_served, units_needed
from jaxmem.recordings.profile import profile_of
from jaxmem.recordings.recording import Recording
from jaxmem.recordings.replay import (
    ARENA_FACTOR,
    LEAST_SLOTS,
    BytePlayer,
    Chunk,
    ReplayEvents,
    events_of,
    replay,
)
from jaxmem.recordings.side_by_side import arenas_of, events_served, side_by_side, units_lost
from jaxmem.recordings.variations import Variety, first_around, live_at, varied, window
from jaxmem.settings.recordings import RuleSearchConfig

ReportStage = Callable[[str], None]
SLOTS_STEP = 32
LAST = 3  # rules that play whole what others play a part of
LEAST_REQUESTS = 500  # of such a part
BATCH_SLOTS = 128  # of an arena, up to which `batch` arenas are played side by side
FEW_ABREAST, WIDTH_STEP = 8, 24  # few shapes to compile, where there are fewer


@dataclass(frozen=True)
class FoundRule:
    """The rule, and the arenas that it and best-fit need."""

    rule: RuleNumbers
    needed: np.ndarray  # float64[D]  over peak live, by run
    by_best_fit: np.ndarray  # float64[D]
    ranked: list[
        tuple[float, RuleNumbers]
    ]  # by the geometric mean, the best first; none played: []


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
    report: ReportStage = lambda doing: None,
    rules: Sequence[RuleNumbers] | None = None,
) -> FoundRule:
    """Finds the class rule that needs least memory on the geometric mean over D runs.

    It is best fit, and none is looked for, where that needs next to nothing beyond peak live.

    Args:
        streams: the events of the runs, with their lifetimes foretold.
        report: told what is being done.
        rules: those to choose from, beside best fit; None: all that there are.
    """
    if not streams:
        raise ValueError("no runs to learn from; at least one is needed")
    report("arenas needed by best-fit")
    by_best_fit = np.array(needed_by_each(streams, class_rule(BEST_FIT_RULE), report, "best-fit"))
    if by_best_fit.max() <= config.nothing_to_gain:
        return FoundRule(BEST_FIT_RULE, by_best_fit, by_best_fit, [])
    whole_slots = min(config.most_slots, max(map(slots_of_run, streams)))
    parts, slots = _ranked_parts(streams, config)
    slots = min(config.most_slots, slots)
    found = _finalists(all_rules() if rules is None else rules, parts, slots, config, report)
    if any(part is not whole for part, whole in zip(parts, streams, strict=True)):
        mean = geometric_mean(arenas_needed(found, parts, slots, config, report))
        found = _of_largest_score(found, -mean, LAST)
    needed = arenas_needed(found, streams, whole_slots, config, report)
    mean = geometric_mean(needed)
    ranked = [(float(mean[at]), found[at]) for at in np.argsort(mean, kind="stable")]
    rule = ranked[0][1]
    if ranked[0][0] >= geometric_mean(by_best_fit):
        return FoundRule(BEST_FIT_RULE, by_best_fit, by_best_fit, ranked)
    return FoundRule(rule, needed[found.index(rule)], by_best_fit, ranked)


def needed_by_each(
    streams: Sequence[ReplayEvents],
    player: BytePlayer,
    report: ReportStage = lambda doing: None,
    title: str = "player",
) -> list[float]:
    """Finds the arena that each run needs, over peak live; `units_needed` has the arguments."""

    def needed(events: ReplayEvents) -> float:
        return units_needed(events, player, report, title) / events.peak_live

    return abreast(needed, streams)


def sizes_varied(events: ReplayEvents, deviation: float, seed: int) -> ReplayEvents:
    """Returns the events of a run whose sizes are others, each by a deviation of its logarithm."""
    run = events.recording
    variety = Variety(sizes=deviation, dropped=0, backward=0, mixed=0)
    size = varied(run, np.random.default_rng(seed), variety).size
    other = events_of(replace(run, size=size, written=None), events.alignment)
    return replace(other, foretold=events.foretold, contexts=events.contexts)


def around_the_peak(events: ReplayEvents, requests: int) -> ReplayEvents:
    """Cuts out so many requests around the tightest moment, and the blocks that are live then.

    These are asked for first. A run that is no longer stays as it is.
    """
    run = events.recording
    if run.requests <= requests:
        return events
    first = first_around(int(np.argmax(events.live)), run.requests, requests)
    cut, _ = window(run, first, requests, full=True)
    kept = np.concatenate([live_at(run, first), np.arange(first, first + requests)])
    foretold, contexts = (
        None if column is None else column[kept] for column in (events.foretold, events.contexts)
    )
    return replace(events_of(cut, events.alignment), foretold=foretold, contexts=contexts)


def _ranked_parts(
    streams: Sequence[ReplayEvents], config: RuleSearchConfig
) -> tuple[list[ReplayEvents], int]:
    """Cuts out what rules are ranked by, and returns the slots that it takes."""
    longest = max(events.recording.requests for events in streams)
    requests = min(config.most_requests, longest)
    while True:
        parts = [around_the_peak(events, requests) for events in streams]
        slots = max(map(slots_of_run, parts))
        # Runs play in lockstep: one that were cut less would only keep the others waiting.
        if slots <= config.ranked_slots or requests < 2 * LEAST_REQUESTS:
            return parts, slots
        requests //= 2


def _finalists(
    rules: Sequence[RuleNumbers],
    streams: Sequence[ReplayEvents],
    slots: int,
    config: RuleSearchConfig,
    report: ReportStage,
) -> list[RuleNumbers]:
    """Finds the rules that come farthest in tight arenas, the farthest first."""
    # The run that takes longest says most.
    longest = [max(streams, key=lambda events: len(events.frees))]
    for said, played, factors, kept in (
        ("all rules", longest, (config.screened,), config.semifinalists),
        ("the better ones", streams, config.factors, config.finalists),
    ):
        chunks, blocks = side_by_side(played)
        share = shares_served(
            rules,
            chunks,
            np.asarray(arenas_of(played, factors)),
            slots=slots,
            blocks=blocks,
            batch=config.batch,
            report=lambda done, said=said: report(f"{said}: {done:.0%}"),
        )
        rules = _of_largest_score(rules, share.mean(axis=(1, 2)), kept)
    return list(rules)


def arenas_needed(
    rules: Sequence[RuleNumbers],
    streams: Sequence[ReplayEvents],
    slots: int,
    config: RuleSearchConfig,
    report: ReportStage = lambda doing: None,
) -> np.ndarray:
    """Bisects for the arena that each of P rules needs for each of D runs.

    Returns:
        float64[P, D], over peak live; `config.widest` where that is not enough.
    """
    chunks, blocks = side_by_side(streams)
    peak = np.array([events.peak_live for events in streams])
    shape = (len(rules), len(streams))
    step = np.maximum(1, (config.precision * peak).astype(np.int64))  # units, a step of the search
    low = np.broadcast_to((peak - 1) // step, shape)
    high = np.broadcast_to(-(-(config.widest * peak).astype(np.int64) // step), shape)

    def served(steps: np.ndarray) -> np.ndarray:
        report(f"arenas needed, of {len(rules)} rules")
        cells = (steps.reshape(shape) * step)[:, :, None]
        share = shares_served(rules, chunks, cells, slots=slots, blocks=blocks, batch=config.batch)
        return (share == 1).ravel()

    found = smallest_served(served, low.ravel(), high.ravel()).reshape(shape)
    return np.maximum(found * step / peak, 1.0)


def geometric_mean(needed: np.ndarray | Sequence[float]) -> np.ndarray:
    """Averages float64[..., D] over runs, geometrically: float64[...]."""
    return np.exp(np.log(needed).mean(axis=-1))


def slots_of_run(events: ReplayEvents) -> int:
    """Returns slots for twice the holes that best-fit leaves in a roomy arena, rounded up."""
    cells = int(ARENA_FACTOR * events.peak_live)
    holes = replay(events, cells, class_rule(BEST_FIT_RULE)).most_holes
    return max(LEAST_SLOTS, SLOTS_STEP * -(-2 * holes // SLOTS_STEP))


def _of_largest_score(
    rules: Sequence[RuleNumbers], score: np.ndarray, count: int
) -> list[RuleNumbers]:
    """Returns the rules of the largest scores, the largest first."""
    return [rules[at] for at in np.argsort(-score, kind="stable")[:count]]


_events_served = jax.jit(events_served, static_argnames=("slots", "blocks"))
_units_lost = jax.jit(units_lost, static_argnames=("slots", "blocks"))


def shares_served(
    rules: Sequence[RuleNumbers],
    chunks: Chunk,
    cells: np.ndarray,
    *,
    slots: int,
    blocks: int,
    batch: int,
    report: Callable[[float], None] = lambda done: None,
) -> np.ndarray:
    """Plays the rules: the share of events served before one fails: float64[P, D, C]."""
    played = partial(_events_served, slots=slots, blocks=blocks)
    served = _some_at_a_time(played, rules, chunks, cells, slots=slots, batch=batch, report=report)
    return served / chunks.frees.shape[-1]


def shares_lost(
    rules: Sequence[RuleNumbers],
    chunks: Chunk,
    cells: np.ndarray,
    *,
    slots: int,
    blocks: int,
    batch: int,
) -> np.ndarray:
    """Plays the rules: what `units_lost` says of them: float64[P, D, C]."""
    played = partial(_units_lost, slots=slots, blocks=blocks)
    return _some_at_a_time(played, rules, chunks, cells, slots=slots, batch=batch)


def _some_at_a_time(
    played: Callable[[ClassRule, Chunk, jax.Array], jax.Array],
    rules: Sequence[RuleNumbers],
    chunks: Chunk,
    cells: np.ndarray,
    *,
    slots: int,
    batch: int,
    report: Callable[[float], None] = lambda done: None,
) -> np.ndarray:
    """Plays P rules in int[D, C] or int[P, D, C] units, as many as the cache holds at a time."""
    rows, (runs, arenas) = len(rules), cells.shape[-2:]
    # Arenas of one size come together, since small ones are soon done with.
    each = np.broadcast_to(cells, (rows, runs, arenas)).transpose(1, 2, 0).reshape(runs, -1)
    # Wider arenas would leave the cache.
    width = max(1, batch * BATCH_SLOTS // max(slots, BATCH_SLOTS))
    if each.shape[1] <= width:
        step = WIDTH_STEP if each.shape[1] > FEW_ABREAST else FEW_ABREAST
        width = each.shape[1] + -each.shape[1] % step
    # The same shape, compiled once; what fills up the last is soon done with too.
    filled = np.pad(each, ((0, 0), (0, -each.shape[1] % width)), constant_values=1)
    players = class_rules([rules[at % rows] for at in range(filled.shape[1])])

    def play(place: tuple[int, int]) -> np.ndarray:
        run, first = place
        some = slice(first, first + width)
        chunk = jax.tree.map(lambda column: column[run : run + 1], chunks)
        of = jax.tree.map(lambda leaf: leaf[some], players)
        figures = played(of, chunk, jnp.asarray(filled[run, some, None, None], jnp.int32))
        return np.asarray(figures, np.float64).ravel()

    places = [(run, first) for run in range(runs) for first in range(0, filled.shape[1], width)]
    found = np.concatenate(abreast(play, places, report)).reshape(filled.shape)
    return found[:, : each.shape[1]].reshape(runs, arenas, rows).transpose(2, 0, 1)
