"""Summaries of runs: hand-made folders, hand-computed figures."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from jaxmem.cli import main
from jaxmem.configuration import configure
from jaxmem.evaluation.statistics import estimate_over_seeds
from jaxmem.evaluation.summary import configurations

LEARNED = [[1.0, 3.0], [2.0, 4.0], [3.0, 8.0]]  # failed requests in %, of two sequences a seed
BEST = [[4.0, 4.0], [4.0, 6.0], [4.0, 8.0]]
FIRST = [[5.0, 5.0], [5.0, 5.0], [5.0, 5.0]]


def write_run(folder, failed, *overrides, verb="train", keep=True, workload="comb", **results):
    """A run folder as jaxmem leaves it, with these failures (list[P] by policy) in its results."""
    folder.mkdir(parents=True)
    config = configure(verb, [f"workload={workload}", *overrides]).plain()
    (folder / "config.yaml").write_text(f"# jaxmem\n{yaml.safe_dump(config)}", encoding="utf-8")
    found = {
        "workload": workload,
        "reference": "best",
        "policies": {
            name: {
                "failed_requests": {
                    "mean": float(np.mean(values)),
                    "low": 0.5,
                    "high": 9.5,
                    "difference": {
                        "mean": float(np.mean(values)) - float(np.mean(failed["best"])),
                        "low": -8.5,
                        "high": 8.5,
                    },
                }
            }
            for name, values in failed.items()
        },
        **({"training": {"finished": True}} if verb == "train" else {}),
        **results,
    }
    (folder / "results.json").write_text(json.dumps(found), encoding="utf-8")
    if keep:
        kept = {"policies": list(failed), "failed_requests": list(failed.values())}
        np.savez(folder / "sequences.npz", **{name: np.array(of) for name, of in kept.items()})


def write_seeds(folder, *overrides, less=0.0, keep=True):
    for seed, (learned, best, first) in enumerate(zip(LEARNED, BEST, FIRST, strict=True)):
        failed = {"learned": np.subtract(learned, less), "best": best, "first": first}
        name = ",".join([*overrides, f"seed={seed}"])
        write_run(folder / name, failed, *overrides, f"seed={seed}", keep=keep)


def summary_in(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


def test_a_configuration_is_a_row_over_its_seeds(tmp_path, capsys):
    write_seeds(tmp_path, "learner=pqn")
    write_seeds(tmp_path, "learner=dqn", less=0.5)
    assert main(["summarize", str(tmp_path)]) == 0
    summary = summary_in(tmp_path)
    assert summary["command"] == f"jaxmem summarize {tmp_path}"
    assert summary["left_out"] == {}
    dqn, pqn = summary["rows"]  # fewest failed requests first
    assert [row["settings"] for row in (dqn, pqn)] == [{"learner": "dqn"}, {"learner": "pqn"}]
    assert pqn["runs"] == [f"learner=pqn,seed={seed}" for seed in range(3)]
    assert (pqn["seeds"], pqn["policy"]) == ([0, 1, 2], "learned")
    # The seeds' means are 2, 3 and 5.5; of three, the interquartile mean leaves none out.
    assert pqn["failed_requests"]["by_seed"] == [2.0, 3.0, 5.5]
    assert pqn["failed_requests"]["mean"] == pytest.approx(3.5)
    assert pqn["failed_requests"]["iqm"] == pytest.approx(3.5)
    assert dqn["failed_requests"]["mean"] == pytest.approx(3.0)
    # Best-fit fails 4, 5 and 6 %, as first-fit does always: 5 % in the mean, and it comes first.
    assert pqn["strongest_fit"]["policy"] == "best"
    assert pqn["strongest_fit"]["iqm"] == pytest.approx(5.0)
    assert pqn["difference"]["by_seed"] == [-2.0, -2.0, -0.5]
    assert pqn["difference"]["iqm"] == pytest.approx(-1.5)
    assert pqn["interval"] == "seeds and sequences"
    expected = estimate_over_seeds(np.subtract(LEARNED, BEST), 0)
    assert (pqn["difference"]["low"], pqn["difference"]["high"]) == (expected.low, expected.high)
    page = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert page.startswith("# Failed requests (%), comb: 6 runs of 2 configurations\n")
    assert "| learner=pqn | 3 | 3.50 | 3.50 [" in page
    assert "| best-fit 5.00 | -1.50 [" in page
    assert (tmp_path / "summary.png").read_bytes().startswith(b"\x89PNG")
    shown = capsys.readouterr().out
    assert "learner=pqn" in shown
    assert "summary.json, summary.md, summary.png" in " ".join(shown.split())


def test_the_interquartile_mean_of_four_seeds_is_that_of_the_middle_two(tmp_path):
    for seed, learned in enumerate([9.0, 1.0, 2.0, 3.0]):
        write_run(
            tmp_path / str(seed), {"learned": [learned] * 2, "best": [4.0] * 2}, f"seed={seed}"
        )
    assert main(["summarize", str(tmp_path)]) == 0
    (row,) = summary_in(tmp_path)["rows"]
    assert row["failed_requests"]["mean"] == 3.75
    assert row["failed_requests"]["iqm"] == 2.5
    assert row["difference"]["iqm"] == -1.5
    assert row["settings"] == {"workload": "comb", "learner": "branching"}  # nothing differs


def test_without_the_figures_of_sequences_an_interval_is_over_seeds_and_says_so(tmp_path):
    write_seeds(tmp_path, keep=False)
    assert main(["summarize", str(tmp_path)]) == 0
    (row,) = summary_in(tmp_path)["rows"]
    assert row["interval"] == "seeds"
    assert row["failed_requests"]["iqm"] == pytest.approx(3.5)
    assert (row["failed_requests"]["low"], row["failed_requests"]["high"]) == (2.0, 5.5)
    assert "over the seeds' means alone" in (tmp_path / "summary.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("keep", [True, False])
def test_of_one_seed_an_interval_is_over_sequences_and_says_so(keep, tmp_path):
    failed = {"learned": LEARNED[0], "best": BEST[0]}
    write_run(tmp_path / "one", failed, keep=keep)
    assert main(["summarize", str(tmp_path)]) == 0
    (row,) = summary_in(tmp_path)["rows"]
    low, high = (1.0, 3.0) if keep else (0.5, 9.5)  # without sequences: as the run has it
    assert (row["failed_requests"]["low"], row["failed_requests"]["high"]) == (low, high)
    low, high = (-3.0, -1.0) if keep else (-8.5, 8.5)
    assert (row["difference"]["low"], row["difference"]["high"]) == (low, high)
    assert row["interval"] == "sequences"
    assert "over test sequences alone" in (tmp_path / "summary.md").read_text(encoding="utf-8")


def test_where_nothing_is_learned_the_policy_that_fails_least_is_told(tmp_path, capsys):
    failed = {"two_ended": [1.0, 2.0], "best": [4.0, 4.0], "worst": [9.0, 9.0]}
    write_run(tmp_path / "comb", failed, verb="compare")
    write_run(tmp_path / "memoryless", failed, verb="compare", workload="memoryless")
    assert main(["summarize", str(tmp_path)]) == 0
    rows = summary_in(tmp_path)["rows"]
    assert [row["settings"] for row in rows] == [{"workload": "comb"}, {"workload": "memoryless"}]
    assert [row["policy"] for row in rows] == ["two_ended"] * 2
    assert [row["strongest_fit"]["policy"] for row in rows] == ["best"] * 2
    assert "two-ended 1.50" in capsys.readouterr().out


def test_members_of_a_grid_in_one_program_are_runs(tmp_path):
    folder = tmp_path / "grid"
    write_run(folder, {"best": [4.0, 4.0]}, "learner=pqn", "seeds=2", "grid.gamma=[0.9,0.8]")
    members = {
        f"choice-{choice}-seed-{seed}": [1.0 + choice, 3.0 + seed]
        for choice in (0, 1)
        for seed in (0, 1)
    }
    results = {
        "workload": "comb",
        "reference": "best",
        "choices": [{"settings": {"gamma": 0.9}}, {"settings": {"gamma": 0.8}}],
        "members": [
            {
                "choice": int(name[7]),
                "seed": int(name[-1]),
                "policy": f"members/{name}",
                "failed_requests": sum(failed) / 2,
            }
            for name, failed in members.items()
        ],
        "rules": {"best": 4.0, "two_ended_tuned": 3.5},
        "training": {"finished": True},
    }
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    failed = {"best": [4.0, 4.0], "two_ended_tuned": [3.0, 4.0], **members}
    columns = {"policies": list(failed), "failed_requests": list(failed.values())}
    np.savez(folder / "sequences.npz", **{name: np.array(of) for name, of in columns.items()})
    alone = {"learned": [1.0, 5.0], "best": [4.0, 4.0]}
    write_run(tmp_path / "alone", alone, "learner=pqn", "learner.gamma=0.9", "seed=2")
    assert main(["summarize", str(tmp_path)]) == 0
    first, second = summary_in(tmp_path)["rows"]
    assert first["settings"] == {"learner.gamma": 0.9}
    assert first["seeds"] == [0, 1, 2]  # two of the grid, and the one that was trained alone
    assert first["runs"][0] == "grid/members/choice-0-seed-0"
    assert first["failed_requests"]["by_seed"] == [2.0, 2.5, 3.0]
    assert second["settings"] == {"learner.gamma": 0.8}
    assert second["failed_requests"]["by_seed"] == [2.5, 3.0]
    assert second["interval"] == "seeds and sequences"


def test_runs_that_are_broken_or_unfinished_are_named_and_left_out(tmp_path, capsys):
    failed = {"learned": LEARNED[0], "best": BEST[0]}
    write_run(tmp_path / "good", failed)
    write_run(tmp_path / "twin", failed)
    write_run(tmp_path / "stopped", failed, "seed=1", training={"finished": False})
    write_run(tmp_path / "unread", failed, "seed=2")
    (tmp_path / "unread" / "results.json").write_text('{"policies": ', encoding="utf-8")
    write_run(tmp_path / "empty", failed, "seed=3")
    (tmp_path / "empty" / "results.json").unlink()
    write_run(tmp_path / "bare", failed, "seed=4")
    (tmp_path / "bare" / "config.yaml").unlink()
    write_run(tmp_path / "odd", failed, "seed=5", policies={"best": 3})
    write_run(tmp_path / "other", failed, "seed=6")
    np.savez(tmp_path / "other" / "sequences.npz", policies=["learned", "best"],
             failed_requests=[[7.0, 7.0], [4.0, 4.0]])  # fmt: skip
    write_run(tmp_path / "cut", failed, "seed=7")
    (tmp_path / "cut" / "sequences.npz").write_bytes(b"PK")
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "config.yaml").write_text("rounds: 3", encoding="utf-8")
    (tmp_path / "bench" / "results.json").write_text('{"environment": []}', encoding="utf-8")
    write_run(tmp_path / ".submitit" / "hidden", failed, "seed=8")
    assert main(["summarize", str(tmp_path), f"out={tmp_path / 'out'}"]) == 0
    summary = summary_in(tmp_path / "out")
    (row,) = summary["rows"]
    assert row["runs"] == ["good"]
    reasons = {
        "bare": "broken: no config.yaml",
        "bench": "it compares no policies",
        "cut": "broken: sequences.npz",
        "empty": "not finished: no results.json",
        "odd": "broken: results.json is not as jaxmem writes it",
        "other": "broken: sequences.npz does not have the figures of results.json",
        "stopped": "its training was stopped before the end",
        "twin": "the same configuration and seed as good",
        "unread": "broken: results.json: ",
    }
    assert sorted(summary["left_out"]) == sorted(reasons)
    shown = capsys.readouterr().out.replace("\n", " ")
    for name, reason in reasons.items():
        assert summary["left_out"][name].startswith(reason)
        assert f"left out: {name}: " in shown
    assert not (tmp_path / "summary.json").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "summarize: which folder? usage: jaxmem summarize DIR [key=value ...]"),
        (["missing"], "missing is no folder"),
        (["out=a"], "out=a is no folder; usage: jaxmem summarize DIR"),
        (["."], "no finished run below ."),
        ([".", "outt=a"], "jaxmem summarize has no 'outt'; did you mean out?"),
    ],
)
def test_what_cannot_be_summarized_is_refused_in_one_line(
    arguments, said, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(["summarize", *arguments]) == 2
    heard = capsys.readouterr()
    assert heard.out == ""
    assert heard.err.count("\n") == 1
    assert said in heard.err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, capsys):
    write_run(tmp_path / "run", {"learned": [1.0, 2.0], "best": [1.0, 2.0]})
    assert main(["summarize", str(tmp_path), "out=/dev/null/x"]) == 2
    assert capsys.readouterr().err.startswith("jaxmem: /dev/null/x cannot be written: ")


def test_settings_are_told_where_configurations_differ():
    def told(*commands):
        return configurations([configure("train", words.split()).plain() for words in commands])

    assert told("learner=pqn cells=50", "learner=pqn cells=60 seed=1") == [
        *({"cells": 50}, {"cells": 60})
    ]
    # What pqn and dqn have in common only by name tells nothing, but a rate that differs within.
    assert told("learner=pqn", "learner=dqn", "learner=dqn learner.gamma=0.9") == [
        {"learner": "pqn"},
        {"learner": "dqn", "learner.gamma": 0.99},
        {"learner": "dqn", "learner.gamma": 0.9},
    ]
    assert told("out=a seed=1 checkpoint.seconds=5", "workload=large-short-lived") == [
        *[{"workload": "large-short-lived", "learner": "branching"}] * 2
    ]


def test_a_summary_does_not_import_jax(tmp_path):
    write_run(tmp_path / "run", {"learned": [1.0, 2.0], "best": [2.0, 2.0]})
    code = (
        "import sys; from jaxmem.cli import main; status = main(['summarize', sys.argv[1]]);"
        "assert status == 0; print('jax' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("\nFalse\n")
