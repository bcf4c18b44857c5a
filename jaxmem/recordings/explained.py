"""How much call sites and sizes tell of lifetimes, within a recording and from one to another.

Lifetimes are taken as logarithms of requests, since they span many orders; what is never freed has
the length of the recording. The measure is R^2: 1 is all, 0 no more than the mean tells.
"""

from typing import NamedTuple

import numpy as np

from jaxmem.arena.arena import NEVER
from jaxmem.recordings.recording import Recording
from jaxmem.recordings.sites import UNKNOWN_KEY


class Explained(NamedTuple):
    """Shares of the variance of log lifetimes that are foretold, at most 1; below 0: misled."""

    size: float
    site: float
    both: float
    known: float  # share of the requests whose call site is known there


def explained(recording: Recording) -> Explained | None:
    """Tells how much the other requests of a recording foretell of each; None: no call sites."""
    site = recording.site
    if site is None or not recording.sites:
        return None
    keys = site if recording.site_key is None else recording.site_key
    lifetime, total = _with_mean(recording)
    by_site = _mean_of_others(_groups(keys), lifetime, total)
    by_both = _mean_of_others(_groups(keys, recording.size), lifetime, by_site)
    site_share, both = (_share(lifetime, guess) for guess in (by_site, by_both))
    known = float(np.mean(site >= 0))
    return Explained(explained_by_size(recording), site_share, both, known)


def explained_by_size(recording: Recording) -> float:
    """Returns the share that other requests of the same size foretell of each: `Explained.size`."""
    lifetime, total = _with_mean(recording)
    return _share(lifetime, _mean_of_others(_groups(recording.size), lifetime, total))


def explained_by(earlier: Recording, later: Recording) -> Explained | None:
    """Tells how much one recording foretells of another; None: call sites that do not compare."""
    if earlier.site_key is None or later.site_key is None:
        return None
    past, lifetime = log_lifetime(earlier), log_lifetime(later)
    total = np.full(len(lifetime), past.mean())
    by_size = _mean_there(earlier.size, later.size, past, total)
    by_site = _mean_there(earlier.site_key, later.site_key, past, total)
    by_site = np.where(later.site_key == UNKNOWN_KEY, total, by_site)
    both = _pairs(earlier.site_key, earlier.size, later.site_key, later.size)
    by_both = _mean_there(*both, past, by_site)
    known = float(
        np.mean(np.isin(later.site_key, earlier.site_key) & (later.site_key != UNKNOWN_KEY))
    )
    size, site, both = (_share(lifetime, guess) for guess in (by_size, by_site, by_both))
    return Explained(size, site, both, known)


def known_sites(earlier: Recording, later: Recording) -> float:
    """Returns the share of the later recording's call sites that the earlier one has too.

    Raises:
        ValueError: one of them has no call sites that compare between runs.
    """
    if earlier.site_key is None or later.site_key is None:
        raise ValueError("call sites that do not compare between runs")
    keys = np.setdiff1d(later.site_key, [UNKNOWN_KEY])
    return float(np.isin(keys, earlier.site_key).mean()) if keys.size else 0.0


def log_lifetime(recording: Recording) -> np.ndarray:
    """Returns the logarithm of each lifetime in requests: float64[R]."""
    never = recording.lifetime == NEVER
    return np.log(np.where(never, recording.requests, recording.lifetime))


def _with_mean(recording: Recording) -> tuple[np.ndarray, np.ndarray]:
    """Returns the log lifetimes, and for each the mean of the others: float64[R] both."""
    lifetime = log_lifetime(recording)
    one = np.zeros(len(lifetime), np.int64)
    return lifetime, _mean_of_others(one, lifetime, np.zeros(len(lifetime)))


def _groups(*columns: np.ndarray) -> np.ndarray:
    """Numbers the rows of some columns, equal ones alike: int64[R]."""
    numbers = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        _, place = np.unique(column, return_inverse=True)
        _, numbers = np.unique(numbers * (place.max() + 1) + place, return_inverse=True)
    return numbers


def _pairs(site, size, other_site, other_size) -> tuple[np.ndarray, np.ndarray]:
    """Numbers pairs of call site and size, alike in both recordings."""
    numbers = _groups(np.append(site, other_site), np.append(size, other_size))
    return numbers[: len(site)], numbers[len(site) :]


def _mean_of_others(group: np.ndarray, value: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """Returns for each row the mean of the other rows of its group; alone, what is `otherwise`."""
    count, total = np.bincount(group)[group], np.bincount(group, value)[group]
    return np.where(count > 1, (total - value) / np.maximum(count - 1, 1), otherwise)


def _mean_there(
    known: np.ndarray, asked: np.ndarray, value: np.ndarray, otherwise: np.ndarray
) -> np.ndarray:
    """Returns for each asked key the mean value of the known rows with it, else `otherwise`."""
    keys, place = np.unique(known, return_inverse=True)
    means = np.bincount(place, value) / np.bincount(place)
    at = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return np.where(keys[at] == asked, means[at], otherwise)


def _share(value: np.ndarray, guess: np.ndarray) -> float:
    """Returns R^2 of a guess; 1 where there is nothing to explain."""
    spread = float(np.sum((value - value.mean()) ** 2))
    return 1 - float(np.sum((value - guess) ** 2)) / spread if spread > 0 else 1.0
