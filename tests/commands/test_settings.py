"""What can be set: files and dataclasses say the same, and no value of any kind is a traceback."""

import random
import subprocess
import sys

import pytest
import yaml
from with_value import with_value

from jaxmem.cli import main
from jaxmem.commands import (
    bench,
    byte_policies,
    demo,
    plan,
    search,
    train,
    train_runs,
    workload_of,
)
from jaxmem.commands.compare import compared_policies
from jaxmem.commands.render import rendered_policies
from jaxmem.configuration import composed, settings_of
from jaxmem.evaluation import beam, tuning
from jaxmem.evaluation.question import question_of
from jaxmem.overrides import UsageError
from jaxmem.settings.fields import Settings
from jaxmem.settings.learner import LEARNERS, EvaluationConfig
from jaxmem.verbs import VERBS

RECORDING = "torch_cpu_mlp_train"
VALUES = (
    *("null", "true", "false", "0", "1", "-1", "2", "3", "0.5", "-0.5", "1.0", "1e-3", "1e30"),
    *("1e400", "nan", "inf", "-inf", "2147483647", "2147483648", "4294967295", "4294967296"),
    *("9223372036854775808", "9" * 30, "9" * 5000, "-" + "9" * 5000, "0x10", "1_000"),
    *("abc", "''", "' '", "best", "all", "[/b]", "???", "x" * 3000, "'null'", "'1'", "'é\t'"),
    *("[]", "[1]", "[a]", "[a,a]", "[best]", "[[1]]", "[[]]", "[[a],[b]]", "[null]", "[true]"),
    *("[nan]", "[1.5,2]", "[-1]", f"[{'9' * 30}]", "['']", "[{a: 1}]", "{}", "{a: 1}", "{1: 2}"),
    *("{a: {b: [1]}}", "{null: 1}", "{low: 1, high: 2}", "{name: pqn}", "{source: comb}"),
    *("[" * 50 + "]" * 50, "{a: " * 50 + "1" + "}" * 50, "1,2", "range(0,3)", "glob(*)"),
)
# Of what a verb is asked for, besides the value that is tried.
ASKED = (
    ("train", ()),
    ("train", ("learner=pqn", "workload=call-sites")),
    ("train", ("learner=dqn", "network=mlp", "workload=classic", "cells=64")),
    ("train", ("learner=pqn", "workload=trace", f"workload.name={RECORDING}", "seeds=2")),
    ("train runs", ("workload.family=convnet",)),
    ("search", ("workload=comb",)),
    ("search", ("learner=dqn", "workload=training-step")),
    ("compare", ("workload=mixed",)),
    ("compare", ("workload=scenario",)),
    ("compare", ("workload=trace", f"workload.name={RECORDING}")),
    ("render", ("workload=random",)),
    *((verb, ()) for verb in ("bench", "summarize", "demo")),
    *((verb, ()) for verb in ("trace import", "trace record", "trace info", "plan")),
)
FORMS = ("{0}={1}", "+{0}={1}", "++{0}={1}", "~{0}", "~{0}={1}", "{0}.new={1}", "{0}.0={1}")
FORMS = (*FORMS, "{0}@_global_={1}", "{0}@x={1}", "+new={1}", "a.b.c={1}", "{0}/x={1}", "{0}={1}]")


def begin(verb: str, settings: Settings) -> None:
    """Does all that a verb does before its work begins."""
    if verb == "train":
        train.check(settings)
    elif verb == "train runs":
        train_runs.runs_of(settings.workload)
    elif verb == "search":
        search.check(settings)
    elif verb == "compare":
        task = workload_of(settings)
        question_of(
            compared_policies(settings.policies, task),
            task,
            settings.sequences,
            settings.seed,
            settings.reference,
            settings.measures,
            settings.hindsight,
        )
    elif verb == "render":
        task = workload_of(settings)
        question_of(rendered_policies(settings.policies, task), task, 1, settings.seed)
    elif verb == "bench":
        bench.plan_of(settings)
    elif verb == "demo":
        demo.server_arguments(settings)
    elif verb == "trace info":
        byte_policies.check_byte_policies(settings.policies)
    elif verb == "plan":
        plan.check_planners(settings.planners)


def keys_of(config: dict, above: str = "") -> list[str]:
    """Lists all keys, nested ones too."""
    found = []
    for key, value in config.items():
        found += [
            f"{above}{key}",
            *(keys_of(value, f"{above}{key}.") if value.__class__ is dict else []),
        ]
    return found


@pytest.fixture(scope="module")
def usual():
    """The configurations that are changed, and nothing that plays or compiles."""
    with pytest.MonkeyPatch.context() as patched:
        for module in (train, search, train.grid):
            patched.setattr(module, "check_tight", lambda task, seed: None)
        yield [(verb, composed(verb, words)) for verb, words in ASKED]


def refused(verb: str, given: dict) -> bool:
    """Whether a configuration is refused, in one line; else it is as it was given."""
    try:
        settings = settings_of(verb, given)
        begin(verb, settings)
    except ValueError as error:
        assert str(error).strip()  # noqa: PT017 (it need not be raised)
        return True
    again = yaml.safe_load(yaml.safe_dump(settings.plain(), sort_keys=False))
    assert again == given
    assert settings_of(verb, again) == settings
    return False


