"""Exact agreement with the golden files: what a slow, independent simulator does with each fit."""

import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle import FITS, NOWHERE, SlowArena

from jaxmem.arena import measures
from jaxmem.arena.making import new_arena

WORKLOADS = (
    "memoryless",
    "small-short-lived",
    "large-short-lived",
    "size-classes",
    "generational",
    "stack-with-leaks",
    "robson",
    "comb",
    "training-step",
    "call-sites",
)
CAPACITY = 128  # one compiled program for all workloads: their numbers of cells are traced
FITS_WITHOUT_CURSOR = FITS[:4]


def chosen_fit(arena, rule, size):
    return jnp.stack([getattr(arena, name)(size) for name in FITS])[rule]


@jax.jit
@partial(jax.vmap, in_axes=(0, None, 0, 0))
@partial(jax.vmap, in_axes=(None, 0, None, None))
def serve_all(arena, rule, size, lifetime):
    """A whole sequence by one fit: the starts, and what is measured before each placement."""

    def serve(arena, request):
        size, lifetime = request
        start = chosen_fit(arena, rule, size)
        fragmentation = measures.external_fragmentation(arena)
        arena = arena.place(start, size, arena.now + lifetime)
        return arena.tick(arena.now + 1), (start, fragmentation)

    arena, (starts, fragmentation) = jax.lax.scan(serve, arena, (size, lifetime))
    return starts, jnp.mean(fragmentation), arena.high_water


@pytest.fixture(scope="module")
def sequences(golden_file):
    with np.load(golden_file("request_sequences.npz")) as archive:
        return dict(archive)


def most_at_once(lifetime) -> int:
    """The most requests of a sequence (int[P, T]) that would be live together."""
    now = np.arange(lifetime.shape[1])
    live = (now[:, None] <= now) & (now < (now + lifetime)[..., None])
    return live.sum(axis=1).max()


@pytest.fixture(scope="module", params=["unrolled", "table"])
def served(sequences, request):
    """For each workload and fit: the measures that the golden file names, of the fast arena."""
    size = np.concatenate([sequences[f"{name}/size"] for name in WORKLOADS])
    lifetime = np.concatenate([sequences[f"{name}/lifetime"] for name in WORKLOADS])
    each = len(size) // len(WORKLOADS)
    cells = np.repeat([int(sequences[f"{name}/cells"]) for name in WORKLOADS], each)

    def make(cells):
        return new_arena(cells, CAPACITY, size.shape[1], request.param, most_at_once(lifetime))

    arenas = jax.vmap(make)(cells)
    starts, fragmentation, high_water = map(
        np.asarray, serve_all(arenas, np.arange(len(FITS)), size, lifetime)
    )
    failed = starts == NOWHERE
    found = {
        "start": starts,
        "failed_requests": failed.sum(-1),
        "failed_cells": (failed * size[:, None]).sum(-1),
        "high_water_mark": high_water,
        "mean_external_fragmentation": fragmentation,
    }
    return {
        f"{workload}/{fit}/{measure}": values[number * each : (number + 1) * each, rule]
        for number, workload in enumerate(WORKLOADS)
        for rule, fit in enumerate(FITS)
        for measure, values in found.items()
    }


def test_every_golden_workload_is_played(sequences):
    assert {name.split("/")[0] for name in sequences} == set(WORKLOADS)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("workload", WORKLOADS)
def test_every_start_is_the_golden_start(sequences, served, workload, fit):
    name = f"{workload}/{fit}/start"
    np.testing.assert_array_equal(served[name], sequences[name])


@pytest.mark.parametrize("measure", ["failed_requests", "failed_cells", "high_water_mark"])
@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("workload", WORKLOADS)
def test_every_count_is_the_golden_count(sequences, served, workload, fit, measure):
    name = f"{workload}/{fit}/{measure}"
    np.testing.assert_array_equal(served[name], sequences[name])


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("workload", WORKLOADS)
def test_mean_external_fragmentation_is_the_golden_mean(sequences, served, workload, fit):
    name = f"{workload}/{fit}/mean_external_fragmentation"
    np.testing.assert_allclose(served[name], sequences[name], rtol=2e-6)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("workload", WORKLOADS)
