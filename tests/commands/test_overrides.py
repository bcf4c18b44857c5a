"""What stands behind = on a command line: paths as they are, and nothing that fetches or calls."""

import os
import shlex

import pytest

from jaxmem.cli import main
from jaxmem.commands import compare, workload_of
from jaxmem.commands.multirun.jobs import multirun_of
from jaxmem.configuration import configure
from jaxmem.overrides import AS_GIVEN, UsageError, parsed
from jaxmem.workloads.registry import workload

EVENTS = "op,id,size\na,1,64\na,2,32\nf,1,\na,3,16\n"
ODD = (
    *("epoch=3-step=9.csv", "größe.csv", "日本.csv", "2024", "true", "1e3", "a,b.csv", "a b.csv"),
    *("it's.csv", 'the "new" one.csv', "[1].csv", "run[1]{2}.csv", "'half", "choice(a,b)", "~x"),
    *("back\\slash\\", "a:b.csv", "$HOME.csv", "(1).csv", "100 %.csv", "a#b.csv"),
)
RUNS = "runs/learner=pqn,seed=0"


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def refusal(word: str) -> str:
    with pytest.raises(UsageError) as error:
        parsed([word])
    return str(error.value)


def read(word: str) -> object:
    (override,) = parsed([word])
    return override.value()


@pytest.mark.parametrize("name", ODD)
def test_a_path_is_taken_as_it_stands(name):
    assert {key: read(f"{key}={name}") for key in AS_GIVEN} == dict.fromkeys(AS_GIVEN, name)
    if "," not in name:
        assert read(f"policies=[best, {name}]") == ["best", name]


@pytest.mark.parametrize("name", ["epoch=3-step=9.csv", "größe.csv", "2024", "a,b [1].csv"])
def test_a_recording_is_read_whatever_it_is_called(name, tmp_path):
    (tmp_path / name).write_text(EVENTS, encoding="utf-8")
    config = configure("compare", ["workload=trace", f"workload.path={name}", "cells=16"])
    task = workload_of(config)
    assert (task.length, "peak live is 96 bytes" in task.notes[0]) == (3, True)


def test_what_is_in_quotes_is_taken_without_them():
    assert read('out="a=b, c"') == "a=b, c"
    assert read("out='[a]'") == "[a]"
    assert read(f"policies=[first,größe,\"{RUNS}\",'a]b']") == ["first", "größe", RUNS, "a]b"]


def test_a_choice_that_is_added_is_one_too_many(capsys):
    assert main(["compare", "+workload=comb"]) == 2
    assert "Multiple values for workload" in capsys.readouterr().err


def test_null_is_no_path():
    config = configure("train", ["out=null", "workload=trace", "workload.path=null"])
    assert (config.out, config.workload.path) == (None, None)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("workload.path", "[a.csv]", "workload.path is a list; it must be a file"),
        ("workload.path", '["a.csv",b]', "workload.path is a list; it must be a file"),
        ("workload.path", "{a: b}", "workload.path is a dictionary; it must be a file"),
        ("out", "[a]", "out is a list; it must be a path"),
        ("resume", "[1]", "resume is a list; it must be a folder"),
    ],
)
def test_a_list_is_no_path_and_the_quoted_form_is_told(key, value, said):
    told = refusal(f"{key}={value}")
    assert said in told
    (word,) = shlex.split(told.partition("is written ")[2].removesuffix(")"))
    assert read(word) == value


def test_a_list_where_a_file_belongs_is_refused_in_python_too():
    with pytest.raises(ValueError, match=r"workload.path is \['a.csv'\]; a file"):
        workload("trace", path=["a.csv"])
    with pytest.raises(ValueError, match=r"workload.path is 2024; a file"):
        workload("trace", path=2024)


def test_a_name_with_a_comma_in_a_list_is_told_in_quotes():
    os.makedirs(RUNS)
    os.makedirs("one,two.runs")
    for listed, quoted in (
        (f"[best,{RUNS}]", f'[best,"{RUNS}"]'),
        ("[one,two.runs,best]", '["one,two.runs",best]'),
    ):
        told = refusal(f"policies={listed}")
        assert "a comma ends a name" in told
        (word,) = shlex.split(told.rpartition("is quoted: ")[2])
        assert word == f"policies={quoted}"
        assert len(read(word)) == 2
    os.makedirs("first,best")  # two rules are no path
    assert read("policies=[first,best]") == ["first", "best"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed", "'seed' is not an override; write key=value"),
        ("seed=a=b", """quote a value with signs in it: 'seed="a=b"'"""),
        ("measures=[a=b]", 'in a list quote what has signs in it, as key=[1,"a=b"]'),
        ("~seed", "'~seed' takes a setting away"),
        ("workload@cells=comb", "no other place can be named with @"),
    ],
)
def test_what_cannot_be_read_says_how_to_write_it(text, said):
    assert said in refusal(text)


