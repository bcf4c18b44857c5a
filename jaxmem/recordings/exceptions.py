"""Exceptions to a class rule, found by branching: contexts whose requests take another fit.

Where a run fails in an arena that is a little too small, each fit for each of the last requests
before is played on against the same later requests (`jaxmem.recordings.rollouts`). What would have
lost less, for a request, is tried for all requests that come the same way, whichever length of
context tells them, on all runs and in a range of arenas; so are other contexts seen there, since
no single request may be enough. The one that loses least is taken, if the arena that the runs need
does not grow by it, and all is done again. After Bertsekas, Tsitsiklis and Wu 1997, Rollout
Algorithms for Combinatorial Optimization, whose base policy here is the class rule.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.recordings.abreast import abreast
from jaxmem.recordings.class_rule import (
    BEST_LOW,
    CLASS_FITS,
    NO_CONTEXT,
    RuleNumbers,
    class_rule,
)
from jaxmem.recordings.profile import CONTEXTS, UNKNOWN_CONTEXT
from jaxmem.recordings.replay import ReplayEvents
from jaxmem.recordings.rollouts import units_lost_by_fit
from jaxmem.recordings.rule_search import (
    ReportStage,
    arenas_needed,
    around_the_peak,
    geometric_mean,
    shares_lost,
    shares_served,
    sizes_varied,
    slots_of_run,
)
from jaxmem.recordings.side_by_side import side_by_side
from jaxmem.settings.recordings import RuleSearchConfig

LEAST_RUNS = 4  # that are played; where there are fewer, with other sizes
TIGHTEST = 1.003  # arena / peak live, the smallest in which losses are counted
TIGHT_ARENAS = 8  # in which they are, from there up to what the class rule needs
BELOW = (0.001, 0.01)  # of peak live: what an arena needed lacks where requests are branched
SAME_NEED = 3e-4  # of peak live: arenas needed that differ by less are level
GROWTH = 1e-3  # of the arena needed, that fewer losses may cost on the way
NO_LOSS = 1e-6  # arenas
WORSE = 1.05  # times what is lost of a run; what loses more is worse there
MOST_WORSE = 0.25  # of the runs
WORTH = 0.3  # arenas needed / peak live that a loss of one arena is worth
PLAYED = 16  # candidates of which the arena needed is found
VARIATIONS = 2  # of each run, which say how many of the exceptions found are kept
HELD_BACK = 100  # seed of the first of them
CANDIDATE_SEED = 0  # of the candidates that branching does not name


@dataclass(frozen=True)
class ExceptedRule:
    """A rule with exceptions, on D runs."""

    rule: RuleNumbers
    needed: np.ndarray  # float64[D]  arena / peak live
    lost: np.ndarray  # float64[D]  arenas that fail in the tight ones, on the mean

    @property
    def mean(self) -> float:
        """The geometric mean of the arenas needed."""
        return float(geometric_mean(self.needed))


def find_exceptions(
    streams: Sequence[ReplayEvents],
    rule: RuleNumbers,
    config: RuleSearchConfig,
    report: ReportStage = lambda doing: None,
) -> RuleNumbers:
    """Looks for exceptions to a class rule under which D runs need less memory.

    Args:
        streams: the events of the runs, with their lifetimes foretold, and the places of their
            contexts in the profile that the rule is to play by.
        report: told what is being done.

    Returns:
        The rule with its exceptions; as it was, if none are found.
    """
    varied = [
        sizes_varied(streams[number % len(streams)], config.sizes_vary, number)
        for number in range(LEAST_RUNS - len(streams))
    ]
    search = _ExceptionSearch([*streams, *varied], rule, config)
    way = [search.begun]
    for number in range(1, config.exceptions + 1):
        report(f"exceptions to the rule, {number} of at most {config.exceptions}")
        better = search.best_of(way[-1], search.candidates(way[-1]))
        if better is None:
            break
        way.append(better)
    report("exceptions to the rule, on runs with other sizes")
    return search.holds_best([each.rule for each in way])


class _ExceptionSearch:
    """The runs, cut to what is near their peaks, and the arenas that they are played in."""

    def __init__(
        self, streams: Sequence[ReplayEvents], rule: RuleNumbers, config: RuleSearchConfig
    ) -> None:
        self.config = config
        self.runs = [around_the_peak(events, config.branched_requests) for events in streams]
        self.slots = min(config.most_slots, max(map(slots_of_run, self.runs)))
        self.chunks, self.blocks = side_by_side(self.runs)
        self.peak = np.array([events.peak_live for events in self.runs])
        self.generator = np.random.default_rng(CANDIDATE_SEED)
        needed = self._needed([rule])[0]
        factors = np.linspace(TIGHTEST, needed, TIGHT_ARENAS + 1)[:-1].T
        self.tight = (factors * self.peak[:, None]).astype(np.int64)
        self.begun = ExceptedRule(rule, needed, self._lost([rule])[0])

    def _needed(self, rules: Sequence[RuleNumbers]) -> np.ndarray:
        """Finds the arenas needed: float64[P, D], over peak live."""
        return arenas_needed(self._filled(rules), self.runs, self.slots, self.config)

    def holds_best(self, rules: Sequence[RuleNumbers]) -> RuleNumbers:
        """Returns the rule that needs least where sizes are others; the first of those level."""
        if len(rules) == 1:
            return rules[0]
        others = [
            sizes_varied(events, self.config.sizes_vary, HELD_BACK + number)
            for number, events in enumerate(self.runs * VARIATIONS)
        ]
        filled = [*rules, *[rules[0]] * (1 + self.config.exceptions - len(rules))]
        needed = arenas_needed(self._filled(filled), others, self.slots, self.config)
        mean = geometric_mean(needed[: len(rules)])
        return rules[int(np.argmax(mean < mean.min() + SAME_NEED))]

    def _lost(self, rules: Sequence[RuleNumbers]) -> np.ndarray:
        """Sums what is lost in the tight arenas, on the mean: float64[P, D]."""
        lost = shares_lost(
            self._filled(rules),
            self.chunks,
            self.tight,
            slots=self.slots,
            blocks=self.blocks,
            batch=self.config.batch,
        )
        return lost.mean(axis=2)

    def _filled(self, rules: Sequence[RuleNumbers]) -> list[RuleNumbers]:
        """Gives all rules the same number of exceptions: one program plays them."""
        nowhere, most = (NO_CONTEXT, BEST_LOW), self.config.exceptions
        return [
            rule._replace(exceptions=(*rule.exceptions, *[nowhere] * (most - len(rule.exceptions))))
            for rule in rules
        ]

    def candidates(self, now: ExceptedRule) -> list[tuple[int, int]]:
        """Lists exceptions to try, those that a branch speaks for first: contexts, and a fit."""
        votes: dict[tuple[int, int], float] = {}
        seen: set[int] = set()
        branched = self._before_failures(now)
        advantages = abreast(lambda of: self._advantage(now, *of), list(branched.items()))
        for (number, asked), advantage in zip(branched.items(), advantages, strict=True):
            contexts = self.runs[number].contexts
            assert contexts is not None
            seen |= {*np.unique(contexts[asked]).tolist()}
            for at, fit in np.argwhere(advantage > 0).tolist():
                for context in contexts[asked[at]].tolist():
                    votes[context, fit] = votes.get((context, fit), 0.0) + advantage[at, fit]
        named = sorted(votes, key=lambda each: -votes[each])
        others = [(context, fit) for context in sorted(seen) for fit in range(len(CLASS_FITS))]
        self.generator.shuffle(others)
        others.sort(key=lambda each: each[0] not in self.call_sites)
        tried = dict.fromkeys([*named, *others])
        return [each for each in tried if each[0] != UNKNOWN_CONTEXT][: self.config.candidates]

    @cached_property
    def call_sites(self) -> set[int]:
        """The contexts that are one call site, which most requests have."""
        columns = [
            events.contexts[:, CONTEXTS.index(1)]
            for events in self.runs
            if events.contexts is not None
        ]
        return {*np.unique(np.concatenate(columns)).tolist()}

    def _before_failures(self, now: ExceptedRule) -> dict[int, np.ndarray]:
        """Lists requests up to the first that fails where a little is lacking, by run: int64[T]."""
        cells = ((now.needed - BELOW[0]) * self.peak).astype(np.int64)[:, None]
        served = shares_served(
            self._filled([now.rule]),
            self.chunks,
            cells,
            slots=self.slots,
            blocks=self.blocks,
            batch=self.config.batch,
        )[0, :, 0]
        count = min(self.config.branched, *(events.recording.requests for events in self.runs))
        asked = {}
        for number, events in enumerate(self.runs):
            if served[number] < 1:
                event = round(served[number] * self.chunks.frees.shape[1])
                failed = int((~events.frees[:event]).sum())
                first = max(0, failed + 1 - count)
                asked[number] = np.arange(first, first + count)
        return asked

    def _advantage(self, now: ExceptedRule, number: int, asked: np.ndarray) -> np.ndarray:
        """Says how each fit compares with the rule's, for T requests of a run: float64[T, 4].

        Returns:
            The share of the arenas in which less is lost, less that in which more is.
        """
        events, peak = self.runs[number], self.peak[number]
        allocations = np.flatnonzero(~events.frees)[asked]
        lacking = [(now.needed[number] - share) * peak for share in BELOW]
        cells = np.array([*lacking, *self.tight[number, TIGHT_ARENAS // 2 :: 2]])
        horizon = self.config.horizon
        length = self.chunks.frees.shape[1] + horizon
        (rule,) = self._filled([now.rule])
        lost, ruled = units_lost_by_fit(
            class_rule(rule),
            jax.tree.map(jnp.asarray, events.padded(length, self.blocks - 1)),
            jnp.asarray(cells, jnp.int32),
            jnp.asarray(allocations, jnp.int32),
            horizon=horizon,
            slots=self.slots,
            blocks=self.blocks,
        )
        lost, ruled = np.asarray(lost), np.asarray(ruled)
        return np.sign(np.take_along_axis(lost, ruled[..., None], 2) - lost).mean(axis=1)

    def best_of(
        self, now: ExceptedRule, candidates: Sequence[tuple[int, int]]
    ) -> ExceptedRule | None:
        """Returns the rule with the best further exception; None if none is better."""
        rules = [now.rule._replace(exceptions=(*now.rule.exceptions, each)) for each in candidates]
        if not rules:
            return None
        # The same shapes every time, compiled once.
        lost = self._lost([*rules, *rules[:1] * (self.config.candidates - len(rules))])
        least = np.argsort(lost[: len(rules)].mean(axis=1), kind="stable")[:PLAYED]
        played = [rules[at] for at in least]
        needed = self._needed([*played, *played[:1] * (PLAYED - len(played))])
        judged = [
            ExceptedRule(rule, of, lost[at])
            for rule, of, at in zip(played, needed, least, strict=False)
            if is_better(now, of, lost[at])
        ]
        return min(judged, key=lambda each: each.mean + WORTH * each.lost.mean(), default=None)


def is_better(now: ExceptedRule, needed: np.ndarray, lost: np.ndarray) -> bool:
    """Tells whether D runs lose less or need less, and hardly any loses more.

    Args:
        needed: float64[D]  arena / peak live, with a further exception.
        lost: float64[D]  arenas that fail in the tight ones, likewise.
    """
    mean = float(geometric_mean(needed))
    worse = float(np.mean(lost > WORSE * now.lost + GROWTH))
    less = float(np.mean(now.lost - lost)) > NO_LOSS or mean < now.mean - SAME_NEED
    return less and mean <= now.mean * (1 + GROWTH) and worse <= MOST_WORSE
