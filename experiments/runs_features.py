"""What a class rule needs that is told less: without call sites, their order, lifetimes or sizes.

Also hint-fit, which is told lifetimes and follows no rule that was learned.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from hint_fit_bytes import hint_fit_needed

from jaxmem.recordings import Recording
from jaxmem.recordings.class_rule import all_rules, class_rule
from jaxmem.recordings.headroom import units_needed
from jaxmem.recordings.profile import UNFORETOLD, UNKNOWN_CONTEXT, profile_of
from jaxmem.recordings.replay import ReplayEvents, events_of
from jaxmem.recordings.rule_search import find_rule
from jaxmem.settings.recordings import RuleSearchConfig

Foretell = Callable[[Sequence[Recording], Recording], np.ndarray]

HINT_FIT = "hint_fit"
NO_SIZES = "no_sizes"


def by_context(others: Sequence[Recording], run: Recording) -> np.ndarray:
    """Foretells lifetimes as a profile does: int32[R] requests."""
    return profile_of(others).foretold(run)


def _by_own_site(others: Sequence[Recording], run: Recording) -> np.ndarray:
    """Foretells lifetimes by the call site of the request alone: int32[R] requests."""
    profile = profile_of(others)
    at = profile.places(run)[:, -1]
    return np.where(at == UNKNOWN_CONTEXT, UNFORETOLD, profile.lifetime[at]).astype(np.int32)


def _without_sites(foretell: Foretell) -> Foretell:
    """Makes sizes stand for call sites."""

    def foretold(others: Sequence[Recording], run: Recording) -> np.ndarray:
        bare = [replace(each, site=None, call_sites=None) for each in (*others, run)]
        return foretell(bare[:-1], bare[-1])

    return foretold


def by_nothing(others: Sequence[Recording], run: Recording) -> np.ndarray:
    """Foretells that all blocks soon go, so that a class rule tells them apart by size alone."""
    del others
    return np.ones(run.requests, np.int32)


FORETOLD: dict[str, Foretell] = {
    "own_site": _by_own_site,
    "sizes_in_order": _without_sites(by_context),
    "own_size": _without_sites(_by_own_site),
    "no_lifetimes": by_nothing,
    NO_SIZES: by_context,
}
FEATURES = {
    "class_rule": "lifetimes by the last call sites, and sizes",
    "own_site": "lifetimes by the call site alone, and sizes",
    "sizes_in_order": "lifetimes by the last sizes, no call sites, and sizes",
    "own_size": "lifetimes by the size alone, and sizes",
    "no_lifetimes": "sizes, no lifetimes",
    NO_SIZES: "lifetimes by the last call sites, no sizes",
    HINT_FIT: "(hint-fit, told the lifetimes that are foretold by the last call sites)",
}


def told_less(
    learn: Sequence[Recording], tests: dict[int, ReplayEvents], alignment: int
) -> dict[str, float]:
    """Learns by each kind of foretelling: arena needed / peak live, by NAME-NUMBER.

    Args:
        learn: the runs to learn from.
        tests: events of the runs that test, by number.
        alignment: bytes in a unit.
    """
    row: dict[str, float] = {}
    for name, foretell in FORETOLD.items():
        streams = []
        for number, run in enumerate(learn):
            others = [*learn[:number], *learn[number + 1 :]] or [run]
            streams.append(replace(events_of(run, alignment), foretold=foretell(others, run)))
        rules = all_rules()
        if name == NO_SIZES:
            rules = [rule for rule in rules if rule.fits[::2] == rule.fits[1::2]]
        player = class_rule(find_rule(streams, RuleSearchConfig(), rules=rules).rule)
        for number, events in tests.items():
            told = replace(events, foretold=foretell(learn, events.recording))
            row[f"{name}-{number}"] = units_needed(told, player) / events.peak_live
    for number, events in tests.items():
        told = replace(events, foretold=by_context(learn, events.recording))
        row[f"{HINT_FIT}-{number}"] = hint_fit_needed(told)
    return row
