"""Playing a policy on given request sequences, and what is measured on the way."""

import functools
from collections.abc import Iterator
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxmem.arena import measures
from jaxmem.arena.arena import NOWHERE, Arena
from jaxmem.environment.ending import Ending, ending_of
from jaxmem.environment.playing import play
from jaxmem.environment.situation import Situation
from jaxmem.environment.tasks import initial_arena
from jaxmem.policies import Policy
from jaxmem.workloads.peaks import peak_live
from jaxmem.workloads.registry import Workload
from jaxmem.workloads.requests import Requests

Part = TypeVar("Part")
CHUNK = 256  # sequences played at once: one shape to compile for validation and for the test


@struct.dataclass
class Trajectory:
    """The play of P sequences; the arena is seen before each placement, and at the end."""

    start: jax.Array  # int32[P, T]  cell, NOWHERE: failed, or the episode had ended
    active: jax.Array  # bool[P, T]  False: the episode had ended before this request
    live: jax.Array  # int32[P, T + 1]  cells
    holes: jax.Array  # int32[P, T + 1]
    largest_hole: jax.Array  # int32[P, T + 1]  cells
    unusable_free: jax.Array  # float32[P, T + 1]  share of the free cells, 0..1
    high_water: jax.Array  # int32[P, T + 1]  cells


def run(
    policy: Policy | None,
    requests: Requests,
    workload: Workload,
    seed: int = 0,
    capacity: int | None = None,
    *,
    starts: np.ndarray | jax.Array | None = None,
) -> Trajectory:
    """Plays a policy on P sequences of T requests, each in an arena of its own.

    Args:
        policy: None where `starts` tell what it would.
        seed: for policies that draw; sequence p draws the same whatever P is.
        capacity: of the arenas, at least the cells of the workload (default: those): arenas of
            one capacity share a compiled program, whatever their cells.
        starts: int32[P, T]  the start of each request; it fails where that is illegal.
    """
    played = _play_sequences(
        policy, requests, workload, seed, looks=True, capacity=capacity, starts=starts
    )
    return Trajectory(*played)


def _play_sequences(
    policy: Policy | None,
    requests: Requests,
    workload: Workload,
    seed: int,
    *,
    looks: bool,
    capacity: int | None = None,
    starts: np.ndarray | jax.Array | None = None,
) -> tuple[jax.Array, ...]:
    """Returns the fields of a trajectory; those up to `active` if nobody looks."""
    if policy is not None:
        policy.check_plays(workload.cells)
    initial = initial_arena(workload, requests, capacity=capacity)
    if policy is not None:
        requests = policy.told(requests, workload.has_hints)
        policy = policy.replace(name="")  # one program serves policies that only differ in name
    ending = ending_of(workload)
    key = jax.random.key(seed)
    requests, starts = jax.device_get((requests, starts))  # else a program is compiled to cut them
    played = []
    for rows in chunks(requests.sequences, CHUNK):
        chunk = jax.tree.map(lambda column, rows=rows: column[rows], (requests, starts))
        played.append(jax.device_get(_play(policy, *chunk, initial, ending, key, rows, looks)))
    return joined(played, requests.sequences)


def chunks(sequences: int, most: int) -> Iterator[np.ndarray]:
    """Yields rows of the sequences, at most so many at once: int64[min(most, sequences)] each.

    A last chunk that is shorter repeats sequences, so that its shape is compiled already.
    """
    for first in range(0, sequences, most):
        yield np.arange(first, first + min(most, sequences)) % sequences


def joined(parts: list[Part], sequences: int) -> Part:
    """Joins what was found for each of `chunks`: trees of [sequences, ...]."""
    whole = jax.tree.map(lambda *columns: np.concatenate(columns), *parts)
    return jax.tree.map(lambda column: column[:sequences], whole)


@functools.partial(jax.jit, static_argnames="looks")
def _play(
    policy: Policy | None,
    requests: Requests,
    starts: jax.Array | None,
    initial: Arena,
    ending: Ending,
    key: jax.Array,
    rows: np.ndarray,
    looks: bool,
) -> tuple[jax.Array, ...]:
    """Plays the sequences of a chunk; their numbers among all are in `rows` (int[P])."""

    def one(sequence: jax.Array, row: Any, starts: jax.Array | None) -> tuple[jax.Array, ...]:
        its_key = jax.random.fold_in(key, row)

        def answer(active: jax.Array, situation: Situation, start: Any):
            arena = situation.arena
            if policy is not None:
                start = policy(jax.random.fold_in(its_key, arena.now), situation)
            else:
                start = jnp.where(arena.allows(start, situation.size), start, NOWHERE)
            start = jnp.where(active, start, NOWHERE)
            seen = _see(arena, situation.size) if looks else ()
            ended = ending.after(situation, start)
            return active & ~(ended.lost | ended.full), start, (start, active, seen)

        arena, _, (start, active, seen) = play(
            answer, initial, requests, sequence, jnp.bool_(True), given=starts
        )
        if not looks:
            return start, active
        last = _see(arena, requests.size[sequence, -1])
        seen = [jnp.append(column, end) for column, end in zip(seen, last, strict=True)]
        return start, active, *seen

    return jax.vmap(one)(jnp.arange(requests.sequences), rows, starts)


