"""A run and its measures, against the slow arena and sums in plain Python."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle import FITS, NOWHERE, SlowArena
from repetition import slow

from jaxmem.arena.arena import NEVER
from jaxmem.evaluation import run as playing
from jaxmem.evaluation.question import MEASURES
from jaxmem.evaluation.run import Trajectory, failed_share, measure, over_time, run
from jaxmem.policies import policy
from jaxmem.workloads.peaks import peak_live, served_by_compaction
from jaxmem.workloads.registry import Workload
from jaxmem.workloads.requests import requests_of

SEQUENCES, LENGTH, CELLS = 24, 40, 40


def draw(split, key, sequences, length):
    """Sizes 1 to 12; most blocks die soon, some live long, a few for ever."""
    random = np.random.default_rng(11)
    shape = (sequences, length)
    lifetime = np.where(random.random(shape) < 0.8, random.integers(1, 7, shape), 20)
    lifetime = np.where(random.random(shape) < 0.02, NEVER, lifetime)
    return requests_of(random.integers(1, 13, shape), lifetime)


PLAIN = Workload(name="made", cells=CELLS, draw=draw, length=LENGTH, warmup=0)
TASKS = {
    "plain": PLAIN,
    "with a warm-up": replace(PLAIN, warmup=7),
    "with a layout": replace(PLAIN, layout=((20, 3), (3, 5))),
    "until a failure": replace(PLAIN, stop_at_failure=True, warmup=6),
    "until it is full": replace(PLAIN, stop_above=0.7),
    "judged at the end": replace(PLAIN, layout=((20, 3), (3, 5)), judged_at_end=True),
}
tasks = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)


@pytest.fixture(scope="module")
def requests():
    return PLAIN.requests("test", 0, SEQUENCES)


def play_slowly(rule, size, lifetime, task):
    """The columns of a trajectory of one sequence, as lists."""
    arena = SlowArena(task.cells)
    for start, cells in task.layout:
        arena.place(start, cells, NEVER)
    arena.cursor = 0
    active, seen = True, []
    for now, (asked, lives) in enumerate(zip(size, lifetime, strict=True)):
        start = arena.start_by(rule, asked) if active else NOWHERE
        seen.append((start, active, *look(arena, asked)))
        arena.place(start, asked, now + lives)
        if start == NOWHERE and task.stop_at_failure:
            active = False
        if arena.live() > task.stop_above * task.cells:
            active = False
        arena.tick(now + 1)
    seen.append((None, None, *look(arena, size[-1])))
    start, active, *columns = zip(*seen, strict=True)
    return [list(start[:-1]), list(active[:-1]), *map(list, columns)]


def look(arena, asked):
    return (
        arena.live(),
        len(arena.holes()),
        arena.largest_hole(),
        arena.unusable_free(asked),
        arena.high_water,
    )


def slow_trajectories(rule, requests, task):
    rows = zip(requests.size.tolist(), requests.lifetime.tolist(), strict=True)
    return [play_slowly(rule, size, lifetime, task) for size, lifetime in rows]


@tasks
@pytest.mark.parametrize("rule", ["first", "best"])
def test_a_run_sees_what_the_slow_arena_sees(rule, task, requests):
    trajectory = run(policy(rule), requests, task)
    slow = slow_trajectories(rule, requests, task)
    for column, expected in zip(jax.tree.leaves(trajectory), zip(*slow, strict=True), strict=True):
        np.testing.assert_allclose(column, expected, atol=1e-6)


@pytest.mark.parametrize("rule", sorted({*FITS} - {"first", "best"}))
def test_the_other_fits_start_where_the_slow_arena_does(rule, requests):
    task = TASKS["with a layout"]
    start = run(policy(rule), requests, task).start
    assert start.tolist() == [columns[0] for columns in slow_trajectories(rule, requests, task)]


def measure_slowly(columns, size, lifetime, task):
    """Every measure of one sequence, request by request."""
    start, active, live, holes, largest, unusable, high_water = columns
    counted = [t for t in range(len(size)) if active[t] and t >= task.warmup]
    failed = [t for t in counted if start[t] == NOWHERE]

    def fragmentation(t):
        free = task.cells - live[t]
        return 1 - largest[t] / free if free else 0.0

    def over_time(of):
        if task.judged_at_end:
            return of(len(size))
        return sum(map(of, counted)) / len(counted) if counted else 0.0

    there = sum(cells for _, cells in task.layout)
    asked_at_once = [
        sum(size[b] for b in range(t + 1) if active[b] and b + lifetime[b] > t)
        for t in range(len(size))
    ]
    return {
        "failed_requests": 100 * len(failed) / len(counted) if counted else 0.0,
        "failed_cells": 100 * sum(size[t] for t in failed) / sum(size[t] for t in counted)
        if counted
        else 0.0,
        "external_fragmentation": over_time(fragmentation),
        "holes_per_cell": over_time(lambda t: holes[t] / task.cells),
        "unusable_free": over_time(lambda t: unusable[t]),
        "utilization": over_time(lambda t: live[t] / task.cells),
        "high_water_mark": high_water[-1],
        "high_water_per_peak": high_water[-1] / (there + max(asked_at_once)),
        "placed_requests": sum(cell != NOWHERE for cell in start),
    }


@tasks
@pytest.mark.parametrize("rule", ["first", "best"])
def test_every_measure_is_the_sum_that_it_says(rule, task, requests):
    measured = measure(run(policy(rule), requests, task), requests, task)
    assert set(measured) == set(MEASURES)
    rows = zip(
        slow_trajectories(rule, requests, task),
        requests.size.tolist(),
        requests.lifetime.tolist(),
        strict=True,
    )
    expected = [measure_slowly(*row, task) for row in rows]
    for name, values in measured.items():
        assert values.dtype == np.float64
        np.testing.assert_allclose(values, [row[name] for row in expected], rtol=1e-6, err_msg=name)


def test_the_cases_above_have_failures_early_ends_and_full_arenas(requests):
    """Otherwise the comparisons with the slow arena would say little."""
    full = run(policy("first"), requests, PLAIN)
    assert 0.05 < (full.start < 0).mean() < 0.5
    assert (full.live == CELLS).any()
    for name in ("until a failure", "until it is full"):
        active = run(policy("first"), requests, TASKS[name]).active
        ends = active.sum(axis=1)
        assert active[:, 0].all()
        assert 2 < ends.min() < ends.max() <= LENGTH
    # Some episodes end within the warm-up, so that nothing of them counts.
    ends = run(policy("first"), requests, TASKS["until a failure"]).active.sum(axis=1)
    assert (ends <= TASKS["until a failure"].warmup).any()


def by_hand(**changes):
    """One sequence of three requests in 10 cells; 4 and 3 are placed, 5 is not."""
    columns = {
        "start": [[0, 4, -1]],
        "active": [[True, True, True]],
        "live": [[0, 4, 7, 7]],
        "holes": [[1, 1, 1, 2]],
        "largest_hole": [[10, 6, 3, 2]],
        "unusable_free": [[0.0, 0.0, 1.0, 1.0]],
        "high_water": [[0, 4, 7, 7]],
    }
    columns.update(changes)
    return Trajectory(**{name: np.asarray(column) for name, column in columns.items()})


THREE = requests_of(jnp.array([[4, 3, 5]]), jnp.full((1, 3), NEVER))


@pytest.mark.parametrize(
    ("rules", "changes", "expected"),
    [
        ({}, {}, {"failed_requests": 100 / 3, "failed_cells": 500 / 12, "holes_per_cell": 0.1}),
        ({}, {}, {"external_fragmentation": 0.0, "unusable_free": 1 / 3, "utilization": 11 / 30}),
        ({}, {}, {"high_water_mark": 7, "high_water_per_peak": 7 / 12, "placed_requests": 2}),
        ({"warmup": 1}, {}, {"failed_requests": 50, "failed_cells": 500 / 8, "utilization": 0.55}),
        ({"warmup": 3}, {}, {"failed_requests": 0, "failed_cells": 0, "utilization": 0}),
        (
            {},
            {"active": [[True, True, False]]},
            {"failed_requests": 0, "failed_cells": 0, "utilization": 0.2},
        ),
        (
            {"judged_at_end": True},
            {},
            {"external_fragmentation": 1 / 3, "holes_per_cell": 0.2, "utilization": 0.7},
        ),
        ({"layout": ((9, 1),)}, {}, {"high_water_per_peak": 7 / 13}),
        ({}, {"live": [[10, 10, 10, 10]]}, {"external_fragmentation": 0.0, "utilization": 1.0}),
    ],
)
def test_measures_by_hand(rules, changes, expected):
    task = replace(PLAIN, cells=10, length=3, **rules)
    measured = measure(by_hand(**changes), THREE, task)
    assert {name: measured[name].tolist() for name in expected} == {
        name: [pytest.approx(value)] for name, value in expected.items()
    }


def test_the_failed_share_is_the_mean_over_sequences(requests):
    task = TASKS["with a warm-up"]
    failed = run(policy("best"), requests, task).start[:, 7:] < 0
    share = failed_share(policy("best"), requests, task)
    assert share == pytest.approx(100 * failed.mean())
    assert isinstance(share, float)


def test_what_comes_after_a_failure_that_ends_the_episode_has_failed(requests):
    task = TASKS["until a failure"]
    start = np.array(run(policy("best"), requests, task).start)
    placed = [row.tolist().index(NOWHERE) if NOWHERE in row else LENGTH for row in start]
    assert min(placed) < LENGTH
    lost = [100 * (LENGTH - max(count, 6)) / (LENGTH - 6) for count in placed]
    assert failed_share(policy("best"), requests, task) == pytest.approx(np.mean(lost))


def test_compaction_serves_requests_until_there_are_too_many(requests):
    size, lifetime = requests.size.tolist(), requests.lifetime.tolist()
    for cells, layout in ((CELLS, ()), (20, ((0, 5),)), (10_000, ())):
        there = sum(block for _, block in layout)
        served = []
        for s, lives in zip(size, lifetime, strict=True):
            asked = [sum(s[b] for b in range(t + 1) if b + lives[b] > t) for t in range(LENGTH)]
            served.append(next((t for t in range(LENGTH) if asked[t] + there > cells), LENGTH))
        assert served_by_compaction(requests, cells, layout).tolist() == served
    placed = (np.asarray(run(policy("best"), requests, TASKS["until a failure"]).start) >= 0).sum(1)
    assert (placed <= served_by_compaction(requests, CELLS)).all()


def test_peak_live_is_the_most_that_is_asked_for_at_once(requests):
    size, lifetime = requests.size.tolist(), requests.lifetime.tolist()
    brute = [
        max(sum(s[b] for b in range(t + 1) if b + lives[b] > t) for t in range(LENGTH))
        for s, lives in zip(size, lifetime, strict=True)
    ]
    assert peak_live(requests).tolist() == brute
    assert peak_live(requests, ((0, 2), (9, 5))).tolist() == [peak + 7 for peak in brute]


@pytest.fixture(scope="module")
def random_starts(requests):
    """What the random policy does with all sequences at once."""
    return run(policy("random"), requests, PLAIN, seed=3).start


@pytest.mark.parametrize("count", [13, *slow(24, 10)])
def test_chunks_change_nothing_and_a_sequence_draws_the_same_whatever_is_beside_it(
    count, random_starts, requests, monkeypatch
):
    monkeypatch.setattr(playing, "CHUNK", 10)
    some = jax.tree.map(lambda column: column[:count], requests)
    chunked = run(policy("random"), some, PLAIN, seed=3)
    np.testing.assert_array_equal(chunked.start, random_starts[:count])
    assert all(len(column) == count for column in jax.tree.leaves(chunked))


def test_another_seed_draws_other_starts_and_other_sequences_draw_apart(random_starts, requests):
    assert (run(policy("random"), requests, PLAIN, seed=4).start != random_starts).any()
    same = jax.tree.map(lambda column: jnp.repeat(column[:1], SEQUENCES, axis=0), requests)
    assert len({tuple(row) for row in run(policy("random"), same, PLAIN).start.tolist()}) > 20


def test_room_to_spare_in_an_arena_changes_nothing(requests):
    task = TASKS["with a layout"]
    tight, roomy = run(policy("best"), requests, task), run(policy("best"), requests, task, 0, 96)
    for one, other in zip(jax.tree.leaves(tight), jax.tree.leaves(roomy), strict=True):
        np.testing.assert_array_equal(one, other)


def test_fragmentation_over_time_is_the_mean_of_what_was_seen(requests):
    task = TASKS["until a failure"]
    trajectory = run(policy("first"), requests, task)
    external, failed = over_time(trajectory, task)
    for time in (0, 2, 5):
        playing_still = np.flatnonzero(trajectory.active[:, time])
        free = CELLS - trajectory.live[playing_still, time]
        seen = 1 - trajectory.largest_hole[playing_still, time] / np.maximum(free, 1)
        assert external[time] == pytest.approx(np.where(free > 0, seen, 0).mean())
        answered = trajectory.active[:, : time + 1]
        lost = answered & (trajectory.start[:, : time + 1] < 0)
        assert failed[time] == pytest.approx(100 * lost.sum() / answered.sum())
    assert len(external) == LENGTH + 1
