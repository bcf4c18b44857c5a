"""`jaxmem train workload=runs`: what it learns and leaves, and what it refuses in one line."""

import json
from dataclasses import replace

import numpy as np
import pytest
from program_runs import SITES, batches_run, mixed_run

from jaxmem.cli import main
from jaxmem.recordings import Recording
from jaxmem.recordings.class_rule import BEST_FIT_RULE, LONG, SMALL, all_rules
from jaxmem.recordings.policy_file import load_byte_policy
from jaxmem.recordings.sites import CallSites
from jaxmem.recordings.store import write_store

TINY = (
    "learner.semifinalists=8",
    "learner.finalists=2",
    "learner.batch=512",
    "learner.exceptions=0",
)
COMMAND = ("train", "workload=runs", *TINY, "out=mine")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Four runs of a program, 1.npz to 4.npz, where the command is given."""
    monkeypatch.chdir(tmp_path)
    few = [rule for rule in all_rules() if rule.long == LONG[0] and rule.parts == SMALL[0]]
    monkeypatch.setattr("jaxmem.recordings.rule_search.all_rules", lambda: few)
    for number in range(1, 5):
        write_store(tmp_path / f"{number}.npz", mixed_run(number))
    return tmp_path


def learned_from(folder, *words: str, paths: str = "1.npz,2.npz,3.npz") -> dict:
    assert main([*COMMAND, f"workload.paths=[{paths}]", *words]) == 0
    return json.loads((folder / "mine" / "results.json").read_text(encoding="utf-8"))


def test_a_policy_is_learned_and_its_run_folder_plays_the_next_run(folder, capsys):
    results = learned_from(folder)
    assert [row["held_out"] for row in results["runs"]] == [False, False, True]
    assert all(
        row["needed"]["class rule"] < 1.05 < 1.2 < row["needed"]["best-fit"]
        for row in results["runs"]
    )
    assert all(row["foretold"] == 1 for row in results["runs"])
    assert results["notes"] == []
    heard = capsys.readouterr().out
    assert results["verdict"] in " ".join(heard.split())
    assert results["verdict"].startswith("On the run (1 held out) best-fit needs 1.2")
    assert "policy.safetensors, results.json, table.md, runs.png" in heard
    files = {file.name for file in (folder / "mine").iterdir()}
    assert files >= {"policy.safetensors", "results.json", "table.md", "runs.png", "config.yaml"}
    policy = load_byte_policy("mine")
    assert policy.training["why"] == results["why"]
    table = (folder / "mine" / "table.md").read_text(encoding="utf-8")
    assert f"{results['contexts']} contexts of call sites are known" in table
    words = ["trace", "info", "4.npz", "policies=[first,best,two_ended,mine]", "out=info"]
    assert main(words) == 0
    found = json.loads((folder / "info" / "results.json").read_text(encoding="utf-8"))
    bounded = found["headroom"]["bounded"]
    assert list(bounded) == ["first", "best", "two_ended", "mine"]
    assert bounded["mine"] < 1.05 < 1.2 < min(bounded["best"], bounded["two_ended"])


def test_how_many_are_held_out_can_be_said_and_two_runs_hold_none(folder):
    best_fit = "learner.nothing_to_gain=2"
    both = learned_from(folder, best_fit, paths="1.npz,2.npz")
    assert [row["held_out"] for row in both["runs"]] == [False, False]
    assert "all 2, which it learned from" in both["verdict"]
    two = learned_from(folder, best_fit, "held_out=2", "overwrite=true")
    assert [row["held_out"] for row in two["runs"]] == [False, True, True]


def test_where_nothing_is_to_be_gained_the_policy_is_best_fit(folder):
    results = learned_from(folder, "learner.nothing_to_gain=2")
    assert load_byte_policy("mine").rule == BEST_FIT_RULE
    assert results["chosen"] == "best-fit"
    assert all(list(row["needed"]) == ["best-fit"] for row in results["runs"])
    assert "and the policy is best-fit: nothing on the runs learned from" in results["verdict"]


def test_a_family_of_the_library_is_learned_from_by_name(folder, capsys):
    words = ["workload.family=convnet", "learner.nothing_to_gain=2"]
    assert main([*COMMAND, *words]) == 0
    results = json.loads((folder / "mine" / "results.json").read_text(encoding="utf-8"))
    assert [row["run"] for row in results["runs"]] == [f"convnet {of}" for of in range(1, 7)]
    assert [row["held_out"] for row in results["runs"]] == [False] * 5 + [True]
    assert min(row["foretold"] for row in results["runs"]) > 0.95


def odd(folder, name: str, run: Recording) -> str:
    write_store(folder / f"{name}.npz", run)
    return f"{name}.npz"


def test_runs_of_one_request_each_need_what_is_live(folder):
    one = Recording("one", np.array([64]), np.array([1]))
    results = learned_from(folder, paths=f"{odd(folder, 'a', one)},{odd(folder, 'b', one)}")
    assert [row["needed"] for row in results["runs"]] == [{"best-fit": 1}, {"best-fit": 1}]
    assert any(note.startswith("Two runs are the same") for note in results["notes"])


def test_identical_runs_are_told(folder):
    results = learned_from(folder, paths="1.npz,2.npz,1.npz")
    (note,) = results["notes"]
    assert note == "Two runs are the same, and tell no more than one: vary the inputs."


def test_runs_of_other_programs_are_told_and_what_is_new_goes_by_best_fit(folder):
    run = mixed_run(5)
    other = replace(run, name="other", call_sites=CallSites(SITES.key + np.uint64(100)))
    results = learned_from(folder, paths=f"1.npz,2.npz,{odd(folder, 'c', other)}")
    assert [row["foretold"] for row in results["runs"]] == [1, 1, 0]
    needed = results["runs"][2]["needed"]
    assert needed["class rule"] == needed["best-fit"]
    (note,) = results["notes"]
    assert note.startswith("Of the requests of other only 0% are foretold by the others: are these")
    assert load_byte_policy("mine").rule == BEST_FIT_RULE


def test_runs_without_call_sites_go_by_sizes_and_are_told_what_that_costs(folder):
    paths = [
        odd(folder, f"plain{number}", replace(mixed_run(number), site=None, call_sites=None))
        for number in (1, 2, 3)
    ]
    results = learned_from(folder, paths=",".join(paths))
    (note,) = results["notes"]
    assert note.startswith("A run has no call sites that compare: sizes stand for them")
    assert results["runs"][2]["foretold"] == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "workload=runs needs the recordings of runs, as 'workload.paths=[a.npz,b.npz]'"),
        (("workload.paths=[]",), "workload=runs needs the recordings"),
        (("workload.paths=[1.npz]", "workload.family=convnet"), "and not both"),
        (("workload.family=convnt",), "no family of runs 'convnt'; did you mean convnet?"),
        (("workload.paths=[1.npz,no.npz]",), "no.npz: cannot be read"),
        (("workload.paths=1.npz",), "workload.paths is '1.npz'; a list of names"),
        (("workload.paths=[1.npz,text.csv]",), "text.csv"),
        (("workload.paths=[1.npz,2.npz]", "held_out=2"), "held_out is 2 of 2 runs; one is needed"),
        (("workload.paths=[1.npz]", "held_out=1"), "held_out is 1 of 1 runs; one is needed"),
        (("workload.paths=[1.npz]", "held_out=-1"), "held_out is -1"),
        (("workload.paths=[1.npz]", "alignment=3"), "alignment is 3; a power of two"),
        (("workload.paths=[1.npz]", "learner.finalists=0"), "learner.finalists is 0"),
        (("workload.paths=[1.npz]", "learner.factors=[]"), "learner.factors is []"),
        (("workload.paths=[1.npz]", "learner.screened=0.9"), "learner.screened is 0.9"),
        (("workload.paths=[1.npz]", "seed=1"), "jaxmem train runs has no 'seed'"),
        (
            ("workload.paths=[1.npz]", "learner=pqn"),
            "'learner=pqn': jaxmem train runs has no learner to choose; set one of learner.nothing",
        ),
        (("workload.paths=[1.npz]", "network=mlp"), "no network to choose; set one of workload,"),
        (("-m", "workload.paths=[1.npz]", "held_out=0,1"), "takes no -m"),
    ],
)
def test_bad_input_is_refused_in_one_line(folder, words, said, capsys):
    (folder / "text.csv").write_text("nothing that was recorded\n", encoding="utf-8")
    assert main([*COMMAND[:2], "out=mine", *words]) == 2
    heard = capsys.readouterr()
    assert said in heard.err
    assert heard.err.count("\n") == 1
    assert not (folder / "mine").exists()


@pytest.mark.parametrize("verb", ["compare", "search", "render"])
def test_other_verbs_take_no_runs(folder, verb, capsys):
    assert main([verb, "workload=runs", "workload.paths=[1.npz]"]) == 2
    assert "unknown workload 'runs'" in capsys.readouterr().err


def test_its_help_and_its_configuration_are_shown(folder, capsys):
    assert main(["train", "workload=runs", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "jaxmem train workload=runs 'workload.paths=[RUN,...]'" in shown
    assert "held_out: null  # of the runs" in shown
    assert main(["train", "workload=runs", "workload.paths=[1.npz]", "--cfg", "job"]) == 0
    shown = capsys.readouterr().out
    assert "paths:\n  - 1.npz\n" in shown
    assert "held_out: null" in shown


def test_a_folder_without_such_a_policy_plays_no_recording(folder, capsys):
    (folder / "empty").mkdir()
    assert main(["trace", "info", "4.npz", "policies=[best,empty]"]) == 2
    assert capsys.readouterr().err == "jaxmem: empty: this folder holds no policy.safetensors\n"


def test_a_run_folder_that_has_results_is_kept(folder, capsys):
    learned_from(folder, paths="1.npz,2.npz")
    assert main([*COMMAND, "workload.paths=[1.npz,2.npz]"]) == 2
    assert "overwrite=true" in capsys.readouterr().err


def test_a_plan_is_learned_and_plays_the_next_run(folder, monkeypatch, capsys):
    monkeypatch.setattr("jaxmem.recordings.rule_search.all_rules", lambda: [BEST_FIT_RULE])
    for number, (batch, steps) in enumerate(((8, 5), (20, 4), (13, 6), (31, 7)), 1):
        write_store(folder / f"{number}.npz", batches_run(batch, steps))
    results = learned_from(folder, "alignment=1")
    assert results["chosen"] == "plan"
    assert results["plan"] == {"slots": 4 + 31 * 5, "margin": 0.0}
    assert all(row["needed"]["plan"] < 1.02 for row in results["runs"])
    table = (folder / "mine" / "table.md").read_text(encoding="utf-8")
    assert "159 slots are planned, for blocks up to 0% larger than foretold" in table
    assert main(["export", "mine", "out=c"]) == 0
    assert "jaxmem_policy.c" in capsys.readouterr().out
    assert main(["export", "mine", "to=rule", "out=page"]) == 2
    assert "learner.margins=[]" in capsys.readouterr().err
    words = ["trace", "info", "4.npz", "policies=[best,mine]", "out=info", "alignment=1"]
    assert main(words) == 0
    found = json.loads((folder / "info" / "results.json").read_text(encoding="utf-8"))
    bounded = found["headroom"]["bounded"]
    assert bounded["mine"] < 1.02 < 1.2 < bounded["best"]
    none = learned_from(folder, "alignment=1", "learner.margins=[]", "overwrite=true")
    assert none["chosen"] == "best-fit"
