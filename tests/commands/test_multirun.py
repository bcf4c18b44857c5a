"""Runs by Hydra's launchers: what is started, what is left behind, what is said of failures."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from joblib.externals.loky import get_reusable_executor

from jaxmem.cli import main
from jaxmem.commands import compare, train
from jaxmem.commands.multirun.jobs import LONGEST_NAME, multirun_of
from jaxmem.configuration import configure
from jaxmem.run_folder import RunFolder

COMPARED = ("workload=comb", "sequences=4", "policies=[first,best]")
IN_LITTLE = ("cells=32", *COMPARED)
TINY = (
    *("learner.steps=2000", "learner.arenas=16", "learner.rollout=16"),
    *("workload=comb", "sequences=256", "policies=[best]"),
)
JOBS = ["learner=dqn,seed=0", "learner=dqn,seed=1", "learner=pqn,seed=0", "learner=pqn,seed=1"]
SLURM = Path(__file__).with_name("slurm")  # programs that do as SLURM's do, on this machine


def results_in(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def folders_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


@pytest.fixture
def workers(monkeypatch):
    """Ends the processes that joblib would keep for the next multirun."""
    # Where submitit sets up logging, it closes the handlers that there are: here those of pytest.
    monkeypatch.setenv("SUBMITIT_LOG_LEVEL", "NOCONFIG")
    yield
    get_reusable_executor().shutdown(wait=True)


@pytest.fixture
def runs(monkeypatch):
    """What `train` and `compare` are called with; each leaves results, at no cost.

    A job is stopped or fails where `how` has its seed: with a status, or an exception.
    """
    called: list[tuple[dict, str]] = []
    how: dict[int, int | Exception] = {}

    def instead(settings, command):
        config = settings.plain()
        called.append((config, command))
        ending = how.get(config["seed"], 0)
        if isinstance(ending, Exception):
            raise ending
        if config.get("resume") is not None:
            config = {**config, "out": config["resume"], "overwrite": True}
        with RunFolder("train", "nothing", config["out"], config["overwrite"]) as folder:
            if config.get("resume") is None:
                folder.write_config(config, command)
            if ending:
                folder.file("checkpoints").mkdir()
            else:
                folder.write_results({"training": {"finished": True}})
                if folder.file("checkpoints").exists():
                    folder.file("checkpoints").rmdir()
        return ending

    monkeypatch.setattr(train, "run", instead)
    monkeypatch.setattr(compare, "run", instead)
    instead.called, instead.how = called, how
    return instead


def test_every_combination_is_an_ordinary_run_in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["compare", "-m", "seed=0,1", *IN_LITTLE, "out=multirun"]) == 0
    assert folders_in(tmp_path) == ["multirun"]  # nothing of Hydra's own
    assert sorted(os.listdir("multirun")) == ["multirun.yaml", "seed=0", "seed=1"]
    assert sorted(os.listdir("multirun/seed=1")) == [
        *("comparison.png", "config.yaml", "fragmentation.png", "memory.png"),
        *("results.json", "sequences.npz", "table.md"),
    ]
    assert main(["compare", "seed=1", *IN_LITTLE, "out=alone"]) == 0
    one, alone = results_in(tmp_path / "multirun" / "seed=1"), results_in(tmp_path / "alone")
    assert one.pop("command") == (
        "jaxmem compare seed=1 cells=32 workload=comb sequences=4 'policies=[first,best]' "
        "out=multirun/seed=1"
    )
    alone.pop("command")
    assert one == alone
    record = Path("multirun/multirun.yaml").read_text(encoding="utf-8")
    assert record.startswith("# jaxmem compare -m seed=0,1 cells=32 workload=comb")
    assert yaml.safe_load(record) == {
        "launcher": "basic",
        "jobs": {f"seed={seed}": [f"seed={seed}", *IN_LITTLE] for seed in (0, 1)},
    }


@pytest.mark.parametrize("flag", ["-m", "--multirun"])
def test_a_multirun_without_a_folder_gets_one_under_runs(flag, runs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "learner=pqn,dqn", "seed=0,1", flag]) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("multirun-train-")
    assert folders_in(folder) == JOBS
    pairs = [(f"learner={name}", f"seed={seed}") for name in ("pqn", "dqn") for seed in (0, 1)]
    assert [config for config, _ in runs.called] == [
        configure("train", [*pair, f"out=runs/{folder.name}/{','.join(pair)}"]).plain()
        for pair in pairs
    ]
    assert f"jaxmem summarize runs/{folder.name}" in capsys.readouterr().out.replace("\n", "")


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_jobs_run_in_processes_of_their_own(launcher, tmp_path, monkeypatch, capfd, workers):
    monkeypatch.chdir(tmp_path)
    words = ["seed=0,1", *IN_LITTLE, "out=multirun", f"hydra/launcher={launcher}"]
    assert main(["compare", "-m", *words]) == 0
    assert folders_in(tmp_path) == ["multirun"]
    for seed in (0, 1):
        folder = tmp_path / "multirun" / f"seed={seed}"
        assert results_in(folder)["seed"] == seed
        assert "best-fit" in (folder / "output.txt").read_text(encoding="utf-8")
    heard = capfd.readouterr()
    assert "best-fit" not in heard.out
    assert heard.err == ""


@pytest.mark.slow
def test_a_job_that_fails_in_another_process_is_named(tmp_path, monkeypatch, capfd, workers):
    monkeypatch.chdir(tmp_path)
    words = ["cells=0,116", *COMPARED, "out=multirun", "hydra/launcher=joblib"]
    assert main(["compare", "-m", *words]) == 1
    assert results_in(tmp_path / "multirun" / "cells=116")["cells"] == 116
    heard = capfd.readouterr().err.splitlines()
    assert heard[0].startswith("jaxmem: cells=0 failed: cells is 0; an arena has 1 to")
    assert heard[1].startswith("jaxmem: 1 of 2 jobs failed: cells=0; the same command with")
    said = (tmp_path / "multirun" / "cells=0" / "output.txt").read_text(encoding="utf-8")
    assert said.startswith("jaxmem: cells is 0; an arena has 1 to")


@pytest.mark.slow
def test_a_training_that_cannot_be_loses_no_other(tmp_path, capsys):
    words = ["learner=pqn", "learner.minibatches=7,4", *TINY, f"out={tmp_path}"]
    assert main(["train", "-m", *words]) == 1
    assert results_in(tmp_path / "learner.minibatches=4")["training"]["finished"]
    assert not (tmp_path / "learner.minibatches=4" / "checkpoints").exists()
    heard = capsys.readouterr().err.splitlines()
    assert heard[0].startswith("jaxmem: learner.minibatches is 7; it must divide")
    assert heard[1].startswith("jaxmem: learner.minibatches=7 failed: learner.minibatches is 7")
    assert heard[2].startswith("jaxmem: 1 of 2 jobs failed: learner.minibatches=7; the same")


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib", "submitit_local"])
def test_two_learners_with_two_seeds_under_every_launcher(launcher, tmp_path, monkeypatch, workers):
    monkeypatch.chdir(tmp_path)
    words = ["learner=pqn,dqn", "seed=0,1", *TINY, "out=grid", f"hydra/launcher={launcher}"]
    if launcher == "joblib":
        words.append("hydra.launcher.n_jobs=2")
    assert main(["train", "-m", *words]) == 0
    assert [name for name in folders_in(Path("grid")) if not name.startswith(".")] == JOBS
    assert main(["summarize", "grid"]) == 0
    summary = json.loads(Path("grid/summary.json").read_text(encoding="utf-8"))
    assert sorted(row["settings"]["learner"] for row in summary["rows"]) == ["dqn", "pqn"]
    assert all(row["seeds"] == [0, 1] for row in summary["rows"])


def test_a_job_that_fails_loses_no_other(runs, tmp_path, capsys):
    runs.how |= {0: ValueError("odd\nthing"), 2: RuntimeError()}
    assert main(["train", "-m", "seed=0,1,2,3", f"out={tmp_path}"]) == 1
    assert [config["seed"] for config, _ in runs.called] == [0, 1, 2, 3]
    heard = capsys.readouterr().err
    assert "Traceback" in heard
    assert heard.splitlines()[-3:] == [
        "jaxmem: seed=0 failed: ValueError: odd thing",
        "jaxmem: seed=2 failed: RuntimeError:",
        f"jaxmem: 2 of 4 jobs failed: seed=0, seed=2; the same command with out={tmp_path} runs "
        "them again",
    ]


def test_the_same_command_again_runs_what_is_missing(runs, tmp_path, capsys):
    words = ["train", "-m", "seed=0,1", f"out={tmp_path}"]
    runs.how[1] = ValueError("full disk")
    assert main(words) == 1
    assert not (tmp_path / "seed=1" / "results.json").exists()
    runs.how.clear(), runs.called.clear(), capsys.readouterr()
    assert main(words) == 0
    assert [config["seed"] for config, _ in runs.called] == [1]
    assert "seed=0: finished before, and kept" in capsys.readouterr().out
    runs.called.clear()
    assert main(words) == 0
    assert runs.called == []
    assert main([*words, "overwrite=true"]) == 0
    assert [config["seed"] for config, _ in runs.called] == [0, 1]


def test_a_job_that_was_stopped_ends_the_multirun_and_goes_on_later(runs, tmp_path, capsys):
    words = ["train", "-m", "seed=0,1", "cells=50", f"out={tmp_path}"]
    runs.how[0] = 143
    assert main(words) == 143
    assert [config["seed"] for config, _ in runs.called] == [0]  # the rest waits
    assert f"the same command with out={tmp_path} goes on" in capsys.readouterr().err
    runs.how.clear(), runs.called.clear()
    assert main(words) == 0
    assert "seed=0: was stopped, and goes on" in capsys.readouterr().out
    first, second = (config for config, _ in runs.called)
    # As `jaxmem train resume=DIR` alone, which takes everything else from the folder.
    assert (first["resume"], first["cells"], first["out"]) == (f"{tmp_path}/seed=0", None, None)
    assert (second["resume"], second["cells"], second["seed"]) == (None, 50, 1)


def test_an_interruption_ends_the_multirun(runs, tmp_path, capsys, monkeypatch):
    def interrupted(config, command):
        raise KeyboardInterrupt

    monkeypatch.setattr(compare, "run", interrupted)
    assert main(["compare", "-m", "seed=0,1", f"out={tmp_path}"]) == 130
    assert folders_in(tmp_path) == ["seed=0"]
    assert f"stopped; the same command with out={tmp_path} goes on" in capsys.readouterr().err


def test_a_folder_with_other_settings_is_not_taken_for_the_same(runs, tmp_path, capsys):
    assert main(["train", "-m", "seed=0,1", "cells=50", f"out={tmp_path}"]) == 0
    runs.called.clear()
    assert main(["train", "-m", "seed=1,2", "cells=60", "learner=pqn", f"out={tmp_path}"]) == 2
    assert runs.called == []
    heard = capsys.readouterr().err
    assert f"{tmp_path}/seed=1 holds a run with another cells, learner." in heard
    assert not (tmp_path / "seed=2").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "-m", "seed=0,1", "resume=runs/a"], "'resume=runs/a': a multirun has many runs"),
        (["train", "-m", "learner=pqn,dqm"], "unknown learner 'dqm'"),
        (["train", "-m", "learner=pqn,dqn", "learner.lambda_=0.9"], "no 'learner.lambda_'"),
        (["train", "-m", "seeds=2,"], "'seeds=2,' is not an override"),
        (["train", "-m", "seed=1,1"], "'seed=1,1' has the same value twice"),
        (["train", "-m", "seed=interval(0,1)"], "'seed=interval(0,1)' has no end of values"),
        (["train", "-m", "learner=glob(x*)"], "'learner=glob(x*)' stands for no value at all"),
        (["train", "-m", "seed=0,1", "hydra.sweep.dir=a"], "of Hydra's own settings, hydra/laun"),
        (["train", "-m", "hydra/launcher=joblib,basic"], "one launcher starts all jobs"),
        (["train", "-m", "seed=0,1", "hydra/launcher=jobs"], "unknown hydra/launcher 'jobs'"),
        (["train", "-m", "hydra/launcher=joblib", "hydra.launcher.njobs=2"], "launcher.njobs"),
        (["train", "-m", "out='a','b'"], "one folder is for all jobs"),
        (["train", "-m", "out=/dev/null/x"], "out=/dev/null/x cannot be written"),
        (["bench", "-m", "rounds=1,2"], "jaxmem bench takes no -m; train and compare do"),
        (["train", "seed=0,1"], "'seed=0,1' stands for several values; jaxmem train -m"),
        (["compare", "hydra/launcher=joblib"], "no 'hydra/launcher'"),
    ],
)
def test_what_cannot_be_swept_is_refused_before_anything_starts(
    arguments, said, runs, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    heard = capsys.readouterr()
    assert heard.out == ""
    assert heard.err.startswith("jaxmem: ")
    assert heard.err.count("\n") == 1
    assert said in heard.err
    assert runs.called == []
    assert list(tmp_path.iterdir()) == []


def test_a_run_folder_is_not_used_for_a_multirun(runs, tmp_path, capsys):
    assert main(["train", f"out={tmp_path}"]) == 0
    assert main(["train", "-m", "seed=0,1", f"out={tmp_path}"]) == 2
    assert "a multirun needs a folder of its own" in capsys.readouterr().err


def test_names_are_made_of_what_differs_and_are_safe_in_a_path():
    def names(*words):
        return [job.name for job in multirun_of("train", words).jobs]

    assert names("cells=50,60", "seed=3") == ["cells=50", "cells=60"]
    assert names("cells=50", "seed=3") == ["cells=50,seed=3"]
    assert names() == ["run"]
    assert names("learner=dqn/classic,pqn") == ["learner=dqn-classic", "learner=pqn"]
    assert names("seed=range(0,3)") == ["seed=0", "seed=1", "seed=2"]
    assert names("learner=glob(*qn)") == ["learner=dqn", "learner=pqn"]
    assert names("network.hidden_sizes=[8],[8,8]") == [
        "network.hidden_sizes=8",
        "network.hidden_sizes=8,8",
    ]
    assert names("grid.learning_rate=[1e-3],[3e-4]") == [
        *("grid.learning_rate=0.001", "grid.learning_rate=0.0003")
    ]
    assert names("policies=[../first],[.../first]") == [
        *("policies=..-first", "policies=...-first")
    ]
    alike = names("policies=[a/b],[a:b],[A/B]", "seed=0,1")
    long = names("policies=[" + "x" * 200 + "],[" + "x" * 201 + "]")
    for made in (alike, long):
        assert len({name.casefold() for name in made}) == len(made)
        assert all(len(name) <= LONGEST_NAME + 9 and "/" not in name for name in made)


def test_out_and_resume_are_taken_as_they_stand(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = "runs/learner=pqn,seed=0"
    assert main(["train", f"out={folder}"]) == 0
    assert main(["train", f"resume={folder}"]) == 0
    assert main(["train", "out='quoted'"]) == 0
    assert [config["out"] for config, _ in runs.called] == [folder, None, "quoted"]
    assert runs.called[1][0]["resume"] == folder


def test_the_program_that_launches_does_not_import_jax(tmp_path):
    code = (
        "import sys; from jaxmem.cli import main; status = main(sys.argv[1:]);"
        "assert status == 2, status; assert 'hydra_plugins.hydra_submitit_launcher' in sys.modules;"
        "print('jax' in sys.modules, 'submitit' in sys.modules)"
    )
    words = ["train", "-m", "hydra/launcher=submitit_local", "out=/dev/null/x"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.stdout == "False False\n", done.stderr


@pytest.mark.slow
def test_a_multirun_goes_through_slurm(tmp_path, monkeypatch, workers):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{SLURM}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("JAXMEM_TEST_SLURM", str(tmp_path))
    words = ["seed=0,1", *COMPARED, "out=multirun", "hydra/launcher=slurm_gpu"]
    words += ["hydra.launcher.partition=gpu", "hydra.launcher.timeout_min=30"]
    assert main(["compare", "-m", *words]) == 0
    assert folders_in(tmp_path) == ["multirun"]
    assert [results_in(Path(f"multirun/seed={seed}"))["seed"] for seed in (0, 1)] == [0, 1]
    batch = (tmp_path / "batch.sh").read_text(encoding="utf-8").splitlines()
    for asked in ("partition=gpu", "gpus-per-node=1", "time=30", "mem=16GB", "signal=USR2@120"):
        assert f"#SBATCH --{asked}" in batch
