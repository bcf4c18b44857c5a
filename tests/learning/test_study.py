"""The trials of a search: none is lost, none is counted twice, whatever becomes of the process."""

import sqlite3
import subprocess
import sys
import textwrap

import numpy as np
import optuna
import pytest
from repetition import slow

from jaxmem.extras import MissingExtraError
from jaxmem.learning.space import Choice, Range
from jaxmem.learning.study import TRIALS_ENOUGH, Study, Trial

SPACE = {
    "learning_rate": Range(1e-4, 1e-2, log=True),
    "arenas": Choice((64, 128)),
    "rollout": Range(8, 64, whole=True),
}
ASKED = {"workload": "comb", "seeds": 2}
FIRST = {"learning_rate": 1e-3, "arenas": 128, "rollout": 512}


@pytest.fixture
def opened(tmp_path):
    """A function that opens the study of this test; those that are open are closed at the end."""
    studies = []

    def open_study(**options):
        given = {"asked": ASKED, "first": FIRST, **options}
        studies.append(Study(tmp_path / "study.db", given.pop("space", SPACE), **given))
        return studies[-1]

    yield open_study
    for study in studies:
        study.close()


def numbers(trials):
    return [trial.number for trial in trials]


def test_the_first_trial_has_the_settings_as_they_are_where_the_space_holds_them(opened):
    (first,) = opened().ask(1)
    assert (first.settings["learning_rate"], first.settings["arenas"]) == (1e-3, 128)
    assert 8 <= first.settings["rollout"] <= 64  # 512 is beyond the range


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_trials_lie_in_the_space_and_apart(opened, sampler):
    trials = opened(sampler=sampler).ask(12)
    assert numbers(trials) == list(range(12))
    for trial in trials:
        assert 1e-4 <= trial.settings["learning_rate"] <= 1e-2
        assert trial.settings["arenas"] in (64, 128)
        assert trial.settings["rollout"] in range(8, 65)
        assert isinstance(trial.settings["rollout"], int)
    rates = [trial.settings["learning_rate"] for trial in trials]
    assert len(set(rates)) == 12
    assert min(rates) < 3e-4 < 3e-3 < max(rates)


def test_what_was_told_is_read_again(opened):
    study = opened()
    first, second = study.ask(2)
    study.tell(first.number, [3.0, 5.0])
    study.tell(second.number, [2.0, None], "seed 1: the loss was no longer finite")
    study.close()
    done, failed = opened().trials
    assert done == Trial(0, first.settings, (3.0, 5.0))
    assert done.failed == 4.0
    assert failed.by_seed == (2.0, None)
    assert failed.note == "seed 1: the loss was no longer finite"
    assert failed.failed is None


def test_the_best_is_the_first_of_those_that_fail_least(opened):
    study = opened()
    assert study.best is None
    for trial, failed in zip(study.ask(4), [4.0, 3.0, 1.0, 3.0], strict=True):
        study.tell(trial.number, [failed], "broken" if failed == 1.0 else "")
    assert study.best.number == 1


def test_open_trials_are_asked_for_again_before_new_ones(opened):
    study = opened()
    asked = study.ask(4)
    study.tell(1, [3.0])
    study.close()  # as a kill does: three are open
    study = opened()
    again = study.ask(4)
    assert again[:3] == [asked[0], asked[2], asked[3]]
    assert numbers(again) == [0, 2, 3, 4]
    for trial in again:
        study.tell(trial.number, [4.0])
    assert numbers(study.trials) == [0, 1, 2, 3, 4]


def test_a_trial_killed_while_it_was_asked_for_gets_the_settings_that_it_lacks(opened, tmp_path):
    study = opened()
    asked = study.ask(2)
    study.close()
    with sqlite3.connect(tmp_path / "study.db") as file:
        file.execute("DELETE FROM trial_params WHERE trial_id = 2 AND param_name = 'rollout'")
    file.close()
    first, second = opened().ask(2)
    assert first == asked[0]
    assert second.settings["learning_rate"] == asked[1].settings["learning_rate"]
    assert second.settings["rollout"] in range(8, 65)


