"""The bench as a whole: what is measured, what is left behind, and how it ends."""

import json
import os
import shlex
import sys

import pytest
import yaml

from jaxmem.benchmark import throughput
from jaxmem.benchmark.learning import Evaluation, Training, evaluated
from jaxmem.benchmark.references import REFERENCES
from jaxmem.benchmark.rollouts import Setting
from jaxmem.benchmark.throughput import Plan, measure_throughput
from jaxmem.benchmark.timing import time_for
from jaxmem.cli import main
from jaxmem.commands.bench import plan_of, shortened
from jaxmem.configuration import configure
from jaxmem.policies import policy
from jaxmem.settings.learner import PQNConfig

TINY = ("cells=[20]", "arenas=[4]", "rounds=2", "seconds=0.01")
SPREAD = {"median", "low", "high"}


def results_in(folder):
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def settings_of(*overrides):
    return plan_of(configure("bench", overrides)).settings


@pytest.fixture(
    scope="module",
    params=[("numba", "gymnax"), pytest.param((), marks=pytest.mark.slow)],
    ids=["without-two-packages", "as-the-machine-is"],
)
def missing(request):
    """The packages that the bench does not find."""
    return request.param


@pytest.fixture(scope="module")
def folder(tmp_path_factory, missing):
    """A tiny bench with every other reference that this machine has, but no learner."""
    folder = tmp_path_factory.mktemp("bench")
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name in missing:
            monkeypatch.setitem(sys.modules, name, None)
        assert main(["bench", *TINY, "training=false", f"out={folder}"]) == 0
    return folder


def test_a_bench_leaves_a_whole_run_folder(folder):
    assert sorted(os.listdir(folder)) == [
        "config.yaml",
        "results.json",
        "table.md",
        "throughput_arenas.png",
        "throughput_cells.png",
    ]
    assert yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))["cells"] == [20]
    assert results_in(folder)["command"].startswith("jaxmem bench 'cells=[20]' 'arenas=[4]'")


def test_every_setting_is_measured_with_its_ratios(folder):
    results = results_in(folder)
    assert set(results["versions"]) >= {"jax", "numpy", "jaxmem"}
    assert "CPU cores" in results["device"]
    rows = results["environment"]
    assert [row["observation"] for row in rows] == ["bitmap", "none"]
    for row in rows:
        assert (row["cells"], row["arenas"], row["policy"]) == (20, 4, "best")
        assert row["representation"] == "unrolled"
        assert row["compile_seconds"] > 0
        assert row["bytes_per_arena"] > 0
        for name in ("steps_per_second", "per_cpu_second"):
            assert set(row[name]) == SPREAD
            assert 0 < row[name]["low"] <= row[name]["median"] <= row[name]["high"]
        assert list(row["ratio"]) == list(REFERENCES)
        for name, ratio in row["ratio"].items():
            assert (ratio is None) == (name in results["reasons"])
            assert ratio is None or ratio > 0


def test_every_reference_is_measured_or_says_why_not(folder, missing):
    results = results_in(folder)
    measured = [
        (row["name"], row["cells"], row["arenas"], row["observation"])
        for row in results["references"]
    ]
    wanted = [
        *(("python_loop", 20, 1, observation) for observation in ("bitmap", "none")),
        *((name, 20, 4, seen) for name in ("numpy", "numba", "c") for seen in ("bitmap", "none")),
        ("cartpole", None, 4, None),
    ]
    if missing:
        assert {"numba", "cartpole"} <= set(results["reasons"])
    assert set(measured) == {key for key in wanted if key[0] not in results["reasons"]}
    assert len(measured) == len(set(measured))
    assert all(set(row["per_cpu_second"]) == SPREAD for row in results["references"])


def test_what_is_not_measured_has_a_reason(folder):
    results = results_in(folder)
    assert results["training"] is None
    assert results["evaluation"] == []
    assert results["reasons"]["training"] == "not asked for: training is false"


def test_the_learner_and_evaluation_are_measured_in_the_rounds(monkeypatch):
    class Learner:
        steps, compile_seconds = 64, 1.5
        config = PQNConfig()

        def once(self):
            pass

    class Judge(Learner):
        sequences = 256

        def __init__(self, player):
            self.policy = player

    monkeypatch.setattr(throughput, "Training", Learner)
    monkeypatch.setattr(throughput, "Evaluation", Judge)
    plan = Plan(policy("worst"), (Setting(8, 2, "none"),), rounds=2, seconds=1e-4, references=False)
    heard = []
    found = measure_throughput(plan, heard.append)
    training = found["training"]
    assert set(training.pop("steps_per_second")) == SPREAD
    assert set(training.pop("per_cpu_second")) == SPREAD
    assert training == {
        "learner": "pqn",
        "workload": "large-short-lived",
        "arenas": 128,
        "rollout": 64,
        "compile_seconds": 1.5,
    }
    assert [(row["policy"], row["sequences"]) for row in found["evaluation"]] == [
        ("best", 256),
        ("learned", 256),
    ]
    assert found["references"] == []
    assert found["reasons"] == {"references": "not asked for: references is false"}
    assert set(found["environment"][0]["ratio"].values()) == {None}
    assert heard[0] == "compiling jaxmem, 2 arenas of 8 cells"
    assert heard[-1] == "round 2 of 2, program 4 of 4"


@pytest.mark.slow
def test_the_real_learner_and_evaluation_can_be_timed():
    for program in (Training(), *map(Evaluation, evaluated())):
        assert time_for(program, 0.01).per_second > 1000


def test_sizes_are_not_multiplied_by_each_other():
    sizes = [(100, 1024), (64, 1024), (256, 1024), (1024, 1024), (4096, 1024)]
    sizes += [(100, 1), (100, 32), (100, 8192), (100, 65536)]
    assert settings_of() == tuple(
        Setting(*size, observation) for observation in ("bitmap", "none") for size in sizes
    )


def test_what_is_given_twice_is_measured_once():
    found = settings_of("cells=[8,8]", "arenas=[2,2]", "observation=[none,none]")
    assert found == (Setting(8, 2, "none"),)


def test_quick_changes_only_what_the_command_does_not_set():
    overrides = ["quick=true", "cells=[32]", "training=true"]
    quick = shortened(configure("bench", overrides), shlex.join(["jaxmem", "bench", *overrides]))
    assert (quick.cells, quick.training) == ((32,), True)
    assert quick.arenas == (1024, 8192)
    assert (quick.rounds, quick.seconds) == (3, 0.2)
    assert quick.references is True
    assert shortened(configure("bench", []), "jaxmem bench").training is False


def test_an_interruption_ends_the_bench_with_130(monkeypatch, tmp_path, capsys):
    def interrupted(program, seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(throughput, "time_for", interrupted)
    command = ["bench", *TINY, "observation=[none]", "references=false", "training=false"]
    assert main([*command, f"out={tmp_path}"]) == 130
    assert capsys.readouterr().err == "jaxmem: interrupted\n"
    assert os.listdir(tmp_path) == ["config.yaml"]
