"""The program as a newcomer meets it: what it says, what it refuses, what it leaves behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from toy_learner import FEW_SEQUENCES, in_place_of_pqn

from jaxmem.cli import main
from jaxmem.commands import render
from jaxmem.policies.policy_file import read_policy
from jaxmem.verbs import VERBS

SHARED = Path(__file__).resolve().parents[3] / "shared"
CASE_0 = (
    "workload=scenario",
    "workload.layout=[[5,10],[25,5],[40,15],[65,5],[80,15]]",
    "workload.sizes=[8,12,5,9,11,4,6]",
    "cells=100",
    "policies=[first,second,best,worst]",
)
TINY = (
    *("learner=pqn", "learner.steps=2000", *FEW_SEQUENCES),
    *("learner.arenas=16", "learner.rollout=16", "learner.minibatches=4"),
)


def results_in(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def test_help_names_every_verb(capsys):
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert all(verb in shown for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_has_examples_and_every_setting(verb, capsys):
    assert main([verb, "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(example in shown for example in VERBS[verb].examples)
    settings = yaml.safe_load(
        (Path(__file__).resolve().parents[2] / "conf" / f"{verb.replace(' ', '_')}.yaml").read_text(
            encoding="utf-8"
        )
    )
    assert all(f"\n{name}:" in shown for name in settings)


def test_the_version_is_that_of_the_package(capsys):
    import jaxmem

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"jaxmem {jaxmem.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["traain"], "unknown command 'traain'; one of train, train runs, search, compare, bench"),
        (["train", "runs"], "train runs: write jaxmem train workload=runs"),
        (["trace"], "trace: one of trace import"),
        (["compare", "workload=large-shortlived"], "did you mean large-short-lived"),
        (["compare", "workload=large-short-lived", "policies=[bset]"], "did you mean best"),
        (["compare", "policies=[]"], "no policy to compare"),
        (["compare", "policies=best"], "policies is 'best'; a list of names"),
        (["compare", "policies=[best,best]"], "policy best is given twice"),
        (["compare", "policies=[best,missing.safetensors]"], "missing.safetensors: no such"),
        (["compare", "reference=worst", "policies=[best]"], "reference 'worst' is not compared"),
        (["compare", "sequencs=3"], "no 'sequencs'; did you mean sequences"),
        (["compare", "workload.slack=2"], "no 'workload.slack'"),
        (["compare", "measures=[failed_request]"], "did you mean failed_requests"),
        (["compare", "measures=[utilization]"], "measures must have failed_requests"),
        (["compare", "seed"], "'seed' is not an override; write key=value"),
        (["compare", "seed=["], "'seed=[' is not an override"),
        (["compare", "seed=-1"], "seed is -1"),
        (["compare", "sequences=0"], "sequences is 0"),
        (["compare", "sequences=many"], "sequences is 'many'"),
        (["compare", "cells=0"], "cells is 0; a whole number of at least 1, below 2^31"),
        (["compare", "cells=-5"], "cells is -5"),
        (["compare", "cells=2147483648"], "cells is 2147483648"),
        (["compare", "cells=nan"], "cells is nan"),
        (["compare", "cells=ten"], "cells is 'ten'"),
        (["compare", "overwrite=maybe"], "overwrite is 'maybe'; true or false"),
        (["compare", "workload.capacity=0"], "capacity is 0"),
        (["compare", "workload=scenario", "workload.sizes=[]"], "no request"),
        (["compare", "workload=scenario", "workload.sizes=[0]"], "sizes"),
        (["compare", "workload=scenario", "workload.sizes=[101]"], "sizes"),
        (["compare", "workload=scenario", "workload.sizes=[nan]"], "sizes"),
        (["compare", "workload=scenario", 'workload.sizes=[8,"free:2"]'], "free:2"),
        (["compare", "workload=scenario", "workload.layout=[[0,5],[4,2]]"], "overlap"),
        (["compare", "workload=scenario", "workload.layout=[[98,5]]"], "arena"),
        (["compare", "workload=trace"], "workload.path=FILE or workload.name=RECORDING"),
        (["compare", "workload=trace", "workload.path=none.csv"], "none.csv"),
        (["compare", "workload=trace", "workload.name=torch_mlp"], "did you mean torch_cpu_mlp"),
        (["train", "workload=scenario"], "one fixed sequence"),
        (["train", "learner=dqm"], "unknown learner 'dqm'"),
        (["train", "learner=pqn", "learner.steps=-4"], "learner.steps is -4"),
        (["train", "learner=pqn", "learner.gamma=nan"], "learner.gamma is nan"),
        (["train", "learner=pqn", "learner.minibatches=7"], "must divide"),
        (["train", "learner.horizon=0"], "learner.horizon is 0"),
        (["train", "learner.steps=9"], "no 'learner.steps'"),
        (["train", "learner=dqn/clasic"], "did you mean dqn/classic"),
        (["train", "learner=dqn", "learner.batch=1000000"], "learner.batch is 1000000; at most"),
        (["train", "network=mlp"], "network.name is 'mlp'; this learner trains scorer"),
        (["train", "learner=dqn/classic", "cells=5000"], "go up to 4096 cells"),
        (["train", "network.hidden_sizes=[]"], "network.hidden_sizes is []"),
        (
            ["train", "network.hidden_feature_groups=[places]"],
            "network.hidden_feature_groups is ['places']; a list of any of hole",
        ),
        (
            ["train", "learner=dqn", "network=mlp", "network.hidden_feature_groups=[hole]"],
            "no 'network.hidden_feature_groups'",
        ),
        (["train", "environment.reward=happiness"], "reward must be one of failures"),
        (["train", "environment.holes=0"], "holes must be a whole number of at least 1"),
        (["train", "policies=[learned]"], "unknown policy 'learned'"),
        (["bench", "cells=[5000]"], "cells is [5000]"),
        (["bench", "arenas=[]"], "arenas is []"),
        (["bench", "seconds=0"], "seconds is 0"),
        (["bench", "policy=bset"], "did you mean best"),
        (["bench", "observation=[]"], "observation is []; a list of one or more names"),
        (["bench", "observation=[bitmaps]"], "observation is 'bitmaps'; it must be of none"),
        (["bench", "observation=[packed]"], "observation packed is measured with policy=first"),
        (["bench", "representation=rolled"], "representation is 'rolled'; it must be one of auto"),
        (["bench", "references=some"], "references is 'some'; true or false"),
        (["bench", "quick=1"], "quick is 1; true or false"),
        (["render", "seconds=0"], "seconds is 0; a number above 0, at most 120"),
        (["render", "requests=0"], "requests is 0; a whole number of at least 1"),
        (["render", "gif=1"], "gif is 1; true or false"),
        (["compare", "learner=pqn"], "jaxmem compare has no learner to choose; set one of cells,"),
        (["render", "policies=[bset]"], "did you mean best"),
        (["render", "workload=memorylos"], "did you mean memoryless"),
        (["demo", "port=0"], "port is 0; a whole number from 1 to 65,535"),
        (["demo", "port=true"], "port is True"),
        (["demo", "upload=1000"], "upload is 1000; a whole number from 1 to 200"),
        (["demo", "address=null"], "address is None; localhost, or an address of this machine"),
        (["demo", "adress=localhost"], "did you mean address"),
    ],
)
def test_bad_input_is_refused_in_one_line(arguments, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    heard = capsys.readouterr()
    assert heard.out == ""
    assert heard.err.startswith("jaxmem: ")
    assert heard.err.count("\n") == 1
    assert said in heard.err
    assert list(tmp_path.iterdir()) == []  # nothing half-written


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("", "empty"),
        ("op,id,size\n", "no allocation"),
        ("op,id,size\na,1,8\nf,2,0\n", "line 3"),
        ("op,id,size\na,1,-8\n", "line 2"),
        ("op,id,size\na,1,nan\n", "line 2"),
        ("op,id,size\na,1,8\nf,1,0\nf,1,0\n", "line 4"),
        ("time,what\n1,2\n", "line 1"),
    ],
)
def test_a_bad_trace_is_named_with_its_line(lines, said, capsys, tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text(lines, encoding="utf-8")
    assert main(["compare", "workload=trace", f"workload.path={path}"]) == 2
    heard = capsys.readouterr().err
    assert heard.count("\n") == 1
    assert str(path) in heard
    assert said in heard


def test_an_output_folder_that_cannot_be_written_is_refused(capsys, tmp_path):
    blocker = tmp_path / "file"
    blocker.touch()
    assert main(["compare", *CASE_0, f"out={blocker}/run"]) == 2
    assert f"out={blocker}/run cannot be written" in capsys.readouterr().err


def test_results_are_kept_unless_overwriting_is_asked_for(capsys, tmp_path):
    (tmp_path / "results.json").write_text("mine", encoding="utf-8")
    assert main(["compare", *CASE_0, f"out={tmp_path}"]) == 2
    assert "already holds results" in capsys.readouterr().err
    assert (tmp_path / "results.json").read_text(encoding="utf-8") == "mine"
    assert main(["compare", *CASE_0, f"out={tmp_path}", "overwrite=true"]) == 0
    assert results_in(tmp_path)["workload"] == "scenario"


def test_the_student_projects_example_has_textbook_answers(tmp_path, capsys):
    assert main(["compare", *CASE_0, f"out={tmp_path}"]) == 0
    results = results_in(tmp_path)
    holes = {name: row["holes_per_cell"]["mean"] for name, row in results["policies"].items()}
    assert holes == {"first": 0.04, "second": 0.06, "best": 0.05, "worst": 0.05}
    assert results["starts"]["first"] == [15, None, 0, 30, None, 55, 59]
    assert results["starts"]["best"] == [15, None, 0, 30, None, 95, 55]
    shown = capsys.readouterr().out
    assert "best-fit" in shown
    assert "50 #####6666777777#####..........###############....." in shown  # first-fit


def test_a_comparison_leaves_a_whole_run_folder(tmp_path):
    command = ["compare", "workload=comb", "cells=32", "sequences=8", "policies=[best,two_ended]"]
    assert main([*command, f"out={tmp_path}"]) == 0
    assert sorted(os.listdir(tmp_path)) == [
        "comparison.png",
        "config.yaml",
        "fragmentation.png",
        "memory.png",
        "results.json",
        "sequences.npz",
        "table.md",
    ]
    results = results_in(tmp_path)
    assert results["command"].startswith("jaxmem compare workload=comb cells=32")
    assert (results["workload"], results["cells"]) == ("comb", 32)
    assert (results["sequences"], results["seed"]) == (8, 0)
    assert results["reference"] == "best"
    assert set(results["versions"]) >= {"jax", "numpy", "jaxmem"}
    failed = results["policies"]["two_ended"]["failed_requests"]
    assert failed["difference"]["high"] < 0  # the comb is what two-ended placement is for
    settings = yaml.safe_load((tmp_path / "config.yaml").read_text(encoding="utf-8"))
    assert settings["policies"] == ["best", "two_ended"]


@pytest.mark.slow
def test_training_on_a_recording_tests_on_other_windows(tmp_path, capsys):
    command = ["train", *TINY, "workload=trace", "workload.name=torch_cpu_mlp_train", "cells=64"]
    with in_place_of_pqn():
        assert main([*command, "policies=[best]", f"out={tmp_path}", "sequences=16"]) == 0
    results = results_in(tmp_path)
    assert results["sequences"] == 16
    assert any("the last 25 % for testing" in note for note in results["notes"])


def test_training_leaves_a_policy_that_compare_takes(tmp_path, capsys):
    comb = ["workload=comb", "cells=32", "sequences=8"]
    command = ["train", "learner=branching", *comb, "network.hidden_sizes=[8]"]
    command += [
        "network.hidden_feature_groups=[place]",
        *FEW_SEQUENCES,
        "evaluation.selection_sequences=8",
    ]
    command += ["learner.arenas=16", "learner.states=64", "learner.buffer_updates=4"]
    command += ["learner.base_policy=best"]  # found without playing every rule first
    command += ["learner.horizon=4", "learner.minibatch=16"]
    assert main([*command, "policies=[best]", f"out={tmp_path / 'run'}"]) == 0
    assert "learned" in capsys.readouterr().out
    assert sorted(os.listdir(tmp_path / "run")) == [
        "comparison.png",
        "config.yaml",
        "fragmentation.png",
        "learning_curve.png",
        "memory.png",
        "metrics.jsonl",
        "policy.safetensors",
        "results.json",
        "sequences.npz",
        "table.md",
    ]
    results = results_in(tmp_path / "run")
    assert results["training"]["steps"] == 4 * 16 * 4
    assert results["training"]["seed"] == 0
    assert results["training"]["seconds"] > 0
    assert set(results["policies"]) == {"best", "learned"}
    assert read_policy(tmp_path / "run" / "policy.safetensors")[1].hidden_feature_groups == (
        "place",
    )
    command = ["compare", *comb, f"policies=[best,{tmp_path / 'run'}]"]
    assert main([*command, f"out={tmp_path / 'compared'}"]) == 0
    again = results_in(tmp_path / "compared")["policies"]["learned"]
    assert again["failed_requests"] == results["policies"]["learned"]["failed_requests"]


@pytest.mark.slow
def test_the_student_projects_learner_leaves_a_policy_for_its_arena(tmp_path, capsys):
    command = ["train", "workload=classic", "learner=dqn/classic", "learner.steps=200"]
    command += [
        *FEW_SEQUENCES,
        "network.hidden_sizes=[8]",
        "cells=50",
        "policies=[best]",
        "sequences=8",
    ]
    assert main([*command, f"out={tmp_path / 'run'}"]) == 0
    results = results_in(tmp_path / "run")
    assert results["training"]["steps"] == 200
    settings = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text(encoding="utf-8"))
    assert settings["learner"]["buffer"] == 10_000
    assert settings["environment"]["reward"] == "classic"
    compared = ["compare", "workload=classic", f"policies=[best,{tmp_path / 'run'}]"]
    command = [*compared, "cells=50", "sequences=8", f"out={tmp_path / 'compared'}"]
    assert main(command) == 0
    again = results_in(tmp_path / "compared")["policies"]["learned"]
    assert again["failed_requests"] == results["policies"]["learned"]["failed_requests"]
    capsys.readouterr()
    assert main([*compared, f"out={tmp_path / 'other'}"]) == 2
    assert "trained for arenas of 50 cells" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared traces are not here")
def test_a_strangers_trace_needs_no_edits(tmp_path):
    trace = SHARED / "data" / "minimalloc" / "challenging_A.1048576.csv"
    command = ["compare", "workload=trace", f"workload.path={trace}", "cells=2048"]
    assert main([*command, "policies=[first,best]", f"out={tmp_path}"]) == 0
    results = results_in(tmp_path)
    assert results["requests"] == 154
    assert "1,048,576 bytes" in results["notes"][0]


@pytest.mark.parametrize("importing", ["hydra", "jax"])
def test_ctrl_c_while_modules_are_imported_ends_with_one_line(tmp_path, importing):
    code = """if True:
        import os, signal, sys

        class Interrupting:
            def find_spec(self, name, path=None, target=None):
                if name == wanted:
                    os.kill(os.getpid(), signal.SIGINT)

        wanted = sys.argv.pop(1)
        sys.meta_path.insert(0, Interrupting())
        from jaxmem.cli import main
        raise SystemExit(main())
    """
    command = [sys.executable, "-c", code, importing, "train", "out=run"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (130, "")
    assert ended.stderr == "jaxmem: interrupted\n"
    assert not (tmp_path / "run").exists()


def test_render_draws_one_sequence_still_and_moving(tmp_path, capsys):
    command = ["render", "workload=scenario", "policies=[first,best]", "--gif", "seconds=2"]
    assert main([*command, f"out={tmp_path}"]) == 0
    assert sorted(os.listdir(tmp_path)) == [
        "config.yaml",
        "fragmentation.png",
        "memory.png",
        "race.gif",
        "results.json",
        "table.md",
    ]
    assert (tmp_path / "race.gif").read_bytes().startswith(b"GIF89a")
    assert results_in(tmp_path)["starts"]["best"] == [15, None, 0, 30, None, 95, 55]
    assert "fragmentation.png, memory.png, race.gif" in capsys.readouterr().out


def test_render_says_at_once_that_a_video_needs_ffmpeg(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(render, "ffmpeg", lambda: None)
    assert main(["render", "--mp4", f"out={tmp_path / 'run'}"]) == 2
    assert "mp4=true needs ffmpeg" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
