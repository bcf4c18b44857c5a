"""A search: what is trained together, what is told of it, and what is left when it is stopped."""

from types import SimpleNamespace

import pytest

from jaxmem.learning import search as searching
from jaxmem.learning.config import train_config
from jaxmem.learning.search import plan_search, search
from jaxmem.learning.space import about
from jaxmem.learning.stopping import Terminated
from jaxmem.learning.study import Study
from jaxmem.learning.train import train
from jaxmem.settings.learner import EvaluationConfig
from jaxmem.workloads.registry import workload

TASK = workload("memoryless", 32)  # one word: little to compile
RUN = {"learner": "pqn", "seed": 5, "holes": 3, "reward": "failures"}
TINY = {**RUN, "steps": 2000, "arenas": 16, "rollout": 16, "minibatches": 4, "hidden_sizes": [8]}
RATES = {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}


class Watched:
    """What a search tells, and keeps."""

    def __init__(self):
        self.batches, self.done, self.best, self.kept = [], [], [], []
        self.saved, self.forgotten = {}, 0

    def begun(self, trials, seeds):
        self.batches.append([trial.number for trial in trials])

    def told(self, trial, best):
        self.done.append(trial)
        self.best.append(None if best is None else best.number)

    def started(self, references, steps, members):
        pass

    def report(self, member, at):
        pass

    def forget(self):
        self.forgotten += 1

    def checkpointing(self, program):
        self.kept.append(program)

    def save(self, number, members):
        self.saved[number] = [member.seed for member in members]


