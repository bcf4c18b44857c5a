"""Runs of a made-up program, of which is known which class rule it needs."""

import numpy as np

from jaxmem.arena.arena import NEVER
from jaxmem.recordings import Recording
from jaxmem.recordings.sites import CallSites

SITES = CallSites(np.array([3, 5, 7], np.uint64))


def mixed_run(seed: int, rounds: int = 8) -> Recording:
    """Ten pairs of blocks of one size, of which one stays, then what takes the place of the others.

    It only fits where those that stay are not between those that go.
    """
    random = np.random.default_rng(seed)
    size, lifetime, site = [], [], []
    for _ in range(rounds):
        for pair in range(10):
            size += [10, 10]
            lifetime += [20 - 2 * pair, 42 + int(random.integers(3))]
            site += [0, 1]
        size, lifetime, site = [*size, 100], [*lifetime, 1], [*site, 2]
    arrays = np.array(size), np.array(lifetime), np.array(site, np.int32)
    return Recording(f"mixed {seed}", *arrays, call_sites=SITES)


def batches_run(batch: int, steps: int, widths=(7, 12, 3, 9, 20, 5)) -> Recording:
    """Weights that stay; in each step an input, and layers of so many units for each of a batch.

    Of a step, each layer but the last lives until its turn comes backward.
    """
    rows = [(site, 50 * width, NEVER) for site, width in enumerate(widths)]
    count = len(widths)
    for _ in range(steps):
        rows.append((10, batch, 2 * count))
        for layer, width in enumerate(widths):
            rows.append((20 + layer, batch * width, 2 * (count - layer)))
        rows += [(30 + layer, 50 * width, 2) for layer, width in enumerate(widths)]
    site, size, lifetime = map(np.array, zip(*rows, strict=True))
    keys = CallSites(np.arange(1, 50).astype(np.uint64))
    return Recording(f"batch {batch}", size, lifetime, site.astype(np.int32), call_sites=keys)