def _see(arena: Arena, size: jax.Array) -> tuple[jax.Array, ...]:
    """Measures the fields of a trajectory from `live` on."""
    return (
        measures.live_cells(arena),
        arena.hole_count(),
        arena.largest_hole(),
        measures.unusable_free(arena, size),
        arena.high_water,
    )


def failed_share(
    policy: Policy,
    requests: Requests,
    workload: Workload,
    capacity: int | None = None,
) -> float:
    """Averages `failed_shares`: what choices are made by."""
    return float(failed_shares(policy, requests, workload, capacity).mean())


def failed_shares(
    policy: Policy,
    requests: Requests,
    workload: Workload,
    capacity: int | None = None,
) -> np.ndarray:
    """Computes failed requests in % of those counted, of each sequence: float64[P].

    The same as `measure` says, by a program that looks at nothing else: half as long to compile.
    But where a failure ends the episode, what was still to be asked for has failed too: every
    episode has at most one failure, so that what counts is how late it comes.
    """
    start, active = _play_sequences(
        policy, requests, workload, seed=0, looks=False, capacity=capacity
    )
    if workload.stop_at_failure:
        active = np.ones_like(active)
    counted, failed = _counted(start, active, workload)
    return _share_in_percent(failed, counted)


def _counted(
    start: np.ndarray | jax.Array, active: np.ndarray | jax.Array, workload: Workload
) -> tuple[np.ndarray, np.ndarray]:
    """Marks the requests that count, and those of them that failed: bool[P, T] each."""
    counted = np.array(active)
    counted[:, : workload.warmup] = False
    return counted, counted & (np.asarray(start) < 0)


def _share_in_percent(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Computes the sum of each row of `part` in % of that of `whole`: float64[P]."""
    return 100.0 * part.sum(axis=1) / np.maximum(whole.sum(axis=1), 1)


def over_time(trajectory: Trajectory, workload: Workload) -> tuple[np.ndarray, np.ndarray]:
    """Follows fragmentation and failures, means over the sequences still being played.

    Returns:
        float64[T + 1], external fragmentation before each request and at the end; and float64[T],
        failed requests in % of those up to and with this one, warm-up included.
    """
    active, start = np.asarray(trajectory.active), np.asarray(trajectory.start)
    weight = np.append(active, active[:, -1:], axis=1)
    total = np.maximum(weight.sum(axis=0), 1)
    external = (_external(trajectory, workload) * weight).sum(axis=0) / total
    failed = np.cumsum((active & (start < 0)).sum(axis=0))
    return external, 100 * failed / np.maximum(np.cumsum(active.sum(axis=0)), 1)


def _external(trajectory: Trajectory, workload: Workload) -> np.ndarray:
    """Computes 1 - largest hole / free cells: float64[P, T + 1], 0 where nothing is free."""
    free = workload.cells - np.asarray(trajectory.live)
    largest = np.asarray(trajectory.largest_hole)
    return np.where(free > 0, 1 - largest / np.maximum(free, 1), 0.0)


def measure(
    trajectory: Trajectory, requests: Requests, workload: Workload
) -> dict[str, np.ndarray]:
    """Takes the measures of each sequence, float64[P], by name.

    Requests of the warm-up and after the end of an episode do not count, but `placed_requests` and
    the high-water marks are of the whole episode. Shares of time are means over the requests that
    count, seen before each placement; where the workload is judged at its end, they are those of
    the final memory.
    """
    size = np.asarray(requests.size, np.float64)
    live, holes, unusable = (
        np.asarray(column)
        for column in (trajectory.live, trajectory.holes, trajectory.unusable_free)
    )
    counted, failed = _counted(trajectory.start, trajectory.active, workload)
    requested = np.maximum(counted.sum(axis=1), 1)

    def mean(column: np.ndarray) -> np.ndarray:
        if workload.judged_at_end:
            return np.asarray(column[:, -1], np.float64)
        return (column[:, :-1] * counted).sum(axis=1) / requested

    high_water = np.asarray(trajectory.high_water[:, -1], np.float64)
    peak = peak_live(requests, workload.layout, np.asarray(trajectory.active))
    return {
        "failed_requests": _share_in_percent(failed, counted),
        "failed_cells": _share_in_percent(failed * size, counted * size),
        "external_fragmentation": mean(_external(trajectory, workload)),
        "holes_per_cell": mean(holes / workload.cells),
        "unusable_free": mean(unusable),
        "utilization": mean(live / workload.cells),
        "high_water_mark": high_water,
        "high_water_per_peak": high_water / peak,
        "placed_requests": (np.asarray(trajectory.start) >= 0).sum(axis=1).astype(np.float64),
    }