def try_values(usual: list, cases: int, seed: int) -> None:
    chance = random.Random(seed)
    counted = {True: 0, False: 0}
    for _ in range(cases):
        verb, config = chance.choice(usual)
        key, value = chance.choice(keys_of(config)), chance.choice(VALUES)
        kind = VERBS[verb]
        words = ((kind.argument, "file"), (kind.ahead, None), (kind.command, ["ls"]))
        for name, nothing in words:
            config = {**config, name: nothing} if name else config
        try:
            given = with_value(config, f"{key}={value}")
        except UsageError:
            continue
        if given is not None:
            counted[refused(verb, given)] += 1
    assert min(counted.values()) > cases // 50


def test_a_value_of_any_kind_is_taken_or_refused(usual):
    try_values(usual, 250, seed=1)


@pytest.mark.slow
def test_many_values_of_any_kind_are_taken_or_refused(usual):
    try_values(usual, 10_000, seed=2)


def line_of(verb: str) -> list[str]:
    """Returns the words that call a verb."""
    return ["train", "workload=runs"] if verb == "train runs" else verb.split()


def try_lines(usual: list, cases: int, seed: int, capsys) -> None:
    chance = random.Random(seed)
    for _ in range(cases):
        place = chance.randrange(len(ASKED))
        verb, words = ASKED[place]
        key = chance.choice(keys_of(usual[place][1]))
        word = chance.choice(FORMS).format(key, chance.choice(VALUES))
        # The whole configuration is shown, and nothing runs.
        status = main([*line_of(verb), *words, word, "--cfg", "job"])
        heard = capsys.readouterr()
        assert (status, heard.err.count("\n")) in ((0, 0), (2, 1)), word


def test_a_line_with_any_word_is_read_or_refused(usual, capsys):
    try_lines(usual, 12, 3, capsys)


@pytest.mark.slow
def test_many_lines_with_any_word_are_read_or_refused(usual, capsys):
    try_lines(usual, 1000, 4, capsys)


@pytest.mark.parametrize("verb", VERBS)
def test_the_file_of_a_verb_says_what_its_dataclass_does(verb):
    given, usual = composed(verb, []), VERBS[verb].settings().plain()
    for words in (VERBS[verb].argument, VERBS[verb].ahead, VERBS[verb].command):
        usual.pop(words, None)
    assert usual == given
    assert list(usual) == list(given)  # as config.yaml has them


@pytest.mark.parametrize("name", [*LEARNERS, "dqn/classic"])
def test_the_file_of_a_learner_says_what_its_dataclass_does(name):
    given = composed("train", [f"learner={name}"])
    settings = settings_of("train", given)
    assert settings.plain() == given
    assert (settings.learner == LEARNERS[settings.learner.name]()) == (name in LEARNERS)


def test_what_cannot_be_set_is_refused_before_jax_is_imported():
    program = (
        "import sys; from jaxmem.cli import main; status = main(sys.argv[1:]); "
        "sys.exit(9 if 'jax' in sys.modules else status)"
    )
    for words in (["compare", "seed=x"], ["train", "learner.gamma=2"], ["bench", "cells=5"]):
        done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True)
        assert done.returncode == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("train ~seed", "'~seed' takes a setting away"),
        ("train hosts=5", "hosts is 5; it has count, index, address"),
        ("train hosts.count=3", "hosts.index is None; a whole number from 0 to 2"),
        ("train checkpoint=5", "checkpoint is 5; it has seconds, finished"),
        ("train evaluation={lat:1}", "jaxmem train has no 'evaluation.lat'; did you mean"),
        ("train grid={gamma:[1]}", "write grid.gamma=VALUE"),
        ("train loggers=[[1]]", "loggers is [[1]]; a list of names, as [a,b]"),
        ("compare workload.source=5", "workload.source is 5; one of classic, memoryless"),
        ("compare workload.source=mixed", "it has source, lifetime_hints"),
        ("compare workload=trace workload.name=[first]", "it must be the name of a recording"),
        ("compare workload@_global_=comb", "no other place can be named with @"),
        ("compare seed=" + "9" * 5000, "is not an override; write key=value"),
        ("compare seed=" + "9" * 30, "seed is a whole number of 100 bits; a whole number from 0"),
        ("compare +new=1", "jaxmem compare has no 'new'"),
        ("compare a.b.c=1", "jaxmem compare has no 'a.b.c'"),
        ("search space=5", "space is 5; a mapping, as {name: value}"),
        ("trace import x.csv format=[a]", "format is ['a']; a text or null"),
        ("trace info x.csv alignment=3", "alignment is 3; a power of two from 1 to 2,097,152"),
        ("trace info x.csv device=-1", "device is -1; the number of a device, as 0, or null"),
        ("trace record recorder=strace -- ls", "; memray, valgrind, preload or null"),
        ("demo address=null", "address is None; localhost, or an address of this machine"),
    ],
)
def test_what_is_given_and_what_is_allowed_stand_in_one_line(words, said, capsys, tmp_path):
    assert main(words.split()) == 2
    heard = capsys.readouterr()
    assert (heard.out, heard.err.count("\n"), len(heard.err) < 600) == ("", 1, True)
    assert said in heard.err


def test_what_is_usual_in_python_is_usual_on_the_command_line():
    usual = VERBS["compare"].settings()
    assert usual.hindsight_width == beam.BEAM_WIDTH
    assert usual.tuning_sequences == tuning.TUNING_SEQUENCES == EvaluationConfig().tuning_sequences
    assert VERBS["render"].settings().tuning_sequences == tuning.TUNING_SEQUENCES
