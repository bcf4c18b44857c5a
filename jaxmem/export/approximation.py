"""A rule for four classes of requests that comes near to a scorer of holes, and what it costs."""

from dataclasses import replace
from itertools import product
from typing import NamedTuple

import numpy as np

from jaxmem.arena.arena import NEVER, NOWHERE
from jaxmem.export.holes import HolesSeen
from jaxmem.recordings import alignment_of, load_library
from jaxmem.recordings.class_rule import CLASS_FITS, LONG, SMALL, RuleNumbers, class_rule
from jaxmem.recordings.hole_scorer import SURE, TINY, HoleScorer
from jaxmem.recordings.orders import order_of
from jaxmem.recordings.profile import UNFORETOLD
from jaxmem.recordings.replay import ReplayEvents, events_of, replay

APPROXIMATED_IN = 1.05  # times peak live
LEARNED_FROM = ("torch_cpu_convnet", "torch_cpu_unet", "torch_cpu_mlp_train")
JUDGED_BY = ("torch_cpu_autoencoder", "torch_cpu_experts", "torch_cpu_graph", "torch_cpu_writer")
SIZE_CLASSES = 4


class Cost(NamedTuple):
    """Failed requests of one recording, which the rule has not seen."""

    recording: str
    requests: int
    scorer: int
    rule: int
    best_fit: int


class Approximation(NamedTuple):
    """The rule that agrees with a scorer most."""

    rule: RuleNumbers
    agrees: float  # share of the placements that it was made from
    costs: list[Cost]


class SeenPlacements(NamedTuple):
    """The placements of a scorer by its weights: N of them."""

    expected: np.ndarray  # int32[N]  requests, of lifetime
    share: np.ndarray  # float64[N]  size over that of the arena
    same: np.ndarray  # bool[N, 4]  the block goes where a fit of `CLASS_FITS` puts it


def approximate(scorer: HoleScorer) -> Approximation:
    """Finds the rule on some recordings of the library, and plays it on others."""
    seen = [_seen_placements(scorer, name) for name in LEARNED_FROM]
    rule, agrees = _nearest(SeenPlacements(*map(np.concatenate, zip(*seen, strict=True))))
    return Approximation(rule, agrees, [_cost(scorer, rule, name) for name in JUDGED_BY])


def expected_lifetimes(scorer: HoleScorer, events: ReplayEvents, cells: int) -> np.ndarray:
    """Returns the lifetime that a scorer expects of each request, where it does not play best fit.

    Returns:
        int32[R], requests; UNFORETOLD where blocks are tiny.
    """
    known = events.padded(len(events.frees), 0).known
    placed = np.flatnonzero(~events.frees)
    order = placed[np.argsort(events.request[placed])]
    died, lived = np.asarray(known.died)[order], np.asarray(known.lived)[order]
    begins = np.asarray(known.begins)[order].astype(np.float64)
    size = np.log(events.units / cells)
    ones = np.ones_like(size)
    prior = np.stack([ones, size, size**2, begins, begins * size], axis=1) @ scorer.prior
    life = np.exp(np.minimum((SURE * prior + lived) / (SURE + died), np.log(NEVER)))
    blocks = np.cumsum(np.where(events.frees, -1, 1))[order] - 1
    tiny = events.live - events.units < TINY * cells * blocks
    return np.where(tiny, UNFORETOLD, np.maximum(life, 1)).astype(np.int32)


def _played(name: str) -> tuple[ReplayEvents, int]:
    recording = load_library(name)
    events = events_of(recording, alignment_of(recording))
    return events, int(APPROXIMATED_IN * events.peak_live)


def _seen_placements(scorer: HoleScorer, name: str) -> SeenPlacements:
    """Follows a scorer through a recording."""
    events, cells = _played(name)
    expected = expected_lifetimes(scorer, events, cells)
    start = replay(events, cells, scorer).start
    holes, size = HolesSeen(cells, len(start) + 1), events.units.tolist()
    same = np.zeros((len(start), len(CLASS_FITS)), bool)
    for frees, now in zip(events.frees.tolist(), events.request.tolist(), strict=True):
        low, high = int(start[now]), int(start[now]) + size[now]
        if low == NOWHERE:
            continue
        if frees:
            holes.free(low, high)
        else:
            same[now] = low == _by_fits(holes.all, size[now])
            holes.take(low, high)
    scored = (start != NOWHERE) & (expected != UNFORETOLD)
    return SeenPlacements(expected[scored], events.units[scored] / cells, same[scored])


def _by_fits(holes: np.ndarray, size: int) -> np.ndarray:
    """Returns where each of `CLASS_FITS` puts a block that fits: int64[4]."""
    low, high = holes[holes[:, 1] - holes[:, 0] >= size].astype(np.int64).T
    best = np.argmin(high - low)
    return np.array([low[0], high[-1] - size, low[best], high[best] - size])


def _nearest(seen: SeenPlacements) -> tuple[RuleNumbers, float]:
    """Returns the rule with the most placements that are the same, and their share."""

    def of(long: int, parts: int) -> tuple[float, RuleNumbers]:
        kind = 2 * (seen.expected > long) + (seen.share > 1 / parts)
        counts = [seen.same[kind == number].sum(0) for number in range(SIZE_CLASSES)]
        # Of long lifetimes that do not come, nothing is known but the size.
        own = [counts[number] if counts[number].any() else counts[number - 2] for number in (2, 3)]
        first, second, third, fourth = (int(np.argmax(count)) for count in (*counts[:2], *own))
        fits = first, second, third, fourth
        agrees = seen.same[np.arange(len(kind)), np.array(fits)[kind]].mean()
        return float(agrees), RuleNumbers(long, parts, fits)

    agrees, rule = max(of(long, parts) for long, parts in product(LONG, SMALL))
    return rule, agrees


def _cost(scorer: HoleScorer, rule: RuleNumbers, name: str) -> Cost:
    events, cells = _played(name)
    told = replace(events, foretold=expected_lifetimes(scorer, events, cells))
    players = scorer, class_rule(rule), order_of("best")
    failed = [int(replay(told, cells, player).failed.sum()) for player in players]
    return Cost(name, events.recording.requests, *failed)
