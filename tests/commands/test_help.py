"""What the program says of itself before anything runs."""

import yaml

from jaxmem.cli import main
from jaxmem.configuration import configure
from jaxmem.verbs import VERBS


def told(capsys, *words: str) -> str:
    assert main(words) == 0
    return capsys.readouterr().out


def test_help_lists_the_settings_of_the_learner_that_is_chosen(capsys):
    shown = told(capsys, "train", "learner=pqn", "--help")
    assert "learner.rollout=64" in shown
    assert "learner.steps=6000000" in shown
    assert "# weight of longer returns in the target" in shown
    assert "learner.states=2400000" not in shown
    assert "workload.capacity=100" in shown
    assert "learner.states=2400000" in told(capsys, "train", "--help")


def test_help_lists_the_settings_of_the_workload_that_is_chosen(capsys):
    shown = told(capsys, "compare", "-h", "workload=trace", "workload.slack=3")
    assert "workload.slack=1.1" in shown  # the default
    assert "# arena / what is live at the peak, rounded up to cells" in shown
    assert "workload.capacity" not in shown
    # What a choice takes from another has its words too.
    alias = told(capsys, "compare", "--help", "workload=segregated-lifetimes")
    assert "# cells: live cells never exceed it" in alias


def test_a_learner_that_brings_a_network_shows_its_settings(capsys):
    shown = told(capsys, "train", "learner=dqn/classic", "--help")
    assert "network=mlp" in shown
    assert "environment.reward=classic" in shown
    assert "network.hidden_feature_groups" not in shown


def test_where_several_are_listed_help_is_that_of_the_default(capsys):
    assert "learner.states=" in told(capsys, "train", "-m", "learner=pqn,dqn", "--help")


def test_help_refuses_a_choice_that_is_not_there(capsys):
    assert main(["train", "learner=pqm", "--help"]) == 2
    assert "unknown learner 'pqm'; did you mean pqn" in capsys.readouterr().err


def test_what_is_counted_is_explained_where_it_is_asked_for(capsys):
    shown = told(capsys, "train", "--help")
    assert all(f"\n  {word}: " in shown for word in ("step", "state", "episode"))


def test_the_first_word_of_a_verb_helps_with_the_second(capsys):
    shown = told(capsys, "trace", "--help")
    verbs = [verb for verb in VERBS if verb.startswith("trace ")]
    assert len(verbs) == 3
    assert all(f"  {verb} " in shown and VERBS[verb].summary in shown for verb in verbs)
    assert main(["race", "--help"]) == 2
    assert "unknown command 'race'" in capsys.readouterr().err


def test_the_whole_configuration_is_shown_and_nothing_runs(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["learner=pqn", "workload.capacity=80", "out=größe"]
    shown = yaml.safe_load(told(capsys, "train", *words, "--cfg", "job"))
    assert shown == configure("train", words).plain()
    assert shown["workload"]["capacity"] == 80
    assert list(tmp_path.iterdir()) == []


def test_the_configuration_of_a_verb_that_takes_a_file_has_it(capsys):
    shown = yaml.safe_load(told(capsys, "trace", "info", "a=1.csv", "alignment=1", "--cfg", "job"))
    assert (shown["file"], shown["alignment"]) == ("a=1.csv", 1)
    shown = yaml.safe_load(told(capsys, "trace", "info", "--cfg", "job"))
    assert not {"file", "earlier"} & set(shown)
    words = ["a=1.csv", "alignment=1", "b.csv"]  # whatever stands between
    shown = yaml.safe_load(told(capsys, "trace", "info", *words, "--cfg", "job"))
    assert (shown["earlier"], shown["file"], shown["alignment"]) == ("a=1.csv", "b.csv", 1)
    shown = told(capsys, "trace", "record", "out=x.npz", "--cfg", "job", "--", "ls", "--cfg")
    assert yaml.safe_load(shown)["out"] == "x.npz"


def test_no_other_configuration_can_be_asked_for(capsys):
    for words, said in (
        (["compare", "--cfg", "hydra"], "--cfg shows one thing: --cfg job"),
        (["compare", "--cfg"], "--cfg shows one thing: --cfg job"),
        (["compare", "-m", "seed=0,1", "--cfg", "job"], "shows one configuration; leave -m"),
        (["compare", "sead=1", "--cfg", "job"], "did you mean seed"),
    ):
        assert main(words) == 2
        assert said in capsys.readouterr().err
