"""What hindsight finds is legal, never worse than less of it, and the best where all is tried."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle import NOWHERE, SlowArena

from jaxmem.arena.arena import NEVER
from jaxmem.cli import main
from jaxmem.evaluation import beam, hindsight
from jaxmem.evaluation.beam import beam_search
from jaxmem.evaluation.clairvoyant import clairvoyant, knowing
from jaxmem.evaluation.compare import compare
from jaxmem.evaluation.hindsight import (
    MOST_SEARCHED,
    Bounds,
    bounds,
    check_searchable,
    play_starts,
    way,
    with_hindsight,
)
from jaxmem.evaluation.run import measure, run
from jaxmem.policies import policy
from jaxmem.policies.placement_rules import APART_COST, HINT_HOLES
from jaxmem.render.report import markdown_table
from jaxmem.workloads.registry import Workload
from jaxmem.workloads.requests import requests_of

SEQUENCES, LENGTH, CELLS = 12, 40, 32


def draw(split, key, sequences, length):
    """Sizes 1 to 6; most blocks die soon, some live long, a few for ever."""
    random = np.random.default_rng(5)
    shape = (sequences, length)
    lifetime = np.where(random.random(shape) < 0.7, random.integers(1, 5, shape), 12)
    lifetime = np.where(random.random(shape) < 0.02, NEVER, lifetime)
    return requests_of(random.integers(1, 7, shape), lifetime)


# A layout in all of them, so that they share their programs.
PLAIN = Workload(
    name="made", cells=CELLS, draw=draw, length=LENGTH, warmup=4, layout=((11, 2), (2, 2))
)
TASKS = {
    "plain": PLAIN,
    "until a failure": replace(PLAIN, stop_at_failure=True, warmup=0),
    "until it is full": replace(PLAIN, stop_above=0.8),
}
tasks = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)


@pytest.fixture(scope="module")
def requests():
    return PLAIN.requests("test", 0, SEQUENCES)


def failed_of(start, requests, task):
    return measure(play_starts(start, requests, task), requests, task)["failed_requests"]


def play_slowly(start, size, lifetime, task):
    """Places as told; asserts that it is legal, and that nothing that fits is refused."""
    arena = SlowArena(task.cells)
    for at, cells in task.layout:
        arena.place(at, cells, NEVER)
    for now, (at, asked, lives) in enumerate(zip(start, size, lifetime, strict=True)):
        legal = arena.legal_starts(asked)
        assert at in (legal or [NOWHERE])
        arena.place(at, asked, now + lives)
        if (at == NOWHERE and task.stop_at_failure) or arena.live() > task.stop_above * task.cells:
            assert set(start[now + 1 :]) <= {NOWHERE}
            return
        arena.tick(now + 1)


@tasks
def test_every_placement_found_is_legal_and_none_is_worse_than_with_less_knowledge(task, requests):
    found = bounds(requests, task)
    rows = zip(*(np.asarray(c).tolist() for c in (found.start, requests.size, requests.lifetime)),
               strict=True)  # fmt: skip
    for start, size, lifetime in rows:
        play_slowly(start, size, lifetime, task)
    np.testing.assert_array_equal(failed_of(found.start, requests, task), found.hindsight)
    best = measure(run(policy("best"), requests, task), requests, task)["failed_requests"]
    np.testing.assert_array_equal(found.best, best)
    assert (found.hindsight <= np.minimum(found.best, found.clairvoyant)).all()
    if task is PLAIN:
        assert found.hindsight.mean() < found.clairvoyant.mean() < found.best.mean()


def test_placements_that_are_known_already_are_not_forgotten(requests, monkeypatch):
    """A search that finds nothing good ends with the better of what it was told, row by row."""
    known = bounds(requests, PLAIN)
    monkeypatch.setattr(hindsight, "beam_search", lambda *_: known.start * 0 + NOWHERE)
    told = known.start.copy()
    told[::2] = NOWHERE
    found = bounds(requests, PLAIN, others=[told])
    np.testing.assert_array_equal(found.hindsight[1::2], known.hindsight[1::2])
    np.testing.assert_array_equal(
        found.hindsight[::2], np.minimum(known.best, known.clairvoyant)[::2]
    )


def test_an_illegal_placement_is_not_replayed():
    requests = requests_of(jnp.array([[2, 3, 1]]), jnp.array([[3, 3, 3]]))
    task = replace(PLAIN, length=3, warmup=0, cells=6, layout=())
    assert play_starts(np.array([[0, 2, 5]]), requests, task).start.tolist() == [[0, 2, 5]]
    with pytest.raises(ValueError, match="request 1 of sequence 0 cannot start at cell 1"):
        play_starts(np.array([[0, 1, 5]]), requests, task)
    with pytest.raises(ValueError, match="request 2 of sequence 0 cannot start at cell 6"):
        play_starts(np.array([[0, 2, 6]]), requests, task)


def ends(arena, size):
    return {
        end for hole in arena.holes_that_fit(size, HINT_HOLES) for end in (hole.low, hole.high)
    } or {NOWHERE}


def fewest_failures(size, lifetime, cells, start=()):
    """By trying both ends of every hole for every request."""
    arena = SlowArena(cells)
    for now, at in enumerate(start):
        arena.place(at, size[now], now + lifetime[now])
        arena.tick(now + 1)
    if len(start) == len(size):
        return start.count(NOWHERE)
    return min(
        fewest_failures(size, lifetime, cells, (*start, end))
        for end in ends(arena, size[len(start)])
    )


# Blocks that stay and blocks that go, in turn: only those who know keep them apart. Then there is
# room for one of the two large ones, and best-fit has it for none.
TRAP = ([1, 1, 1, 1, 1, 1, 3, 3], [NEVER, 5, NEVER, 3, NEVER, 1, 2, 2])


def test_a_wide_beam_finds_what_trying_everything_finds():
    random = np.random.default_rng(2)
    size, lifetime = random.integers(1, 5, (12, 8)), random.integers(1, 6, (12, 8))
    size[0], lifetime[0] = TRAP
    task = replace(PLAIN, cells=6, length=8, warmup=0, layout=())
    start = beam_search(requests_of(size, lifetime), task, 96)
    failed = (np.asarray(start) < 0).sum(axis=1).tolist()
    rows = zip(size.tolist(), lifetime.tolist(), strict=True)
    assert failed == [fewest_failures(*row, cells=6) for row in rows]
    assert failed[0] == 1
    arena = SlowArena(6)
    for now, (asked, lives) in enumerate(zip(*TRAP, strict=True)):
        arena.tick(now)
        at = arena.start_by("best", asked)
        assert (at == NOWHERE) == (asked == 3)
        arena.place(at, asked, now + lives)


def cost_by_hand(hole, lifetime, size, low):
    """What the docstring of `contact_costs` says, for the low or the high end of a hole."""
    own, other = (hole.below, hole.above) if low else (hole.above, hole.below)
    touched = [own] + [other] * (hole.length == size)
    stays = [side.wall or side.remaining == 0 for side in touched]  # a layout has no prediction
    shared = [
        lifetime if there else min(side.remaining, lifetime)
        for side, there in zip(touched, stays, strict=True)
    ]
    apart = 0 if stays[0] else abs(own.remaining - lifetime)
    return lifetime - sum(shared) + APART_COST * apart


def test_the_clairvoyant_takes_the_cheapest_end(requests):
    told = knowing(requests)
    start = np.asarray(run(clairvoyant(), told, PLAIN).start)
    ties = 0
    for row in range(4):
        arena = SlowArena(CELLS)
        for at, cells in PLAIN.layout:
            arena.place(at, cells, NEVER)
        for now in range(LENGTH):
            size, at = int(requests.size[row, now]), int(start[row, now])
            death = min(now + int(requests.lifetime[row, now]), LENGTH)
            price = {}
            for hole in arena.holes_that_fit(size, HINT_HOLES):
                for end, low in ((hole.low, True), (hole.high, False)):
                    cost = (cost_by_hand(hole, death - now, size, low), hole.length, end)
                    price[end] = min(cost, price.get(end, cost))
            assert at == (min(price.values())[2] if price else NOWHERE)
            ties += len(price) > 1
            arena.place(at, size, death, forecast=death)
            arena.tick(now + 1)
    assert ties > 20


def test_one_program_searches_every_chunk_of_sequences(monkeypatch, requests):
    together = beam_search(requests, PLAIN)
    monkeypatch.setattr(beam, "SEQUENCES_AT_ONCE", SEQUENCES)
    compiled = beam._search._cache_size()
    more = np.arange(SEQUENCES + 5) % SEQUENCES
    apart = beam_search(jax.tree.map(lambda column: column[more], requests), PLAIN)
    np.testing.assert_array_equal(apart, together[more])
    assert beam._search._cache_size() == compiled


def test_the_way_is_the_share_of_what_could_be_gained():
    best, hindsight = np.array([6.0, 10.0, 8.0]), np.array([1.0, 3.0, 2.0])
    found = Bounds(best=best, clairvoyant=best, hindsight=hindsight, start=np.zeros((3, 1)))
    assert way(best, found, 0).mean == 0.0
    assert way(hindsight, found, 0).mean == 100.0
    gone = way(np.array([4.5, 8.0, 7.0]), found, 0)
    assert gone.mean == pytest.approx(100 * (24 - 19.5) / (24 - 6))
    assert gone.low < gone.mean < gone.high
    assert way(np.array([9.0, 9.0, 9.0]), found, 0).mean == pytest.approx(-100 * 3 / 18)


def test_without_room_there_is_no_way():
    best = np.array([5.0, 0.0, 0.0, 0.0])
    start = np.zeros((4, 1), np.int32)
    unsure = Bounds(best=best, clairvoyant=best, hindsight=np.zeros(4), start=start)
    assert way(best, unsure, 0) is None  # in a third of the resamples there is no room at all
    none = Bounds(best=best[:1], clairvoyant=best[:1], hindsight=best[:1], start=start[:1])
    assert way(best[:1], none, 0) is None
    single = replace(none, hindsight=np.array([4.0]))
    assert way(np.array([4.5]), single, 0).mean == 50.0
    assert way(np.array([4.5]), single, 0).low is None
    told = with_hindsight({"policies": {"first": {}}, "notes": []}, {"first": best}, unsure, 0)
    assert told["policies"] == {"first": {}}
    assert "left out" in told["notes"][-1]


def test_a_comparison_tells_the_bounds_apart_from_the_policies(requests):
    found = compare(["first", "worst"], PLAIN, sequences=SEQUENCES, hindsight=True)
    results = json.loads(json.dumps(found.results, allow_nan=False))
    known = {name: row["failed_requests"]["mean"] for name, row in results["hindsight"].items()}
    assert known["hindsight"] < known["clairvoyant"] < known["best"]
    assert list(results["policies"]) == ["first", "worst"]
    for row in results["policies"].values():
        gone = 100 * (known["best"] - row["failed_requests"]["mean"])
        gone /= known["best"] - known["hindsight"]
        assert row["gap_closed"]["mean"] == pytest.approx(gone)
    page = markdown_table(results)
    assert "| gap closed (%) |" in page
    assert "bounds, not policies" in page
    plain = compare(["first", "worst"], PLAIN, sequences=SEQUENCES).results
    assert "hindsight" not in plain
    assert "gap_closed" not in plain["policies"]["first"]


def test_the_command_writes_the_bounds_and_the_way(tmp_path, monkeypatch):
    """With an answer by hand: the three blocks that go lie side by side."""
    answer = np.array([[0, 3, 1, 4, 2, 5, 3]])
    monkeypatch.setattr(hindsight, "beam_search", lambda *_: answer)
    command = ["compare", "workload=scenario", "workload.layout=[]", "cells=6", "hindsight=true"]
    command += ['workload.sizes=[1,1,1,1,1,1,"free:2","free:4","free:6",3]']
    assert main([*command, "policies=[best,worst]", f"out={tmp_path}"]) == 0
    results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    known = {name: row["failed_requests"]["mean"] for name, row in results["hindsight"].items()}
    assert known["best"] == pytest.approx(100 / 7)
    assert known["hindsight"] == 0
    assert results["policies"]["best"]["gap_closed"]["mean"] == 0
    assert "gap closed (%)" in (tmp_path / "table.md").read_text(encoding="utf-8")


def test_sequences_that_are_too_long_are_refused_before_anything_is_written(tmp_path, capsys):
    with pytest.raises(ValueError, match="hindsight: a sequence of made has 8,193 requests"):
        check_searchable(replace(PLAIN, length=MOST_SEARCHED + 1))
    command = ["compare", "workload=trace", "workload.name=valgrind_sqlite3", "hindsight=true"]
    assert main([*command, f"out={tmp_path / 'run'}"]) == 2
    assert "19,309 requests; at most 8,192" in capsys.readouterr().err
    assert main(["compare", "hindsight=yes", f"out={tmp_path / 'run'}"]) == 2
    assert "hindsight is 'yes'; true or false" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
