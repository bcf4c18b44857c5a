"""Small recordings that tests share, and what is live at their peak, counted slowly."""

import numpy as np
from hypothesis import strategies as st

from jaxmem.arena.arena import NEVER
from jaxmem.recordings import Recording

BLOCKS = st.lists(
    st.tuples(st.integers(1, 2**50), st.one_of(st.integers(1, 12), st.just(NEVER))),
    min_size=1,
    max_size=25,
)


def recording_of(size, lifetime=None) -> Recording:
    lifetime = [NEVER] * len(size) if lifetime is None else lifetime
    return Recording("demo", np.array(size, np.int64), np.array(lifetime, np.int64))


def slow_peak(size: list[int], lifetime: list[int]) -> int:
    return max(
        sum(size[block] for block in range(request + 1) if block + lifetime[block] > request)
        for request in range(len(size))
    )
