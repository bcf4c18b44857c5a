"""More recordings from one, to learn from: windows, and programs that could have been like it."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from jaxmem.arena.arena import NEVER
from jaxmem.recordings.recording import Recording

BEFORE_THE_PEAK = 0.75  # of a part of a recording, that comes before its tightest moment


class Variety(NamedTuple):
    """The limits on how far a varied recording may lie from the true one."""

    sizes: float = 0.15  # standard deviation of the logarithm by which all blocks of a size change
    dropped: float = 0.15  # most of the requests, as a share, that do not come
    backward: float = 0.5  # probability that time runs backward: what is freed is asked for
    mixed: float = 0.5  # probability that requests between which nothing is freed change places


VARIETY = Variety()


def varied(recording: Recording, rng: np.random.Generator, variety: Variety = VARIETY) -> Recording:
    """Makes a program that could have been like this one; call sites are not kept."""
    requests = recording.requests
    birth = np.arange(requests, dtype=np.float64)
    # What is never freed dies after the end; deaths lie between the requests.
    death = np.minimum(birth + recording.lifetime, requests) - 0.5
    kept = rng.random(requests) >= rng.uniform(0, variety.dropped)
    kept[rng.integers(requests)] = True  # something must be left
    birth, death, size = birth[kept], death[kept], recording.size[kept]
    if rng.random() < variety.backward:
        birth, death = requests - death, requests - birth
    if rng.random() < variety.mixed:
        burst = np.searchsorted(np.sort(death), birth)
        order = np.lexsort([rng.random(len(birth)), burst])
    else:
        order = np.argsort(birth, kind="stable")
    sizes, alike = np.unique(size, return_inverse=True)
    changed = np.exp(rng.normal(0.0, variety.sizes, len(sizes)))
    size = np.maximum(1, np.rint(size * changed[alike])).astype(np.int64)
    # A death comes before the request that follows it, wherever that has moved in its burst.
    lifetime = np.searchsorted(np.sort(birth), death[order]) - np.arange(len(order))
    return _recording_of(recording.name, size[order], np.maximum(lifetime, 1))


def window(recording: Recording, first: int, length: int, full: bool) -> tuple[Recording, int]:
    """Returns `length` requests from `first` on, and how many blocks were live before.

    Args:
        full: begin with the blocks that are live then, in the order of their ages; else with
            nothing.

    Returns:
        The recording, in which those blocks are the first requests, and their number.

    Raises:
        ValueError: the window does not lie in the recording.
    """
    end = first + length
    if not 0 <= first < end <= recording.requests:
        raise ValueError(
            f"requests {first} to {end} of {recording.name}; it has {recording.requests}"
        )
    death = np.arange(recording.requests) + recording.lifetime
    before = live_at(recording, first) if full else np.zeros(0, np.int64)
    chosen = np.concatenate([before, np.arange(first, end)])
    shift = len(before) - first  # of a request's number
    lifetime = np.minimum(death[chosen], end) + shift - np.arange(len(chosen))
    site = None if recording.site is None else recording.site[chosen]
    cut = _recording_of(recording.name, recording.size[chosen], lifetime, site)
    return replace(cut, call_sites=recording.call_sites), len(before)


def live_at(recording: Recording, request: int) -> np.ndarray:
    """Lists the requests whose blocks are live when this one comes, in their order: int64[B]."""
    return np.flatnonzero(np.arange(request) + recording.lifetime[:request] > request)


def _recording_of(
    name: str, size: np.ndarray, lifetime: np.ndarray, site: np.ndarray | None = None
) -> Recording:
    """Makes a recording, in which what outlives it is never freed."""
    outlives = np.arange(len(size)) + lifetime >= len(size)
    return Recording(name, size, np.where(outlives, NEVER, lifetime), site)


def first_around(tightest: int, requests: int, shown: int) -> int:
    """Returns the first of so many requests around the tightest moment, of R = `requests`."""
    return min(max(tightest - int(BEFORE_THE_PEAK * shown), 0), max(requests - shown, 0))
