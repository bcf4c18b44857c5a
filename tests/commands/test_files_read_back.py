"""Every file that jaxmem reads back may have become anything: it is used, or named in one line.

Files are damaged in two ways: bytes are flipped, cut, zeroed or repeated; and where they hold JSON
or YAML, values become others of any kind and size. The seed of each case is in its failure.
"""

import copy
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file, save_file
from test_summarize import write_seeds

from jaxmem.carded_file import read_policy_file
from jaxmem.cli import main
from jaxmem.commands import resume, search, train
from jaxmem.commands.multirun.jobs import MultirunJob, progress
from jaxmem.configuration import UsageError, configure
from jaxmem.evaluation.summary import summary_of
from jaxmem.learning.checkpoint import Checkpoints
from jaxmem.learning.member_state import MemberState, ValidationPoint
from jaxmem.learning.space import Choice, Range
from jaxmem.learning.study import Study
from jaxmem.policies.policy_file import _SHIPPED_POLICIES, PolicyFileError, load_policy
from jaxmem.recordings.scorer_file import _SHIPPED as _SCORERS
from jaxmem.recordings.scorer_file import SCORERS, load_scorer
from jaxmem.render.summary import summary_markdown
from jaxmem.run_folder import is_finished
from jaxmem.runs import runs_below

ODD = (
    *(None, True, False, 0, -1, 1, 2**31 - 1, 2**31, 10**400, -0.5, 1e308, float("nan")),
    *(float("inf"), "", "trace", "first", "strongest", "mlp", "[/b]", "\0", "x" * 10_000, [], {}),
    *([None], [1, 2], [[]], ["first"], [64] * 100_000, {"": 1}, {"name": []}, {"mean": "1"}),
)


def other_values(chance: random.Random, tree):
    """The tree with some of its values replaced, taken away, or put elsewhere."""
    tree = copy.deepcopy(tree)
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        places = [([], None)]
        left = [tree]
        while left:
            node = left.pop()
            keys = list(node) if isinstance(node, dict) else range(len(node))
            places += [(node, key) for key in keys]
            left += [node[key] for key in keys if isinstance(node[key], dict | list)]
        node, key = chance.choice(places[1:] or places)
        if key is None:
            continue
        what = chance.randrange(8)
        if what == 0:
            del node[key]
        elif what == 1 and isinstance(node, dict):
            node[chance.choice(("name", "unknown", "a.b", ""))] = node.pop(key)
        elif what == 2:
            node[key] = copy.deepcopy(chance.choice(places[1:])[0])
            if len(json.dumps(node[key])) > 100_000:
                node[key] = []
        else:
            node[key] = copy.deepcopy(chance.choice(ODD))
    return tree


def other_bytes(chance: random.Random, file: Path) -> None:
    """Damages a file as disks and transfers do."""
    data = bytearray(file.read_bytes())
    at = chance.randrange(len(data) + 1)
    what = chance.randrange(5)
    if what == 0:
        del data[at:]
    elif what == 1:
        data[at : at + 64] = bytes(len(data[at : at + 64]))
    elif what == 2:
        data[at:at] = data[: chance.randrange(200)]
    elif what == 3:
        data[at : at + chance.randrange(8)] = chance.randbytes(chance.randrange(8))
    else:
        for _ in range(chance.choice((1, 1, 3, 30))):
            at = chance.randrange(max(1, len(data)))
            data[at : at + 1] = bytes(byte ^ 1 << chance.randrange(8) for byte in data[at : at + 1])
    file.write_bytes(data)


def cases_of_carded(original: Path, read: Callable) -> Callable:
    arrays, card = load_file(original), read_policy_file(original, original.name)[1]

    def case(chance: random.Random, folder: Path) -> None:
        file = folder / "file.safetensors"
        save_file(arrays, file, {"card": json.dumps(other_values(chance, card))})
        if chance.random() < 0.4:
            shutil.copyfile(original, file)
            other_bytes(chance, file)
        try:
            read(file)
        except PolicyFileError as error:
            assert len(str(error)) < 1000  # noqa: PT017 (it need not be raised)

    return case


def cases_of_resume(verb: str, check: Callable) -> Callable:
    asked = configure(verb, ["learner=pqn", "workload=comb"]).plain()
    defaults = configure(verb, [])

    def case(chance: random.Random, folder: Path) -> None:
        file = folder / "config.yaml"
        config = other_values(chance, asked) if chance.random() < 0.8 else asked
        file.write_text("# jaxmem train\n" + yaml.dump(config, Dumper=DUMPER), encoding="utf-8")
        if config is asked:
            other_bytes(chance, file)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(resume, "configure", lambda verb, words: defaults)
            try:
                again = replace(defaults, resume=str(folder))
                check(resume.resumed(verb, again, "jaxmem")[0])
            except UsageError as error:
                assert "\n" not in str(error).strip()  # noqa: PT017

    return case


DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def cases_of_runs(original: Path) -> Callable:
    write_seeds(original, "learner=pqn")
    shutil.rmtree(original / "learner=pqn,seed=2")

    def case(chance: random.Random, folder: Path) -> None:
        shutil.copytree(original, folder, dirs_exist_ok=True)
        broken = folder / "learner=pqn,seed=1"
        name = chance.choice(("config.yaml", "results.json", "results.json", "sequences.npz"))
        file = broken / name
        if name == "sequences.npz" or chance.random() < 0.3:
            other_bytes(chance, file)
        elif name == "results.json":
            found = json.loads(file.read_text(encoding="utf-8"))
            file.write_text(json.dumps(other_values(chance, found)), encoding="utf-8")
        else:
            found = yaml.safe_load(file.read_text(encoding="utf-8"))
            file.write_text(yaml.dump(other_values(chance, found), Dumper=DUMPER), encoding="utf-8")
        runs, left_out = runs_below(folder)
        assert len(runs) + len(left_out) == 2
        assert all("\n" not in reason and len(reason) < 500 for reason in left_out.values())
        rows, twins = summary_of(runs)
        summary = {"command": "", "folder": "", "rows": rows, "left_out": left_out | twins}
        json.dumps(summary, allow_nan=False)
        summary_markdown(summary)
        is_finished(broken)
        try:
            progress(MultirunJob("one", (), CONFIG), broken)
        except UsageError as error:
            assert "\n" not in str(error)  # noqa: PT017

    return case


CONFIG = configure("train", ["learner=pqn", "workload=comb", "seed=1"])
STATE = {"network": jnp.arange(6.0).reshape(2, 3), "key": jax.random.key(3)}
POINT = ValidationPoint(64, 2, 1.0, 64.0, 0.5, 20.0, 5.0)
ABOUT = {"updates": 1, "standings": [MemberState(None, 5.0, False, [POINT]).as_json()]}


def cases_of_checkpoints(original: Path) -> Callable:
    like = jax.eval_shape(lambda: STATE)
    writer = Checkpoints(original, pytest.fail)
    for update in (1, 2):
        writer.save(update, STATE, ABOUT, 5.0)
    writer.close()

    def check(about):
        for kept in about["standings"]:
            MemberState.from_json(None, kept)

    def case(chance: random.Random, folder: Path) -> None:
        shutil.copytree(original, folder, dirs_exist_ok=True)
        files = sorted(file for file in (folder / "2").rglob("*") if file.is_file())
        file = chance.choice(files)
        if "about" in str(file) and chance.random() < 0.8 and file.read_bytes()[:1] == b"{":
            found = json.loads(file.read_text(encoding="utf-8"))
            file.write_text(json.dumps(other_values(chance, found)), encoding="utf-8")
        elif file.stat().st_size:
            other_bytes(chance, file)
        reader = Checkpoints(folder, lambda told: None)
        found = reader.newest(like, check)
        reader.close()
        assert found is not None
        np.testing.assert_array_equal(found[0]["network"], STATE["network"])

    return case


SPACE = {"learning_rate": Range(1e-4, 1e-2, log=True), "arenas": Choice((64, 128))}
GIVEN = {"asked": {"seeds": 2}, "first": {"learning_rate": 1e-3, "arenas": 64}}


def cases_of_studies(original: Path) -> Callable:
    original.mkdir()
    with Study(original / "study.db", SPACE, **GIVEN) as study:
        for trial in study.ask(3):
            study.tell(trial.number, [5.0, 6.0 + trial.number])

    def case(chance: random.Random, folder: Path) -> None:
        file = folder / "study.db"
        shutil.copyfile(original / "study.db", file)
        for _ in range(chance.choice((1, 3, 20))):
            other_bytes(chance, file)
        try:
            with Study(file, SPACE, **GIVEN) as study:
                assert study.best is None or study.best.failed is not None
        except (ValueError, OSError) as error:
            assert len(str(error)) < 1000  # noqa: PT017

    return case


