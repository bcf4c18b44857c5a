"""One long history on the block table: a million best-fit requests in an arena of 2^31 - 1 cells.

`python experiments/block_table.py` writes `experiments/results/block_table/results.json`.
"""

import json
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.arena.making import new_arena
from jaxmem.whole_files import write_whole

REQUESTS = 1_000_000
BLOCKS = 1024  # room in the table
CELLS = 2**31 - 1
MEAN_LIFETIME = 850  # requests: about as many blocks live at once
LARGEST = 2**20  # cells
SEED = 0
ROUNDS = 3
RESULTS = Path(__file__).parent / "results" / "block_table" / "results.json"


@jax.jit
def play(size: jax.Array, lifetime: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Failures, the most blocks live at once, and the high-water mark: int32[] each."""

    def step(carry, request):
        arena, failed, most = carry
        size, lifetime = request
        start = arena.best(size)
        arena = arena.advance(start, size, arena.now + lifetime)
        return (arena, failed + (start < 0), jnp.maximum(most, arena.live_blocks())), None

    arena = new_arena(CELLS, CELLS, REQUESTS, "table", blocks=BLOCKS, ages=False)
    begin = (arena, jnp.int32(0), jnp.int32(0))
    (arena, failed, most), _ = jax.lax.scan(step, begin, (size, lifetime))
    return failed, most, arena.high_water


def main() -> None:
    """Times the history, compiled, and writes what it took."""
    random = np.random.default_rng(SEED)
    size = random.integers(1, LARGEST, REQUESTS, dtype=np.int32)
    lifetime = np.ceil(random.exponential(MEAN_LIFETIME, REQUESTS)).astype(np.int32)
    jax.block_until_ready(play(size, lifetime))
    rounds, failed, most, high_water = [], 0, 0, 0
    for _ in range(ROUNDS):
        wall, cpu = time.perf_counter(), time.process_time()
        failed, most, high_water = map(int, play(size, lifetime))
        rounds.append((time.perf_counter() - wall, time.process_time() - cpu))
    wall, cpu = np.median(rounds, axis=0)
    results = {
        "requests": REQUESTS,
        "blocks": BLOCKS,
        "cells": CELLS,
        "seed": SEED,
        "failed": failed,
        "most_live_blocks": most,
        "high_water_mark": high_water,
        "seconds": float(wall),
        "cpu_seconds": float(cpu),
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    write_whole(RESULTS, json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
