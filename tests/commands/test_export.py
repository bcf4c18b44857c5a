"""`jaxmem export`: what it leaves, and what it refuses, in one line."""

import json

import numpy as np
import pytest

from jaxmem.carded_file import POLICY_FILE
from jaxmem.cli import main
from jaxmem.export.c_source import HEADER, SOURCE
from jaxmem.recordings.class_rule import RuleNumbers
from jaxmem.recordings.profile import Profile
from jaxmem.recordings.profiled_policy import ProfiledPolicy, save_profiled

PROFILE = Profile(np.array([7], np.uint64), np.array([3], np.int32))


@pytest.fixture
def mine(tmp_path):
    """A run folder of `jaxmem train workload=runs`, as far as it is read."""
    folder = tmp_path / "my run"
    folder.mkdir()
    policy = ProfiledPolicy(PROFILE, RuleNumbers(30, 64, (0, 1, 2, 3)))
    save_profiled(folder / POLICY_FILE, policy)
    return folder


def test_c_leaves_a_header_and_a_source_under_the_name_of_the_folder(mine, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["export", str(mine), f"out={out}"]) == 0
    assert f"{HEADER}, {SOURCE}" in " ".join(capsys.readouterr().out.split())
    made = {file.name for file in out.iterdir()}
    assert made == {"config.yaml", "results.json", HEADER, SOURCE}
    assert 'jaxmem_policy_name[] = "my_run"' in (out / SOURCE).read_text()
    results = json.loads((out / "results.json").read_text())
    assert (results["policy"], results["files"]) == ("my_run", [HEADER, SOURCE])


def test_a_rule_leaves_a_page(mine, tmp_path):
    assert main(["export", str(mine / POLICY_FILE), "to=rule", f"out={tmp_path / 'out'}"]) == 0
    assert (tmp_path / "out" / "rule.md").read_text().startswith("# my_run\n")


def test_what_a_folder_holds_is_kept_until_it_may_go(tmp_path, capsys):
    words = ["export", "best", f"out={tmp_path}"]
    assert main(words) == 0
    assert main(words) == 2
    assert "already holds results" in capsys.readouterr().err
    assert main(["export", "worst", f"out={tmp_path}", "overwrite=true"]) == 0
    assert "JAXMEM_WORST_LOW" in (tmp_path / SOURCE).read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "export: which policy? usage: jaxmem export POLICY"),
        (["bset"], "no policy bset to export: one of first, best"),
        (["random"], "no policy random to export: one of first, best"),
        (["two_ended"], "two_ended needs threshold=UNITS"),
        (["two_ended", "threshold=0"], "threshold is 0; units, a whole number of at least 1"),
        (["best", "threshold=8"], "threshold=8 is for two_ended and two_ended_tuned, not best"),
        (["generalist"], "generalist plays in cells; to=c takes rules, learned and run folders"),
        (["generalist", "to=cuda"], "generalist plays in cells; to=cuda takes rules"),
        (["generalist", "to=rule"], "to=stablehlo takes this one too"),
        (["best", "to=cpp"], "to is 'cpp'; c, cuda, stablehlo or rule"),
        (["best", "holes=1"], "holes is 1; a whole number from 2"),
        (["."], "this folder holds no policy.safetensors"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["export", *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())