@pytest.fixture
def searched(tmp_path, monkeypatch):
    """A function that searches with runs that cost nothing, and returns what was watched.

    A member fails `failing(config, seed)` %, or is a note why it has no figure.
    """
    trained = []

    def programs(config, seeds, choices, listeners, checkpointing):
        kinds = {}
        for place, config in enumerate(choices):
            kinds.setdefault(config.arenas, []).append(place)
        for places in kinds.values():
            numbers = [place * len(seeds) + s for place in places for s in range(len(seeds))]
            checkpointing(numbers)
            trained.append([choices[place] for place in places])
            results = {}
            for number in numbers:
                config, seed = choices[number // len(seeds)], seeds[number % len(seeds)]
                come = run.failing(config, seed)
                note = come if isinstance(come, str) else ""
                results[number] = SimpleNamespace(
                    seed=seed,
                    note=note,
                    interrupted=note.startswith("interrupted"),
                    validation_failed=None if note else come,
                )
            yield results

    def run(space, *, trials, batch):
        plan = plan_search(train_config(TASK, **TINY), space, 2)
        asked, watched = about(plan.space), Watched()
        file = tmp_path / "study.db"
        with Study(file, plan.space, asked=asked, first=plan.defaults) as study:
            watched.whole = search(
                plan,
                study,
                trials=trials,
                batch=batch,
                watcher=watched,
                checkpointing=watched.checkpointing,
                forget=watched.forget,
                save=watched.save,
            )
            watched.trials = study.trials
        return watched

    monkeypatch.setattr(searching, "train_programs", programs)
    run.failing = lambda config, seed: 100 * config.learning_rate + seed
    run.trained = trained
    return run


def test_trials_are_trained_in_batches_with_every_seed(searched):
    seen = searched(RATES, trials=7, batch=3)
    assert seen.whole
    assert seen.batches == [[0, 1, 2], [3, 4, 5], [6]]
    assert [trial.number for trial in seen.trials] == list(range(7))
    for trial in seen.trials:
        rate = 100 * trial.settings["learning_rate"]
        assert trial.by_seed == (rate + 5, rate + 6)
        assert trial.failed == pytest.approx(rate + 5.5)
    assert seen.forgotten == 3


def test_policies_are_kept_of_what_is_the_best_so_far(searched):
    seen = searched(RATES, trials=7, batch=3)
    least, better = float("inf"), []
    for trial in seen.trials:
        if trial.failed < least:
            least, better = trial.failed, [*better, trial.number]
    assert seen.saved == {number: [5, 6] for number in better}
    assert seen.best[-1] == better[-1]


def test_equal_settings_are_trained_once_and_told_as_often_as_asked_for(searched):
    seen = searched({"arenas": [16, 32]}, trials=6, batch=3)
    assert len(seen.trials) == 6
    assert sorted(config.arenas for kind in searched.trained for config in kind) == [16, 32]
    assert {trial.by_seed for trial in seen.trials} == {(0.1 + 5, 0.1 + 6)}
    assert list(seen.saved) == [0]


def test_a_trial_whose_loss_was_not_finite_counts_and_comes_to_nothing(searched):
    cheap = searched.failing
    broken = "stopped at step 256: the loss was no longer finite"
    searched.failing = lambda config, seed: (
        broken if seed == 6 and config.learning_rate > 1e-3 else cheap(config, seed)
    )
    seen = searched(RATES, trials=8, batch=4)
    assert seen.whole
    assert len(seen.trials) == 8
    for trial in seen.trials:
        high = trial.settings["learning_rate"] > 1e-3
        assert (trial.failed is None) == high
        assert trial.note == (f"seed 6: {broken}" if high else "")
    assert all(seen.trials[number].failed is not None for number in seen.saved)


def test_values_that_do_not_go_together_come_to_nothing(searched):
    # Each of the values is allowed beside the settings as they are.
    seen = searched({"arenas": [4, 16], "minibatches": [4, 128]}, trials=24, batch=24)
    assert seen.whole
    apart = [trial for trial in seen.trials if trial.failed is None]
    assert apart
    for trial in apart:
        assert trial.settings == {"arenas": 4, "minibatches": 128}
        assert trial.note.startswith("learner.minibatches is 128; it must divide the 64 steps")


def test_ctrl_c_keeps_what_is_done_and_leaves_the_rest_open(searched):
    space = {**RATES, "arenas": [16, 32]}
    cheap = searched.failing
    searched.failing = lambda config, seed: (
        "interrupted after 256 steps" if config.arenas == 32 else cheap(config, seed)
    )
    seen = searched(space, trials=8, batch=8)
    assert not seen.whole
    done = [trial.number for trial in seen.trials]
    assert 0 < len(done) < 8
    assert all(trial.settings["arenas"] == 16 for trial in seen.trials)
    searched.failing = cheap
    again = searched(space, trials=8, batch=8)
    assert again.whole
    assert sorted([*done, *(trial.number for trial in again.done)]) == list(range(8))
    assert [trial.number for trial in again.trials] == list(range(8))


def test_ctrl_c_outside_training_ends_the_search_too(searched):
    def interrupted(config, seed):
        raise KeyboardInterrupt

    searched.failing = interrupted
    seen = searched(RATES, trials=4, batch=2)
    assert (seen.whole, seen.trials) == (False, [])


def test_sigterm_leaves_the_batch_open(searched):
    cheap = searched.failing

    def terminated(config, seed):
        raise Terminated("terminated after 256 steps")

    searched.failing = terminated
    with pytest.raises(Terminated):
        searched(RATES, trials=4, batch=2)
    searched.failing = cheap
    assert searched(RATES, trials=4, batch=2).batches == [[0, 1], [2, 3]]


def test_a_batch_goes_on_from_its_own_checkpoints_and_no_others(searched):
    searched.failing = lambda config, seed: "interrupted after 256 steps"
    first = searched(RATES, trials=4, batch=2)
    again = searched(RATES, trials=4, batch=2)
    assert first.kept == again.kept
    searched.failing = lambda config, seed: 1.0
    rest = searched(RATES, trials=4, batch=2)
    assert rest.kept[0] == first.kept[0]
    assert rest.kept[1] != first.kept[0]


def test_more_trials_go_on_with_those_there_are(searched):
    searched(RATES, trials=2, batch=2)
    more = searched(RATES, trials=5, batch=2)
    assert [trial.number for trial in more.done] == [2, 3, 4]
    assert searched(RATES, trials=3, batch=2).done == []


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"trials": 0, "batch": 1}, "trials is 0; a whole number of at least 1"),
        ({"trials": True, "batch": 1}, "trials is True"),
        ({"trials": 1, "batch": 0}, "batch is 0; a whole number of at least 1"),
        ({"trials": 1, "batch": 2049}, "2,049 trials in a batch with 2 seeds each; at most 4,096"),
    ],
)
def test_numbers_that_cannot_be_are_refused(searched, numbers, said):
    with pytest.raises(ValueError, match=said):
        searched(RATES, **numbers)


@pytest.mark.slow
def test_a_trial_comes_to_what_a_run_with_its_settings_comes_to(tmp_path, monkeypatch):
    few = EvaluationConfig(training_sequences=64, validation_sequences=16)
    plan = plan_search(train_config(TASK, **TINY, evaluation=few), RATES)
    watched = Watched()
    with Study(tmp_path / "study.db", plan.space, asked={}, first=plan.defaults) as study:
        assert search(plan, study, trials=2, batch=2, watcher=watched)
        found = study.trials
    alone = train(TASK, **TINY, **found[1].settings, evaluation=few)
    assert found[1].by_seed == (alone.validation_failed,)
