"""Counts that an allocator can keep: what it knows of each request of a recording as it is made.

Everything here comes from the requests and frees before it, and nothing from where blocks were
placed, so that it is counted once for all policies and arenas.
"""

from typing import NamedTuple

import numpy as np

from jaxmem.recordings.recording import Recording


class History(NamedTuple):
    """The counts for each of R requests, taken when it is made."""

    died: np.ndarray  # float32[R]  blocks like it that have died, of its size and its call site
    lived: np.ndarray  # float32[R]  sum of the natural logarithms of their lifetimes in requests
    begins: np.ndarray  # bool[R]  nothing at all has been freed yet
    usual: np.ndarray  # float32[R]  mean natural logarithm of all sizes so far, its own among them


def history_of(recording: Recording) -> History:
    """Collects what is known of each request; blocks that die together do so before it is made.

    Where the recording has no call sites, blocks of the same size are alike.
    """
    requests = recording.requests
    site = recording.site if recording.site is not None else np.zeros(requests, np.int32)
    alike = np.unique(np.stack([recording.size, site]), axis=1, return_inverse=True)[1].ravel()
    death = np.arange(requests) + recording.lifetime
    mortal = np.flatnonzero(death < requests)
    dying = mortal[np.argsort(death[mortal], kind="stable")]
    logarithm = np.log(recording.lifetime[dying]).tolist()
    died, lived = np.zeros((2, requests), np.float32)
    count, total = [0] * requests, [0.0] * requests
    kinds, ends = alike.tolist(), death[dying].tolist()
    next_death = 0
    for request, kind in enumerate(kinds):
        while next_death < len(dying) and ends[next_death] <= request:
            gone = kinds[dying[next_death]]
            count[gone] += 1
            total[gone] += logarithm[next_death]
            next_death += 1
        died[request], lived[request] = count[kind], total[kind]
    first_death = min(ends, default=requests)
    usual = np.cumsum(np.log(recording.size)) / np.arange(1, requests + 1)
    return History(died, lived, np.arange(requests) < first_death, usual.astype(np.float32))
