"""Peaks of what requests ask for at once, which no placement changes."""

import jax.numpy as jnp
import numpy as np

from jaxmem.workloads.requests import Requests

Layout = tuple[tuple[int, int], ...]  # (start, size) of blocks that are there from the beginning


def peak_live(
    requests: Requests,
    layout: Layout = (),
    active: np.ndarray | None = None,
) -> np.ndarray:
    """Finds the most cells asked for at once, with those of a layout: float64[P].

    With `active` (bool[P, T]), only by the requests for which it holds.
    """
    return _asked_for(requests, layout, active).max(axis=1).astype(np.float64)


def served_by_compaction(requests: Requests, cells: int, layout: Layout = ()) -> np.ndarray:
    """Counts the requests before the first that fails if blocks can be moved at will: float64[P].

    No policy places more in `cells` cells before its first failure.
    """
    too_much = _asked_for(requests, layout) > cells
    first = np.where(too_much.any(axis=1), too_much.argmax(axis=1), requests.length)
    return first.astype(np.float64)


def peak_blocks(requests: Requests, layout: Layout = ()) -> int:
    """Finds the most blocks that can be live at once in any sequence, whatever is placed."""
    alike = requests.replace(size=jnp.ones_like(requests.size))
    return int(peak_live(alike, tuple((start, 1) for start, _ in layout)).max())


def _asked_for(requests: Requests, layout: Layout, active: np.ndarray | None = None) -> np.ndarray:
    """Counts the cells asked for at each request, itself and a layout included: int64[P, T]."""
    size = np.asarray(requests.size, np.int64)
    size = size if active is None else size * active
    sequences, length = size.shape
    change = np.zeros((sequences, length + 1), np.int64)
    change[:, :length] = size
    dies = np.minimum(np.arange(length) + np.asarray(requests.lifetime, np.int64), length)
    np.subtract.at(change, (np.arange(sequences)[:, None], dies), size)
    return np.cumsum(change[:, :length], axis=1) + sum(block for _, block in layout)
