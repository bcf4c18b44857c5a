"""A run that is stopped anywhere, and goes on, comes to the bits of one that never stopped."""

import dataclasses
import os
import signal

import jax
import numpy as np
import pytest
from repetition import slow
from toy_learner import SETTINGS, TASK, UPDATES, in_place_of_pqn

from jaxmem.learning import loop
from jaxmem.learning.checkpoint import Checkpointing, Checkpoints
from jaxmem.learning.stopping import Stop, Terminated
from jaxmem.learning.train import train


class Killed(BaseException):
    """As little foreseen as a SIGKILL."""


class Heard:
    """Listens, and does something after so many reports."""

    def __init__(self, after=None, then=None):
        self.reports, self.after, self.then = [], after, then

    def started(self, references, steps, members):
        pass

    def report(self, member, at):
        self.reports.append(at)
        if len(self.reports) == self.after:
            self.then()


def kill():
    raise Killed


@pytest.fixture(scope="module", autouse=True)
def toy():
    with in_place_of_pqn():
        yield


@pytest.fixture
def told():
    return []


def run(folder=None, told=None, heard=None, seconds=0.0, **changes):
    tell = (told if told is not None else []).append
    checkpointing = None if folder is None else Checkpointing(Checkpoints(folder, tell), seconds)
    listeners = [heard] if heard else []
    settings = {**SETTINGS, **changes}
    try:
        return train(
            TASK, "pqn", seed=5, listeners=listeners, checkpointing=checkpointing, **settings
        )
    finally:
        if checkpointing:
            checkpointing.checkpoints.close()


@pytest.fixture(scope="module")
def whole():
    """The run that nothing disturbs."""
    return run()


def timeless(curve):
    return [dataclasses.replace(at, seconds=0.0, steps_per_second=0.0) for at in curve]


def assert_the_same(result, whole):
    ours, its = (jax.tree.leaves(one.policy.parameters) for one in (result, whole))
    for leaf, other in zip(ours, its, strict=True):
        np.testing.assert_array_equal(leaf, other)
    assert timeless(result.curve) == timeless(whole.curve)
    assert result.card == whole.card
    assert (result.steps, result.episodes, result.note) == (whole.steps, whole.episodes, "")


def test_checkpoints_change_nothing(whole, tmp_path):
    assert_the_same(run(tmp_path / "kept"), whole)


@pytest.mark.parametrize("after", [7, *slow(1, 2, 4)])
def test_a_run_killed_at_a_report_goes_on_to_the_same_bits(whole, tmp_path, after):
    with pytest.raises(Killed):
        run(tmp_path, heard=Heard(after, kill))
    heard = Heard()
    assert_the_same(run(tmp_path, heard=heard), whole)
    # Listeners hear the whole run: what was before it was stopped, too.
    assert timeless(heard.reports) == timeless(whole.curve)


def test_a_run_killed_again_and_again_goes_on_to_the_same_bits(whole, tmp_path):
    deaths = 0
    for after in [1, 2, 4]:
        try:
            run(tmp_path, heard=Heard(after, kill))
        except Killed:
            deaths += 1
    assert deaths == 3
    assert_the_same(run(tmp_path), whole)


def test_a_run_killed_between_two_validations_goes_on_from_there(whole, tmp_path, monkeypatch):
    train_block, updates = loop._train_block, []

    def counted(count, *run):
        updates.append(count)
        if len(updates) == 6:
            raise Killed
        return train_block(min(count, 1), *run)

    monkeypatch.setattr(loop, "_train_block", counted)
    with pytest.raises(Killed):
        run(tmp_path)
    monkeypatch.undo()
    again = []
    monkeypatch.setattr(
        loop, "_train_block", lambda n, *run: again.append(n) or train_block(n, *run)
    )
    assert_the_same(run(tmp_path), whole)
    assert sum(again) == UPDATES - 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_first(whole, tmp_path, number, signals):
    before = signal.getsignal(number)
    heard = Heard(4, lambda: os.kill(os.getpid(), number))
    if number == signal.SIGTERM:
        with pytest.raises(Terminated, match="terminated after 512 steps"):
            run(tmp_path, heard=heard, seconds=1e9)
    else:
        result = run(tmp_path, heard=heard, seconds=1e9)
        assert result.note == "interrupted after 512 steps"
        assert result.steps == 512
    assert signal.getsignal(number) is before
    assert_the_same(run(tmp_path, seconds=1e9), whole)


def test_what_is_ignored_when_a_run_begins_stays_ignored(signals):
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # as by `nohup`, or in the background of a script
        with Stop() as stop:
            os.kill(os.getpid(), number)
        assert stop.heard is None
        assert signal.getsignal(number) is signal.SIG_IGN


def test_a_broken_newest_checkpoint_costs_only_itself(whole, tmp_path, told):
    with pytest.raises(Killed):
        run(tmp_path, heard=Heard(6, kill))
    newest = max((entry for entry in tmp_path.iterdir()), key=lambda entry: int(entry.name))
    for file in (newest / "state").rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert_the_same(run(tmp_path, told), whole)
    assert len(told) == 1
    assert f"checkpoint {newest} cannot be used" in told[0]


def test_without_a_good_checkpoint_a_run_begins_anew(whole, tmp_path, told):
    with pytest.raises(Killed):
        run(tmp_path, heard=Heard(3, kill))
    for file in tmp_path.rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    assert_the_same(run(tmp_path, told), whole)
    assert told


def test_a_run_whose_loss_is_not_finite_stays_stopped(tmp_path):
    stopped = run(tmp_path, learning_rate=1e38)
    assert "no longer finite" in stopped.note
    again = run(tmp_path, learning_rate=1e38)
    assert (again.note, again.steps) == (stopped.note, stopped.steps)