def test_the_oracle_itself_makes_the_golden_placements(sequences, workload, fit):
    size, lifetime = (sequences[f"{workload}/{name}"][0].tolist() for name in ("size", "lifetime"))
    slow = SlowArena(int(sequences[f"{workload}/cells"]))
    starts, fragmentation = [], []
    for time, (cells, life) in enumerate(zip(size, lifetime, strict=True)):
        fragmentation.append(slow.external_fragmentation())
        starts.append(slow.start_by(fit, cells))
        slow.place(starts[-1], cells, time + life)
        slow.tick(time + 1)
    assert starts == sequences[f"{workload}/{fit}/start"][0].tolist()
    assert slow.high_water == sequences[f"{workload}/{fit}/high_water_mark"][0]
    golden = sequences[f"{workload}/{fit}/mean_external_fragmentation"][0]
    assert np.mean(fragmentation) == pytest.approx(golden, rel=2e-6)


@pytest.fixture(scope="module")
def cases(golden_file):
    return json.loads(golden_file("fits.json").read_text())["cases"]


@jax.jit
@partial(jax.vmap, in_axes=(0, None, 0, 0))
@partial(jax.vmap, in_axes=(None, 0, None, None))
def fill(arena, rule, blocks, sizes):
    """Blocks int32[B, 2] laid, then sizes int32[S] placed by one fit, for ever; 0: padding."""
    never = jnp.int32(2**30)

    def lay(arena, block):
        start, size = block
        return arena.place(jnp.where(size > 0, start, NOWHERE), size, never), None

    def serve(arena, size):
        start = jnp.where(size > 0, chosen_fit(arena, rule, size), NOWHERE)
        return arena.place(start, size, never), start

    arena, _ = jax.lax.scan(lay, arena, blocks)
    arena, starts = jax.lax.scan(serve, arena, sizes)
    return {
        "starts": starts,
        "holes": arena.hole_count(),
        "free": arena.free_cells(),
        "largest_hole": arena.largest_hole(),
        "external": measures.external_fragmentation(arena),
    }


def padded(rows, shape):
    result = np.zeros(shape, np.int32)
    result[: len(rows)] = rows
    return result


@pytest.fixture(scope="module", params=["unrolled", "table"])
def filled(cases, request):
    """For each case and fit: what the golden file names, of the fast arena."""
    cells = np.array([case["memory_size"] for case in cases])
    blocks = np.stack([padded(case["blocks"], (14, 2)) for case in cases])
    sizes = np.stack([padded(case["sizes"], 20) for case in cases])
    blocks_at_once = blocks.shape[1] + sizes.shape[1]

    def make(cells):
        return new_arena(cells, 256, 1, request.param, blocks_at_once)

    arenas = jax.vmap(make)(cells)
    return jax.tree.map(np.asarray, fill(arenas, np.arange(4), blocks, sizes))


def test_all_golden_layouts_are_played(cases):
    assert len(cases) == 121
    assert all(set(case["expected"]) == set(FITS_WITHOUT_CURSOR) for case in cases)


@pytest.mark.parametrize("fit", FITS_WITHOUT_CURSOR)
def test_requests_go_where_the_golden_layouts_say(cases, filled, fit):
    for number, case in enumerate(cases):
        golden = [NOWHERE if start is None else start for start in case["expected"][fit]["starts"]]
        starts = filled["starts"][number, FITS.index(fit)]
        assert starts.tolist() == golden + [NOWHERE] * (len(starts) - len(golden))


@pytest.mark.parametrize("fit", FITS_WITHOUT_CURSOR)
def test_holes_are_left_as_the_golden_layouts_say(cases, filled, fit):
    for number, case in enumerate(cases):
        golden = case["expected"][fit]
        found = {name: values[number, FITS.index(fit)] for name, values in filled.items()}
        for name in ("holes", "free", "largest_hole"):
            assert found[name] == golden[name]
        assert found["holes"] / case["memory_size"] == pytest.approx(golden["seed"])
        assert found["external"] == pytest.approx(golden["external"], abs=2e-7)


@pytest.mark.parametrize("fit", FITS_WITHOUT_CURSOR)
def test_the_oracle_itself_fills_the_golden_layouts(cases, fit):
    for case in cases:
        slow = SlowArena(case["memory_size"])
        for start, size in case["blocks"]:
            slow.place(start, size, expiry=10**9)
        starts = []
        for size in case["sizes"]:
            starts.append(slow.start_by(fit, size))
            slow.place(starts[-1], size, expiry=10**9)
        golden = case["expected"][fit]
        assert [None if start == NOWHERE else start for start in starts] == golden["starts"]
        assert (len(slow.holes()), slow.free()) == (golden["holes"], golden["free"])
        assert slow.largest_hole() == golden["largest_hole"]
        assert slow.external_fragmentation() == pytest.approx(golden["external"])
