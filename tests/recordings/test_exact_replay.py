"""Replays of recordings in arenas of any size, against an oracle in plain Python."""

import json
from pathlib import Path

import numpy as np
import pytest
from repetition import slow
from slow_replay import failures, high_water

from jaxmem.arena.arena import NEVER
from jaxmem.arena.making import BITMAP_CELLS
from jaxmem.evaluation.run import run
from jaxmem.policies import policy
from jaxmem.recordings import Recording, read_trace
from jaxmem.recordings import replay as replay_module
from jaxmem.recordings.hole_table import new_hole_table
from jaxmem.recordings.orders import order_of
from jaxmem.recordings.replay import events_of, replay
from jaxmem.rules import BOUNDED, ORDERED
from jaxmem.workloads.registry import Workload
from jaxmem.workloads.requests import requests_of

GROWING = [name for name in ORDERED if name not in BOUNDED]
DATA = Path(__file__).parents[3] / "shared" / "data"


def recording_of(size, lifetime) -> Recording:
    return Recording("made", np.array(size, np.int64), np.array(lifetime, np.int64))


def random_recording(seed: int, requests: int = 120) -> Recording:
    """Few or many sizes, short and long lifetimes, some blocks that are never freed."""
    random = np.random.default_rng(seed)
    most = int(random.choice([3, 12, 100]))
    lifetime = random.geometric(1 / random.choice([2, 10, 40]), requests)
    lifetime[random.random(requests) < 0.05] = NEVER
    return recording_of(random.integers(1, most + 1, requests), lifetime)


def played(recording, name, cells=0, threshold=0, **options):
    return replay(events_of(recording, 1), cells, order_of(name, threshold), **options)


def lists_of(recording) -> tuple[list[int], list[int]]:
    return recording.size.tolist(), recording.lifetime.tolist()


@pytest.mark.parametrize("seed", [*range(6), *slow(*range(6, 40))])
def test_high_water_marks_are_those_of_the_oracle(seed):
    recording = random_recording(seed)
    for rule in GROWING:
        found = played(recording, rule)
        assert found.top == high_water(rule, *lists_of(recording)), rule
        assert found.served


@pytest.mark.parametrize("seed", [*range(6), *slow(*range(6, 40))])
def test_requests_fail_in_bounded_arenas_where_those_of_the_oracle_do(seed):
    recording = random_recording(seed)
    threshold = int(np.median(recording.size))
    lost = 0
    for rule in ORDERED:
        for share in (0.8, 1.0, 1.2):
            cells = int(share * recording.peak_live)
            found = played(recording, rule, cells, threshold)
            expected = failures(rule, *lists_of(recording), cells, threshold)
            assert found.failed.tolist() == expected, (rule, cells)
            lost += int(found.failed.sum())
    assert lost > 0


def test_the_block_table_fails_the_same_requests():
    recording = random_recording(1, requests=300)
    size, cells = recording.size * 100, 100 * recording.peak_live
    requests = requests_of(size[None], recording.lifetime[None])
    task = Workload("made", cells, draw=lambda *_: requests, length=300, warmup=0, fixed=True)
    assert cells > BITMAP_CELLS
    wider = recording_of(size, recording.lifetime)
    for rule in GROWING:
        start = run(policy(rule), requests, task).start[0]
        found = played(wider, rule, cells)
        assert found.failed.tolist() == (start < 0).tolist(), rule
        assert found.failed.any()


@pytest.mark.parametrize("rule", GROWING)
def test_the_space_above_the_highest_block_comes_last(rule):
    # 1 unit goes into the hole of 9 below it, however badly that fits.
    assert played(recording_of([9, 1, 1], [2, NEVER, NEVER]), rule).top == 10
    # 4 units die at the top: it is lower now, and 5 start there.
    assert played(recording_of([6, 4, 5], [NEVER, 1, NEVER]), rule).top == 11


def test_best_fit_prefers_a_hole_between_blocks_to_a_tighter_one_at_the_top():
    # Holes of 5 below a block and of 2 at the top, below the mark; 2 units take the first.
    size, lifetime = [5, 1, 2, 2, 5], [3, NEVER, 1, NEVER, NEVER]
    assert played(recording_of(size, lifetime), "best").top == 11
    # In a bounded arena the top is a hole like others, and the tighter one.
    assert played(recording_of(size, lifetime), "best", 8).served


def test_a_free_at_the_time_of_an_allocation_comes_before_it():
    assert played(recording_of([5, 5, 5], [1, 1, 1]), "first").top == 5


