"""Replays of recordings in arenas of any size, against an oracle in plain Python."""

import json
from pathlib import Path

import numpy as np
import pytest
from slow_replay import failures, high_water

from jaxmem.arena.hole_table import new_hole_table
from jaxmem.evaluation import replay as replay_module
from jaxmem.evaluation.replay import events_of, replay
from jaxmem.policies.orders import BOUNDED, ORDERED, rules_of
from jaxmem.workloads.requests import NEVER
from jaxmem.workloads.traces import Recording, read_trace

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


def replayed(recording, names, cells, threshold=0, alignment=1):
    events = events_of(recording, alignment)
    return replay(events, np.array(cells), rules_of(names, threshold))


@pytest.mark.parametrize("seed", range(40))
def test_high_water_marks_are_those_of_the_oracle(seed):
    recording = random_recording(seed)
    found = replayed(recording, GROWING, [0] * len(GROWING))
    lists = recording.size.tolist(), recording.lifetime.tolist()
    assert found.top.tolist() == [high_water(rule, *lists) for rule in GROWING]
    assert found.served.all()
    assert found.whole


@pytest.mark.parametrize("seed", range(40))
def test_requests_fail_in_bounded_arenas_where_those_of_the_oracle_do(seed):
    recording = random_recording(seed)
    threshold = int(np.median(recording.size))
    cells = [int(share * recording.peak_live) for share in (0.8, 1.0, 1.2)]
    names = [name for name in ORDERED for _ in cells]
    found = replayed(recording, names, cells * len(ORDERED), threshold)
    lists = recording.size.tolist(), recording.lifetime.tolist()
    for place, name in enumerate(names):
        expected = failures(name, *lists, cells[place % len(cells)], threshold)
        assert found.failed[place].tolist() == expected, (name, cells[place % len(cells)])
    assert found.failed.any()


def test_a_hole_that_touches_the_top_is_extended():
    # 4 units die below the top of 10; 5 do not fit, and take those 4 and one more.
    assert replayed(recording_of([6, 4, 5], [NEVER, 1, NEVER]), ["first"], [0]).top == [11]


def test_the_space_above_the_mark_comes_last():
    # A hole of 9 below the mark of 10, for 1 unit: it is no worse a fit than what lies above.
    for rule in GROWING:
        made = recording_of([9, 1, 1], [2, NEVER, NEVER])
        assert replayed(made, [rule], [0]).top == [10]


def test_a_free_at_the_time_of_an_allocation_comes_before_it():
    assert replayed(recording_of([5, 5, 5], [1, 1, 1]), ["first"], [0]).top == [5]


def test_sizes_are_rounded_up_to_the_alignment():
    recording = recording_of([1, 16, 17], [NEVER] * 3)
    events = events_of(recording, 16)
    assert events.units.tolist() == [1, 1, 2]
    assert events.peak_live == 4
    assert events.live.tolist() == [1, 2, 4]


def test_a_bounded_first_fit_needs_the_high_water_mark_of_the_unbounded():
    for seed in range(10):
        recording = random_recording(seed)
        top = int(replayed(recording, ["first"], [0]).top[0])
        assert replayed(recording, ["first"] * 2, [top, top - 1]).served.tolist() == [True, False]


def test_more_holes_than_slots_play_a_chunk_again(monkeypatch):
    monkeypatch.setattr(replay_module, "LEAST_SLOTS", 2)
    recording = random_recording(3, requests=400)
    lists = recording.size.tolist(), recording.lifetime.tolist()
    found = replayed(recording, GROWING, [0] * len(GROWING))
    assert found.top.tolist() == [high_water(rule, *lists) for rule in GROWING]


def test_tables_follow_the_holes_from_chunk_to_chunk(monkeypatch):
    monkeypatch.setattr(replay_module, "CHUNK", 64)
    monkeypatch.setattr(replay_module, "LEAST_SLOTS", 4)
    recording = random_recording(5, requests=600)
    lists = recording.size.tolist(), recording.lifetime.tolist()
    heard = []
    cells = [0, 0, recording.peak_live]
    found = replay(
        events_of(recording, 1),
        np.array(cells),
        rules_of(["best", "next", "worst"], 0),
        report=heard.append,
    )
    assert found.top[:2].tolist() == [high_water(rule, *lists) for rule in ("best", "next")]
    assert found.failed[2].tolist() == failures("worst", *lists, recording.peak_live)
    assert heard == sorted(heard)
    assert heard[-1] == 1.0


def test_a_replay_stops_when_all_arenas_have_failed(monkeypatch):
    monkeypatch.setattr(replay_module, "CHUNK", 16)
    recording = recording_of([5] + [1] * 99, [NEVER] * 100)
    events, rules = events_of(recording, 1), rules_of(["first", "best"], 0)
    stopped = replay(events, np.array([4, 6]), rules, until_all_fail=True)
    assert not stopped.whole
    assert stopped.served.tolist() == [False, False]
    assert replay(events, np.array([4, 104]), rules, until_all_fail=True).whole


def test_arenas_of_the_most_units():
    most = replay_module.MOST_UNITS
    assert most == 2**31 - 2
    with pytest.raises(ValueError, match=r"made has 2,147,483,647 units of 1 bytes .* alignment"):
        events_of(recording_of([most, 1], [NEVER, NEVER]), 1)
    whole = recording_of([most - 1, 1], [NEVER, NEVER])
    assert replayed(whole, GROWING, [0] * len(GROWING)).top.tolist() == [most] * len(GROWING)
    assert replayed(whole, ORDERED, [most] * len(ORDERED), threshold=1).served.all()
    # The hole below is one unit short, and that above by more.
    half = most // 2
    full = recording_of([half - 3, 10, half - 2], [2, NEVER, NEVER])
    for cells in (0, most):
        assert replayed(full, ["first"], [cells]).failed.tolist() == [[False, False, True]]


def test_an_unknown_rule_is_named_with_those_that_are_near():
    with pytest.raises(ValueError, match="unknown policy 'bets'; did you mean best"):
        rules_of(["bets"], 1)
    with pytest.raises(ValueError, match="slots must be at least 2, not 1"):
        new_hole_table(np.array([4]), 1)


def check_golden(golden_file, name: str) -> None:
    expected = json.loads(golden_file("traces.json").read_text())["traces"][name]
    recording = read_trace(DATA / name)
    events = events_of(recording, expected["alignment"])
    assert recording.events == expected["events"]
    found = replay(events, np.zeros(3, np.int64), rules_of(["first", "best", "worst"], 0))
    for rule, top in zip(("first", "best", "worst"), found.top.tolist(), strict=True):
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