SORTS = {
    "policies": (
        10,
        lambda _: cases_of_carded(_SHIPPED_POLICIES / "generalist.safetensors", load_policy),
    ),
    "scorers": (6, lambda _: cases_of_carded(_SCORERS / f"{SCORERS[0]}.safetensors", load_scorer)),
    "resumed trainings": (5, lambda _: cases_of_resume("train", train.check)),
    "resumed searches": (5, lambda _: cases_of_resume("search", search.check)),
    "runs": (6, cases_of_runs),
    "checkpoints": (5, cases_of_checkpoints),
    "studies": (5, cases_of_studies),
}


def play(sort: str, folder: Path, seeds: range) -> None:
    case = SORTS[sort][1](folder / "original")
    for seed in seeds:
        place = folder / "case"
        place.mkdir()
        try:
            case(random.Random(seed), place)
        except Exception as error:
            raise AssertionError(f"{sort}, seed {seed}: {type(error).__name__}: {error}") from error
        shutil.rmtree(place)


# Orbax leaves work of its event loop to nobody when it cannot read.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("sort", SORTS)
def test_what_is_read_back_is_used_or_named(sort, tmp_path):
    play(sort, tmp_path, range(SORTS[sort][0]))


@pytest.mark.slow
# Orbax leaves work of its event loop to nobody when it cannot read.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("sort", SORTS)
def test_what_is_read_back_is_used_or_named_ten_thousand_times(sort, tmp_path):
    play(sort, tmp_path, range(160 * SORTS[sort][0]))


def test_nested_files_are_told(tmp_path, capsys):
    write_seeds(tmp_path / "runs", "learner=pqn")
    for text, name in (("{" * 3000, "config.yaml"), ("[" * 100_000, "results.json")):
        file = tmp_path / "runs" / "learner=pqn,seed=1" / name
        file.write_text(text, encoding="utf-8")
    assert main(["summarize", str(tmp_path / "runs")]) == 0
    assert "learner=pqn,seed=1: broken: " in " ".join(capsys.readouterr().out.split())
    assert main(["train", f"resume={tmp_path / 'runs' / 'learner=pqn,seed=1'}"]) == 2
    said = capsys.readouterr().err
    assert "config.yaml cannot be read: config.yaml: nested too deep" in said
    assert said.count("\n") == 1


def test_keys_that_are_no_texts_are_told(tmp_path, capsys):
    (tmp_path / "config.yaml").write_text("1: 2\n", encoding="utf-8")
    assert main(["train", f"resume={tmp_path}"]) == 2
    assert "config.yaml has a key that is no text: 1" in capsys.readouterr().err


def test_a_small_file_that_means_many_values_is_refused(tmp_path, capsys):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    (tmp_path / "config.yaml").write_text("\n".join(lines), encoding="utf-8")
    assert main(["train", f"resume={tmp_path}"]) == 2
    assert "config.yaml holds more than" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("base_policy", ["first"], r"base policy \['first'\] with"),
        ("hidden_sizes", [64] * 100_000, "sizes [64, 64"),
        ("network", ["mlp"], "network ['mlp']"),
        ("margin", 10**400, "margin 1000"),
        ("training", [], "training []"),
        ("choice", 5, "with 5"),
    ],
)
def test_a_card_with_another_kind_of_value_is_one_line(field, value, said, tmp_path):
    original = _SHIPPED_POLICIES / "generalist.safetensors"
    card = read_policy_file(original, "generalist")[1]
    file = tmp_path / "odd.safetensors"
    save_file(load_file(original), file, {"card": json.dumps({**card, field: value})})
    with pytest.raises(PolicyFileError) as told:
        load_policy(file)
    assert said.replace("\\", "") in str(told.value)
    assert len(str(told.value)) < 300


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("results.json", '{"policies":{}}', "results.json is not as jaxmem writes it"),
        ("results.json", '{"workload":"comb","policies":{}}', "results.json compares no policies"),
        ("config.yaml", "seed: [-2147483647, 1]", "config.yaml has seed [-2147483647, 1]"),
        ("config.yaml", "learner: {name: [pqn]}", "config.yaml has learner {'name': ['pqn']}"),
        ("sequences.npz", "[]", "sequences.npz: File is not a zip file"),
    ],
)
def test_one_broken_run_is_left_out_of_a_summary_with_its_reason(name, text, reason, tmp_path):
    write_seeds(tmp_path, "learner=pqn")
    (tmp_path / "learner=pqn,seed=1" / name).write_text(text, encoding="utf-8")
    runs, left_out = runs_below(tmp_path)
    assert [run.name for run in runs] == ["learner=pqn,seed=0", "learner=pqn,seed=2"]
    assert reason in left_out["learner=pqn,seed=1"]
    assert [row["seeds"] for row in summary_of(runs)[0]] == [[0, 2]]