@pytest.mark.parametrize("sampler", ["tpe", *slow("random")])
def test_a_search_that_was_stopped_asks_as_one_that_was_not(sampler, tmp_path):
    def asked(folder, stops):
        folder.mkdir()
        given = {"asked": ASKED, "first": FIRST, "sampler": sampler, "seed": 3}
        study, found = Study(folder / "study.db", SPACE, **given), []
        for _ in range(4):
            trials = study.ask(3)
            if stops:
                study.close()
                study = Study(folder / "study.db", SPACE, **given)
                trials = study.ask(3)
            for trial in trials:
                study.tell(trial.number, [1000 * trial.settings["learning_rate"]])
            found += trials
        study.close()
        return found

    assert asked(tmp_path / "whole", stops=False) == asked(tmp_path / "stopped", stops=True)


def test_tpe_comes_nearer_to_the_best_settings(opened):
    study = opened(seed=2)
    away = []
    for _ in range(4):
        for trial in study.ask(8):
            away.append(float(abs(np.log10(trial.settings["learning_rate"] / 2e-3))))
            study.tell(trial.number, [away[-1]])
    at_random = np.abs(np.linspace(-4, -2, 1000) - np.log10(2e-3)).mean()
    assert np.mean(away[-16:]) < 0.75 * at_random


def test_the_setting_that_matters_is_the_most_important(opened):
    study = opened(sampler="random")
    for trial in study.ask(40):
        study.tell(trial.number, [100 * trial.settings["learning_rate"]])
    shares = study.importances()
    assert max(shares, key=shares.get) == "learning_rate"
    assert set(shares) == set(SPACE)
    assert sum(shares.values()) == pytest.approx(1)


def test_too_few_trials_say_nothing_of_importance(opened):
    study = opened()
    for trial in study.ask(TRIALS_ENOUGH):
        study.tell(trial.number, [1.0], "broken" if trial.number == 0 else "")
    assert study.importances() == {}


def test_a_file_of_another_search_is_refused(opened, tmp_path):
    opened().close()
    said = r"study.db is of a search with another seeds, space; take another out=DIR, or overwrite"
    with pytest.raises(ValueError, match=said):
        opened(asked={"workload": "comb", "seeds": 3, "space": 1})


def test_a_file_that_is_no_study_is_refused(opened, tmp_path):
    (tmp_path / "study.db").write_bytes(b"no database" * 1000)
    with pytest.raises(ValueError, match=r"study.db cannot be used: .*not a database"):
        opened()


def test_a_study_of_somebody_else_is_refused(opened, tmp_path):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/study.db")
    optuna.create_study(study_name="jaxmem", storage=storage).ask()
    storage.remove_session(), storage.engine.dispose()
    with pytest.raises(ValueError, match="is a study that jaxmem has not made"):
        opened()


def test_an_unknown_sampler_is_refused(opened):
    with pytest.raises(ValueError, match="sampler is 'tpi'; one of tpe, random"):
        opened(sampler="tpi")


def test_two_processes_do_not_work_on_one_search(opened):
    study = opened()
    with pytest.raises(ValueError, match="another process is at work on this search"):
        opened()
    study.close()
    opened()


def test_a_folder_may_have_any_name(tmp_path):
    folder = tmp_path / "50%,a?b=#{x} ü"
    folder.mkdir()
    with Study(folder / "study.db", SPACE, asked=ASKED, first=FIRST) as study:
        study.ask(1)
    assert [file.name for file in folder.iterdir()] == ["study.db"]


def test_a_killed_process_leaves_its_trials_to_the_next(opened, tmp_path):
    code = textwrap.dedent("""
        import os, sys
        from pathlib import Path
        from jaxmem.learning.space import Choice, Range
        from jaxmem.learning.study import Study
        space = {"learning_rate": Range(1e-4, 1e-2, log=True), "arenas": Choice((64, 128))}
        study = Study(Path(sys.argv[1]), space, asked={}, first={})
        asked = study.ask(3)
        study.tell(asked[0].number, [1.0])
        os.kill(os.getpid(), 9)
    """)
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "study.db"], check=False)
    assert done.returncode == -9
    space = {name: SPACE[name] for name in ("learning_rate", "arenas")}
    study = opened(space=space, asked={}, first={})
    assert numbers(study.trials) == [0]
    assert numbers(study.ask(3)) == [1, 2, 3]


def test_without_optuna_the_extra_is_named(opened, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"needs optuna: uv run --extra search"):
        opened()
