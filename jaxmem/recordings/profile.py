"""What earlier runs of a program foretell of its next one: lifetimes, by the way to each request.

A request is known by the call sites of the last requests, its own among them. The longest context
that an earlier run has had tells most; where it is new, a shorter one is asked (back-off), and
where even the call site is new, nothing is foretold.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxmem.arena.arena import NEVER
from jaxmem.recordings.recording import Recording

CONTEXTS = (24, 6, 1)  # call sites that a context has, asked in this order
UNFORETOLD = 0  # in place of a lifetime
UNKNOWN_CONTEXT = -1  # in place of a context's place in a profile
# A context is the sum of its keys times powers of this odd number, modulo 2^64, newest first.
FACTOR = 0x9E3779B97F4A7C15
SIZES_AN_OCTAVE = 4  # that stand for call sites where a recording has none


class Profile(NamedTuple):
    """The contexts of some runs, K of them, each with the lifetime that followed it."""

    key: np.ndarray  # uint64[K]  in ascending order
    lifetime: np.ndarray  # int32[K]  requests, the lower median; NEVER among them

    def foretold(self, recording: Recording) -> np.ndarray:
        """Foretells the lifetime of each request of a run, from its call sites up to it.

        Returns:
            int32[R], requests; UNFORETOLD where the call site is new.
        """
        found = np.full(recording.requests, UNFORETOLD, np.int32)
        for at in reversed(self.places(recording).T):
            known = at != UNKNOWN_CONTEXT
            found[known] = self.lifetime[at[known]]
        return found

    def places(self, recording: Recording) -> np.ndarray:
        """Finds the contexts of each request of a run, as `CONTEXTS` has them.

        Returns:
            int32[R, N], places in `key`; UNKNOWN_CONTEXT where no run had the context.
        """
        found = []
        for keys in contexts_of(recording):
            at = np.minimum(np.searchsorted(self.key, keys), max(0, len(self.key) - 1))
            known = self.key[at] == keys if len(self.key) else np.zeros(len(keys), bool)
            found.append(np.where(known, at, UNKNOWN_CONTEXT))
        return np.stack(found, axis=1).astype(np.int32)


def profile_of(recordings: Sequence[Recording]) -> Profile:
    """Makes the profile of some runs of one program."""
    keys, lifetimes = [], []
    for recording in recordings:
        keys += contexts_of(recording)
        lifetimes += [recording.lifetime] * len(CONTEXTS)
    key, lifetime = np.concatenate(keys), np.concatenate(lifetimes)
    known, median = lower_medians(key, lifetime)
    return Profile(known, np.minimum(median, NEVER).astype(np.int32))


def lower_medians(kind: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Finds the lower median of the values [R] of each kind [R]: the kinds, rising, and theirs."""
    order = np.lexsort([value, kind])
    known, first, count = np.unique(kind[order], return_index=True, return_counts=True)
    return known, value[order][first + (count - 1) // 2]


def contexts_of(recording: Recording) -> list[np.ndarray]:
    """Hashes the contexts of each request, as `CONTEXTS` has them: uint64[R] each.

    Where a recording has no call sites that compare, sizes stand for them.
    """
    sites = recording.site_key if recording.site_key is not None else _sizes(recording)
    found = {length: np.full(len(sites), length, np.uint64) for length in CONTEXTS}
    for back in range(max(CONTEXTS)):
        power = np.uint64(pow(FACTOR, back + 1, 2**64))
        term = np.pad(sites, (back, 0))[: len(sites)] * power
        for length, context in found.items():
            if back < length:
                context += term
    return [found[length] for length in CONTEXTS]


def _sizes(recording: Recording) -> np.ndarray:
    return np.rint(SIZES_AN_OCTAVE * np.log2(recording.size)).astype(np.uint64) + np.uint64(1)
