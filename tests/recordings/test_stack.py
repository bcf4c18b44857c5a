"""Stacks by stack.c: block by block where NumPy puts them, which is slower."""

import numpy as np
import pytest

from jaxmem.recordings import offline_packing
from jaxmem.recordings.offline_packing import stacked_in_order
from jaxmem.recordings.packing import check_packing
from jaxmem.recordings.plan_task import UNPINNED


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("largest", [4, 1000])
def test_every_block_lies_where_numpy_puts_it(seed, largest, monkeypatch):
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 200))
    size, birth = random.integers(1, largest, count), np.arange(count)
    death = np.minimum(birth + random.integers(1, 60, count), count)
    order, multiple = random.permutation(count), 2 ** random.integers(0, 6, count)
    pinned = np.where(random.random(count) < 0.1 * (seed % 3), 10_000 * (1 + birth), UNPINNED)
    order = order[np.argsort(pinned[order] < 0, kind="stable")]
    columns = (size, birth, death, order, pinned, multiple)
    assert offline_packing._compiled_stack() is not None
    by_c = stacked_in_order(*columns)
    monkeypatch.setattr(offline_packing, "_compiled_stack", lambda: None)
    np.testing.assert_array_equal(by_c, stacked_in_order(*columns))
    assert (by_c[pinned < 0] % multiple[pinned < 0] == 0).all()
    check_packing(by_c, size, death)


def test_where_it_cannot_be_compiled_numpy_stacks(monkeypatch):
    monkeypatch.setenv("CC", "no-compiler-of-this-name")
    offline_packing._compiled_stack.cache_clear()
    try:
        assert offline_packing._compiled_stack() is None
    finally:
        offline_packing._compiled_stack.cache_clear()
