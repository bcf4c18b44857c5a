"""A recording's requests in a few numbers: sizes, lifetimes, and what is live when."""

import numpy as np

from jaxmem.arena.arena import NEVER
from jaxmem.recordings import Recording
from jaxmem.render.trace_info import SizeBin

CURVE_POINTS = 1000  # of the live curve


def size_histogram(recording: Recording) -> list[SizeBin]:
    """Counts requests by size, in bins [1, 2) [2, 4) [4, 8) ... bytes; empty ones left out.

    Of each bin: `from` and `to` (bytes, `to` excluded), `requests`, `bytes` asked for in all, and
    of their lifetimes in requests `lifetime`, the quartiles (null: most are never freed), and
    `never_freed`, a share 0 .. 1.
    """
    bins = np.frexp(recording.size.astype(np.float64))[1] - 1
    # A size near a power of two may be rounded up to it.
    bins -= recording.size < 2 ** np.clip(bins, 0, 62).astype(np.int64)
    return [_bin(recording, int(number), bins == number) for number in np.unique(bins)]


def _bin(recording: Recording, number: int, here: np.ndarray) -> SizeBin:
    lifetime = recording.lifetime[here]
    # Of an even number the lower one of the two in the middle: a lifetime that there is.
    quartiles = np.quantile(lifetime, (0.25, 0.5, 0.75), method="lower").tolist()
    return {
        "from": 2**number,
        "to": 2 ** (number + 1),
        "requests": int(here.sum()),
        "bytes": sum(recording.size[here].tolist()),
        "lifetime": [int(value) if value < NEVER else None for value in quartiles],
        "never_freed": float((lifetime == NEVER).mean()),
    }


def rank_correlation(recording: Recording) -> float | None:
    """Computes Spearman's correlation of size and lifetime, -1 .. 1; None where one is constant.

    Blocks that are never freed share the longest lifetime.
    """
    ranks = [_ranks(column) for column in (recording.size, recording.lifetime)]
    deviations = [rank - rank.mean() for rank in ranks]
    spread = np.sqrt(np.prod([(deviation**2).sum() for deviation in deviations]))
    return float(np.prod(deviations, axis=0).sum() / spread) if spread > 0 else None


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks each number in order, from 0; equal ones share a mean place: float64[R]."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count + 1) / 2)[place]


def live_curve(live: np.ndarray) -> dict[str, list[int]]:
    """Finds the most bytes live in each of `CURVE_POINTS` stretches of time, as long as each other.

    Args:
        live: int64[R]  bytes when each request has been placed.
    Returns:
        `request`, the first of each stretch, and `bytes`.
    """
    first = np.unique(np.linspace(0, len(live), CURVE_POINTS, endpoint=False).astype(np.int64))
    return {"request": first.tolist(), "bytes": np.maximum.reduceat(live, first).tolist()}