def test_sizes_are_rounded_up_to_the_alignment():
    recording = recording_of([1, 16, 17], [NEVER] * 3)
    events = events_of(recording, 16)
    assert events.units.tolist() == [1, 1, 2]
    assert events.peak_live == 4
    assert events.live.tolist() == [1, 2, 4]


def test_a_bounded_first_fit_needs_the_high_water_mark_of_the_unbounded():
    for seed in range(10):
        recording = random_recording(seed)
        top = played(recording, "first").top
        assert played(recording, "first", top).served
        assert not played(recording, "first", top - 1).served


@pytest.mark.parametrize("rule", GROWING)
def test_tables_follow_the_holes_from_chunk_to_chunk(rule, monkeypatch):
    monkeypatch.setattr(replay_module, "EVENTS_PER_CHUNK", 64)
    monkeypatch.setattr(replay_module, "LEAST_SLOTS", 2)
    recording = random_recording(5, requests=600)
    heard = []
    found = played(recording, rule, report=heard.append)
    assert found.top == high_water(rule, *lists_of(recording))
    assert found.most_holes > 4
    assert heard == sorted(heard)
    assert heard[-1] == 1.0
    expected = failures(rule, *lists_of(recording), recording.peak_live)
    assert played(recording, rule, recording.peak_live).failed.tolist() == expected


def test_a_replay_stops_soon_after_the_first_failure(monkeypatch):
    monkeypatch.setattr(replay_module, "EVENTS_PER_CHUNK", 16)
    recording = recording_of([5] + [1] * 99, [NEVER] * 100)
    stopped = played(recording, "first", 10, until_failure=True)
    assert stopped.failed.tolist() == [False] * 6 + [True] * 10 + [False] * 84
    assert not stopped.served
    assert played(recording, "first", 104, until_failure=True).served
    assert played(recording, "first", 10).failed.sum() == 94


def test_what_is_told_of_a_replay_can_end_it():
    def interrupt(share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        played(random_recording(0), "first", report=interrupt)


def test_arenas_of_the_most_units():
    most = replay_module.MOST_UNITS
    assert most == 2**31 - 2
    with pytest.raises(ValueError, match=r"made has 2,147,483,647 units of 1 bytes .* alignment"):
        events_of(recording_of([most, 1], [NEVER, NEVER]), 1)
    whole = recording_of([most - 1, 1], [NEVER, NEVER])
    assert [played(whole, rule).top for rule in GROWING] == [most] * len(GROWING)
    assert all(played(whole, rule, most, threshold=1).served for rule in ORDERED)
    # The hole below is one unit short, and that above by more.
    half = most // 2
    full = recording_of([half - 3, 10, half - 2], [2, NEVER, NEVER])
    for cells in (0, most):
        assert played(full, "first", cells).failed.tolist() == [False, False, True]


def test_an_unknown_rule_is_named_with_those_that_are_near():
    with pytest.raises(ValueError, match="unknown policy 'bets'; did you mean best"):
        order_of("bets")
    with pytest.raises(ValueError, match="slots must be at least 2, not 1"):
        new_hole_table(4, 1)


def check_golden(golden_file, name: str) -> None:
    expected = json.loads(golden_file("traces.json").read_text())["traces"][name]
    recording = read_trace(DATA / name)
    events = events_of(recording, expected["alignment"])
    assert recording.events == expected["events"]
    for rule in ("first", "best", "worst"):
        top = replay(events, 0, order_of(rule)).top
        assert round(top / events.peak_live, 6) == expected[rule], rule


SMALL = [
    *(f"minimalloc/challenging_{letter}.1048576.csv" for letter in "ABCDEF"),
    "minimalloc/input.12.csv",
    "idealloc/resnet50.csv",
    "recorded/torch_cpu_mlp_train.csv",
    "recorded/xla_cpu_jax_convnet_train.csv",
    "recorded/xla_cpu_jax_transformer_train.csv",
    "recorded/xla_cpu_jax_convnet_infer.csv",
    "pytorch_cuda/medium_256_inference.csv.gz",
]
LARGE = [
    "recorded/torch_cpu_transformer_varlen_train.csv",
    "recorded/valgrind_sqlite3.csv.gz",
    "pytorch_cuda/medium_128_training.csv.gz",
]


@pytest.mark.parametrize("name", SMALL)
def test_the_figures_of_the_golden_file(golden_file, name):
    check_golden(golden_file, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_the_figures_of_the_golden_file_for_longer_recordings(golden_file, name):
    check_golden(golden_file, name)


def test_every_recording_of_the_golden_file_is_checked(golden_file):
    known = json.loads(golden_file("traces.json").read_text())["traces"]
    assert set(known) == {*SMALL, *LARGE}
