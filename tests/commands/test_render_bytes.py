"""`jaxmem render` of a recording in bytes, and folders that bear a name of the package."""

import json

import pytest
from program_runs import mixed_run, write_learned
from repetition import slow

from jaxmem.cli import main
from jaxmem.recordings.store import write_store

PLAYED = "workload=trace workload.path=4.npz"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A run of a program, and what was learned from earlier ones, in a folder called `learned`."""
    monkeypatch.chdir(tmp_path)
    write_store(tmp_path / "4.npz", mixed_run(4))
    write_learned(tmp_path / "learned")
    return tmp_path


def test_a_recording_is_drawn_in_bytes_under_what_was_learned_from_earlier_runs(folder, capsys):
    policies = "policies=[best,two_ended,./learned]"
    assert main(["render", *PLAYED.split(), policies, "--gif", "requests=60", "out=pictures"]) == 0
    results = json.loads((folder / "pictures" / "results.json").read_text(encoding="utf-8"))
    played, peak = results["played"], results["peak_live"]
    assert list(played) == ["best", "two_ended", "./learned"]
    assert results["arena"] // results["alignment"] == int(1.1 * peak // results["alignment"])
    assert played["./learned"]["arena_needed"] < 1.05 * peak < played["best"]["arena_needed"]
    assert played["./learned"]["failed_requests"] == 0 < played["best"]["failed_requests"]
    assert {file.name for file in (folder / "pictures").iterdir()} >= {
        "memory.png", "race.gif", "table.md", "config.yaml",
    }  # fmt: skip
    assert "results.json, table.md, memory.png, race.gif" in capsys.readouterr().out
    assert main(["trace", "info", "4.npz", policies, "out=info"]) == 0
    found = json.loads((folder / "info" / "results.json").read_text(encoding="utf-8"))
    for name, ratio in found["headroom"]["bounded"].items():
        assert ratio == played[name]["arena_needed"] / peak


@pytest.mark.parametrize("verb", ["trace info", *slow("render", "compare")])
def test_a_folder_that_bears_a_name_of_the_package_is_told(folder, capsys, verb):
    write_learned(folder / "best")
    words = {
        "trace info": ["trace", "info", "4.npz", "policies=[best]"],
        "render": ["render", "policies=[best]", "requests=20"],
        "compare": ["compare", "policies=[best]", "sequences=2"],
    }
    assert main([*words[verb], "out=made"]) == 0
    said = "policies: best is the policy of the package; the folder is ./best\n"
    assert capsys.readouterr().out.count(said) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("workload=memoryless", "./learned plays recordings in bytes: take workload=trace"),
        ("workload=trace", "workload trace needs workload.path=FILE or workload.name"),
        (f"{PLAYED} cells=64", "cells is 64; ./learned plays in bytes: leave it away"),
        (f"{PLAYED} workload.episodes=windows", "workload.episodes is windows; ./learned plays"),
        (f"{PLAYED} workload.slack=1e12", "an arena of 1000000000000.0 x peak live"),
        (f"{PLAYED} policies=[./learned,generalist]", "generalist plays no recording in bytes"),
    ],
)
def test_what_cannot_be_drawn_in_bytes_is_refused_in_one_line(folder, capsys, words, said):
    assert main(["render", "policies=[./learned]", *words.split(), "out=pictures"]) == 2
    heard = capsys.readouterr().err
    assert said in heard
    assert heard.count("\n") == 1
    assert not (folder / "pictures").exists()
