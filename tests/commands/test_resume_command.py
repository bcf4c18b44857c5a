"""`jaxmem train` can be killed at any time: the same folder goes on to the same files."""

import contextlib
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml
from rich.console import Console
from toy_learner import FEW_SEQUENCES, in_place_of_pqn

from jaxmem.cli import main
from jaxmem.commands.training_run import TrainingRun
from jaxmem.configuration import configure
from jaxmem.metrics import MetricsFile

TOY = ["learner=pqn", "learner.steps=512", "learner.arenas=8", "learner.rollout=8"]
TOY += ["learner.minibatches=4", "network.hidden_sizes=[4]", "workload=comb", "cells=32"]
TOY += ["sequences=8", *FEW_SEQUENCES, "policies=[best]", "checkpoint.seconds=0"]
REPORTS = 8  # of such a run, one after each update
SAME = ("policy.safetensors", "metrics.jsonl", "table.md")


class Killed(BaseException):
    """As little foreseen as a SIGKILL."""


@pytest.fixture(scope="module", autouse=True)
def toy():
    with in_place_of_pqn():
        yield


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def whole(toy, tmp_path_factory):
    """The files of a run that nothing disturbs; its folder has the same name, elsewhere."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    with contextlib.chdir(elsewhere):
        assert main(["train", *TOY, "out=run"]) == 0
    return {name: (elsewhere / "run" / name).read_bytes() for name in SAME}


def after_reports(monkeypatch, count, then):
    """Does something when the metrics file has `count` lines."""
    report, heard = MetricsFile.report, []

    def counted(self, member, at):
        report(self, member, at)
        heard.append(at)
        if len(heard) == count:
            then()

    monkeypatch.setattr(MetricsFile, "report", counted)


def kill():
    raise Killed


def files_of(folder):
    return {name: (folder / name).read_bytes() for name in SAME}


def test_a_killed_run_goes_on_to_the_same_files(whole, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as dying:
        after_reports(dying, 5, kill)
        with pytest.raises(Killed):
            main(["train", *TOY, "out=run"])
    left = tmp_path / "run"
    assert len((left / "metrics.jsonl").read_text(encoding="utf-8").splitlines()) == 5
    assert not (left / "results.json").exists()
    assert main(["train", "resume=run"]) == 0
    assert files_of(left) == whole
    results = json.loads((left / "results.json").read_text(encoding="utf-8"))
    assert results["command"].endswith("checkpoint.seconds=0 out=run")
    assert results["training"]["finished"] is True
    assert not (left / "checkpoints").exists()
    capsys.readouterr()
    assert main(["train", "resume=run"]) == 2
    assert "resume=run: that run is finished" in capsys.readouterr().err


def test_sigterm_saves_first_and_says_how_to_go_on(whole, tmp_path, monkeypatch, capsys, signals):
    with monkeypatch.context() as dying:
        after_reports(dying, 3, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert main(["train", *TOY, "checkpoint.seconds=1000", "out=run"]) == 143
    assert "jaxmem train resume=run goes on" in " ".join(capsys.readouterr().out.split())
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text(encoding="utf-8"))
    assert config["checkpoint"]["seconds"] == 1000
    assert main(["train", "resume=run"]) == 0
    found = files_of(tmp_path / "run")
    found["table.md"] = found["table.md"].replace(b" checkpoint.seconds=1000", b"")
    assert found == whole


def test_an_interrupted_run_has_results_and_goes_on(whole, tmp_path, monkeypatch, capsys, signals):
    with monkeypatch.context() as dying:
        after_reports(dying, 6, lambda: os.kill(os.getpid(), signal.SIGINT))
        assert main(["train", *TOY, "out=run"]) == 0
    left = tmp_path / "run"
    results = json.loads((left / "results.json").read_text(encoding="utf-8"))
    assert results["training"]["finished"] is False
    assert any(note.startswith("interrupted after") for note in results["notes"])
    assert "resume=run goes on" in " ".join(capsys.readouterr().out.split())
    assert main(["train", "resume=run"]) == 0
    assert files_of(left) == whole


def test_after_a_loss_that_is_not_finite_the_command_that_is_printed_works(capsys):
    """It is finished: there is nothing to resume, and what it has learnt is kept."""
    spoilt = ["learner.learning_rate=1e38", "learner.final_learning_rate=0.001"]
    assert main(["train", *TOY, *spoilt, "overwrite=true", "out=a run"]) == 0
    told = capsys.readouterr().out
    kept = "the loss was no longer finite; the best policy so far is kept"
    assert kept in " ".join(told.split())
    assert "resume=" not in told
    (printed,) = [line for line in told.splitlines() if line.startswith("jaxmem train ")]
    _, *words = shlex.split(printed)
    rates = ["learner.learning_rate=1e+37", "learner.final_learning_rate=0.0001"]
    assert words == ["train", *TOY, *rates]
    config = configure("train", words[1:])
    assert (config.out, config.learner.learning_rate) == (None, 1e37)
    assert main(["train", "resume=a run"]) == 2
    assert "that run is finished; its results are in a run" in capsys.readouterr().err


def test_how_to_go_on_is_told_as_a_shell_takes_it():
    config = configure("train", ["out=a run=1"])
    kept = TrainingRun(config, "jaxmem train", "train", "comb", Console(), anew=True)
    assert kept.how_to_go_on == "jaxmem train 'resume=a run=1'"


def test_what_a_stopped_run_left_is_not_overwritten_by_mistake(tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as dying:
        after_reports(dying, 2, kill)
        with pytest.raises(Killed):
            main(["train", *TOY, "out=run"])
    assert main(["train", *TOY, "out=run"]) == 2
    assert "holds a run that was stopped; resume=run goes on with it" in capsys.readouterr().err
    # Begun anew, with other settings, nothing of the old run is taken up.
    other = [*TOY, "learner.learning_rate=0.5", "overwrite=true", "checkpoint.finished=true"]
    assert main(["train", *other, "out=run"]) == 0
    lines = (tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == REPORTS
    assert "cannot be used" not in capsys.readouterr().out
    kept = list((tmp_path / "run" / "checkpoints").iterdir())
    assert 3 <= len(kept) <= 4


def test_a_lost_metrics_file_is_written_again(whole, tmp_path, monkeypatch):
    with monkeypatch.context() as dying:
        after_reports(dying, 6, kill)
        with pytest.raises(Killed):
            main(["train", *TOY, "out=run"])
    (tmp_path / "run" / "metrics.jsonl").write_text("{half a li", encoding="utf-8")
    assert main(["train", "resume=run"]) == 0
    assert files_of(tmp_path / "run") == whole


@pytest.mark.slow
def test_a_grid_goes_on_too(tmp_path, monkeypatch):
    many = [word for word in TOY if not word.startswith("policies")]
    many += ["seeds=2", "grid.arenas=[8,4]"]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["train", *many, "out=run"]) == 0
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as dying:
        after_reports(dying, 24, kill)  # in the second of two programs
        with pytest.raises(Killed):
            main(["train", *many, "out=run"])
    assert main(["train", "resume=run"]) == 0
    for name in ("table.md", "metrics.jsonl", "policy.safetensors"):
        ours, its = (folder / "run" / name for folder in (tmp_path, tmp_path / "elsewhere"))
        assert ours.read_bytes() == its.read_bytes()
    members = sorted(entry.name for entry in (tmp_path / "run" / "members").iterdir())
    assert members == [f"choice-{c}-seed-{s}" for c in range(2) for s in range(2)]
    results = json.loads((tmp_path / "run" / "results.json").read_text(encoding="utf-8"))
    assert len(results["members"]) == 4
    compared = [
        "compare",
        "workload=comb",
        "sequences=8",
        "policies=[best,run/members/choice-0-seed-1]",
    ]
    assert main([*compared, "out=compared"]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["resume=nowhere"], "resume=nowhere: no run to go on with; nowhere/config.yaml is not"),
        (["resume=other"], "other/config.yaml is of another version of jaxmem; differing: "),
        (["resume=broken"], "broken/config.yaml cannot be read"),
        (["resume=list"], "list/config.yaml cannot be read: config.yaml is no mapping"),
        (["resume=other", "seed=3"], "resume=other goes on with the settings of that run; seed"),
        (["checkpoint.seconds=-1"], "checkpoint.seconds is -1; a number of at least 0"),
        (["checkpoint.seconds=soon"], "checkpoint.seconds is 'soon'"),
        (["checkpoint.finished=2"], "finished is 2; true or false"),
        (["seeds=0"], "seeds is 0; a whole number of at least 1"),
        (["grid.learning_rate=3"], "grid.learning_rate is 3; a list of values"),
        (["grid.lerning_rate=[3]"], "has no 'grid.lerning_rate'; did you mean"),
        (["grid.gamma=[2]"], "learner.gamma is 2"),
        (["seeds=2", "policies=[best]"], "policies cannot be set beside seeds or grid"),
        (["devices=0"], "devices is 0; a whole number of at least 1"),
        (["devices=many"], "devices is 'many'"),
        (["hosts.count=2"], "hosts.index is None; a whole number from 0 to 1"),
        (["hosts.count=0"], "hosts.count is 0; a whole number from 1"),
        (["hosts.index=0"], "hosts.count is not set: hosts.index and hosts.address say nothing"),
        (["hosts.count=2", "hosts.index=0"], "hosts.address is None; HOST:PORT of the first"),
        (["hosts.count=2", "hosts.index=0", "hosts.address=here:0"], "hosts.address is 'here:0'"),
    ],
)
def test_what_cannot_be_is_one_clear_line(words, message, tmp_path, capsys):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.yaml").write_text("seed: 3\n", encoding="utf-8")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.yaml").write_bytes(b"a: [\xff\n")
    (tmp_path / "list").mkdir()
    (tmp_path / "list" / "config.yaml").write_text("- 1\n", encoding="utf-8")
    given = words if words[0].startswith("resume") else [*TOY[:-2], *words]
    assert main(["train", *given]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_run_killed_twenty_times_leaves_the_files_of_one_never_killed(tmp_path):
    """With SIGKILL, at random moments: while it starts, trains, validates and writes."""
    command = [sys.executable, "-c", "from jaxmem.cli import main; raise SystemExit(main())"]
    asked = ["train", "learner=pqn", "learner.steps=16000000", "workload=comb", "sequences=256"]
    asked += ["policies=[best,two_ended]", "checkpoint.seconds=0", "out=run"]
    ours, its = tmp_path / "killed", tmp_path / "whole"
    for folder in (ours, its):
        folder.mkdir()
    subprocess.run([*command, *asked], cwd=its, check=True, stdout=subprocess.DEVNULL)
    chance, deaths = random.Random(0), 0
    while True:
        begun = (ours / "run" / "config.yaml").exists()
        words = ["train", "resume=run"] if begun else asked
        metrics = ours / "run" / "metrics.jsonl"
        before = len(metrics.read_bytes().splitlines()) if metrics.exists() else 0
        process = subprocess.Popen([*command, *words], cwd=ours, stdout=subprocess.DEVNULL)
        if deaths < 20:
            early = chance.random() < 0.25
            until = time.monotonic() + (chance.uniform(0, 10) if early else 120)
            while process.poll() is None and time.monotonic() < until:
                lines = len(metrics.read_bytes().splitlines()) if metrics.exists() else 0
                if not early and lines > before:
                    time.sleep(chance.uniform(0, 2))
                    break
                time.sleep(0.05)
            if process.poll() is None:
                process.kill()
                deaths += 1
        if process.wait() == 0:
            break
        assert process.returncode == -signal.SIGKILL
    assert deaths > 10
    assert files_of(ours / "run") == files_of(its / "run")
    shutil.rmtree(ours)