@pytest.mark.parametrize(
    "value",
    [
        "${oc.env:JAXMEM_SECRET}",
        "'${oc.env:JAXMEM_SECRET}'",
        "[1,{a: '${oc.env:JAXMEM_SECRET}'}]",
        "a ${oc.decode:1} b",
        "${seed}",
    ],
)
@pytest.mark.parametrize("key", ["cells", "out", "policies", "reference", "workload"])
def test_no_variable_of_the_environment_ends_in_a_message(key, value, monkeypatch, capsys):
    monkeypatch.setenv("JAXMEM_SECRET", "hidden")
    for verb in (["compare"], ["compare", "-m", "seed=0,1"]):
        assert main([*verb, f"{key}={value}"]) == 2
        said = capsys.readouterr().err
        assert "is not filled in; write the value itself" in said or "is a list" in said
        assert "hidden" not in said
        assert said.count("\n") == 1
    assert os.listdir() == []


@pytest.mark.parametrize(
    "word",
    [
        "hydra.launcher.additional_parameters={_target_: os.mkdir, path: made}",
        "+hydra.launcher.additional_parameters={a: [{b: {_target_: os.mkdir, path: made}}]}",
        "+hydra.launcher.additional_parameters._target_=os.mkdir",
        "hydra.launcher._target_=os.mkdir",
        r"seed=$\{oc.env:JAXMEM_SECRET\}",
        "+hydra.launcher._args_=[made]",
        "hydra.launcher.partition='${oc.env:JAXMEM_SECRET}'",
        "cells={_target_: os.mkdir, path: made}",
        "cells={_target_: os.mkdir, path: made},3",
    ],
)
def test_no_word_names_what_is_to_be_called(word, monkeypatch, capsys):
    monkeypatch.setenv("JAXMEM_SECRET", "hidden")
    monkeypatch.setattr(compare, "run", lambda config, command: os.mkdir("ran") or 0)
    given = ["seed=0,1", "hydra/launcher=slurm_gpu", word, "out=grid"]
    assert main(["compare", "-m", *given]) == 2
    said = capsys.readouterr().err
    assert "cannot be set on the command line" in said or "is not filled in" in said
    assert "hidden" not in said
    assert said.count("\n") == 1
    assert os.listdir() == []


def test_commas_list_paths_where_many_runs_are_asked_for():
    def paths(value):
        jobs = multirun_of("compare", ["workload=trace", f"workload.path={value}"]).jobs
        return [job.settings.workload.path for job in jobs]

    assert paths("a.csv,b.csv") == ["a.csv", "b.csv"]
    assert paths("2024,true") == ["2024", "true"]
    assert paths("epoch=1.csv,größe.csv") == ["epoch=1.csv", "größe.csv"]
    assert paths('"a,b=1.csv",c=2') == ["a,b=1.csv", "c=2"]
    assert paths("epoch=1.csv") == ["epoch=1.csv"]


def test_a_job_has_the_path_that_was_given(monkeypatch):
    """Also where a launcher reads its words again."""
    called = []
    monkeypatch.setattr(
        compare, "run", lambda settings, command: called.append(settings.workload.path) or 1
    )
    words = ["workload=trace", "workload.path=2024,größe=1.csv", "out=grid"]
    assert main(["compare", "-m", *words]) == 1
    assert called == ["2024"]  # its run ends as one that was stopped


def test_a_recording_with_an_odd_name_is_imported(capsys, tmp_path):
    (tmp_path / "epoch=3,größe [1].csv").write_text(EVENTS, encoding="utf-8")
    assert main(["trace", "import", "epoch=3,größe [1].csv", "out=a=1,b.npz"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "requests 3 peak live 96 bytes" in shown
    assert (tmp_path / "a=1,b.npz").is_file()
