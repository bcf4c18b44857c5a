"""Runs of a made-up program, of which is known which class rule it needs."""

from pathlib import Path

import numpy as np

from jaxmem.arena.arena import NEVER
from jaxmem.recordings import Recording
from jaxmem.recordings.class_rule import RuleNumbers
from jaxmem.recordings.profile import profile_of
from jaxmem.recordings.profiled_policy import ProfiledPolicy, save_profiled
from jaxmem.recordings.sites import CallSites

SITES = CallSites(np.array([3, 5, 7], np.uint64))
# Long-lived blocks at the end where no short-lived one is: in order, as `CLASS_FITS` has them.
APART = RuleNumbers(30, 16, (0, 0, 1, 1))


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


def write_learned(folder: Path) -> None:
    """Makes a run folder with the policy that these runs need."""
    folder.mkdir()
    policy = ProfiledPolicy(profile_of([mixed_run(1), mixed_run(2)]), APART)
    save_profiled(folder / "policy.safetensors", policy)


def batches_run(batch: int, steps: int) -> Recording:
    """Weights that stay; then steps as those of `mixed_run`, with blocks for each of a batch.

    Between them are blocks that are the same whatever the batch is.
    """
    rows = [(site, 35 * (site + 1), NEVER) for site in range(4)]
    for _ in range(steps):
        for pair in range(10):
            rows += [(10, 10 * batch, 30 - 3 * pair), (11, 10 * batch, 64), (12, 45, 31)]
        rows.append((13, 100 * batch, 1))
    site, size, lifetime = map(np.array, zip(*rows, strict=True))
    keys = CallSites(np.arange(1, 20).astype(np.uint64))
    return Recording(f"batch {batch}", size, lifetime, site.astype(np.int32), call_sites=keys)


def buffers_run(seed: int, count: int = 60, longest: int = 12) -> Recording:
    """Buffers each of which is its own call site; one in ten stays, others go before `longest`."""
    random = np.random.default_rng(seed)
    lifetime = np.where(random.random(count) < 0.1, NEVER, random.integers(1, longest, count))
    keys = CallSites(random.integers(1, 2**63, count).astype(np.uint64))
    sites = np.arange(count, dtype=np.int32)
    return Recording("buffers", random.integers(99, 2000, count), lifetime, sites, call_sites=keys)
