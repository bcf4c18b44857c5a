"""A search for the settings of a learner that fail least: batches of trials, each trained at once.

Optuna asks for the trials of a batch together; those that differ in numbers alone, with all their
seeds, are one program. What is minimised is failed requests on validation sequences, in the mean
over seeds: test sequences are not seen.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from jaxmem.learning.devices import ALL, check_devices
from jaxmem.learning.learners import Config, check_training
from jaxmem.learning.space import Space, space_of
from jaxmem.learning.study import Study, Trial
from jaxmem.learning.sweep import check_members
from jaxmem.learning.train import Job, TrainResult
from jaxmem.learning.training import Keeping, Listener
from jaxmem.workloads.registry import Workload


@dataclass(frozen=True)
class Plan:
    """What is searched, checked: every trial is this but for its own settings."""

    job: Job
    space: Space
    seeds: tuple[int, ...]  # S, of each trial
    settings: dict[str, Any] = field(repr=False)  # of the learner and its network

    @property
    def defaults(self) -> dict[str, Any]:
        """What the settings that are searched are without a search."""
        config = self.config({})
        return {name: getattr(config, name) for name in self.space}

    def config(self, found: Mapping[str, Any]) -> Config:
        """All settings of a trial; raises ValueError where they do not go together."""
        job = self.job
        game = {"seed": self.seeds[-1], "holes": job.holes, "reward": job.reward}
        _, config = check_training(job.task, job.learner, **game, **{**self.settings, **found})
        check_devices(job.devices, config.arenas_in_play)
        return config


class Watcher(Listener, Protocol):
    """Who is told how a search goes."""

    def begun(self, trials: Sequence[Trial], seeds: int) -> None:
        """Trials that are trained together begin; member m is of the trial m // seeds."""

    def told(self, trial: Trial, best: Trial | None) -> None:
        """A trial is done, and which is the best so far."""


def plan_of(
    task: Workload,
    learner: str,
    *,
    space: Mapping[str, Any],
    seed: int,
    seeds: int,
    holes: int,
    reward: str,
    devices: int | str = ALL,
    **settings: Any,
) -> Plan:
    """What is to be searched.

    Args:
        space: of each setting a range or a list, as in `space_of`; none: the usual ones.
        seed: the first of the seeds.
        settings: of the learner, where they are not searched; the rest as in `train`.

    Raises:
        ValueError: what `train` would refuse; a space that is none, or with an end of a range, or a
            value, that the learner cannot have beside the other settings.
    """
    check_members(seeds)
    check_training(task, learner, seed=seed, holes=holes, reward=reward, **settings)
    job = Job(task, learner, holes, reward, devices)
    seeded = tuple(range(seed, seed + seeds))
    plan = Plan(job, space_of(learner, space), seeded, settings)
    plan.config({})
    for name, values in plan.space.items():
        for value in values.ends:
            try:
                plan.config({name: value})
            except ValueError as error:
                raise ValueError(f"space.{name} has {value!r}: {error}") from error
    return plan


def search(
    plan: Plan,
    study: Study,
    *,
    trials: int,
    batch: int,
    watcher: Watcher,
    keeping: Callable[[str], Keeping | None] = lambda program: None,
    forget: Callable[[], None] = lambda: None,
    save: Callable[[int, Sequence[TrainResult]], None] = lambda number, members: None,
) -> bool:
    """Trains until `trials` trials have been told; whether they have.

    Ctrl-C ends it: the trials told so far stay, the others are left open.

    Args:
        study: with the trials so far.
        batch: trials side by side.
        keeping: of the name of a program, where its checkpoints are kept.
        forget: deletes these, when a batch has been told.
        save: keeps what a trial's seeds left, where it is the best so far, before it is told.

    Raises:
        ValueError: `trials` or `batch` out of range.
        Terminated: by SIGTERM, after a checkpoint; the batch is left open.
    """
    check_counts(trials, batch, len(plan.seeds))
    try:
        while (missing := trials - len(study.trials)) > 0:
            asked = study.ask(min(batch, missing))
            if not _Batch(plan, study, asked, watcher, save).train(keeping):
                return False
            forget()
    except KeyboardInterrupt:
        return False
    return True


def check_counts(trials: Any, batch: Any, seeds: int) -> None:
    """Raises ValueError for numbers of trials that `search` would refuse."""
    for name, value in (("trials", trials), ("batch", batch)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} is {value!r}; a whole number of at least 1")
    check_members(seeds, batch, "trials in a batch")


@dataclass(frozen=True)
class _Batch:
    """Trials that are trained together."""

    plan: Plan
    study: Study
    asked: Sequence[Trial]
    watcher: Watcher
    save: Callable[[int, Sequence[TrainResult]], None]

    def train(self, keeping: Callable[[str], Keeping | None]) -> bool:
        """Trains the trials and tells what comes of them; whether of all."""
        # Equal settings come to the same: they are trained once, and told as often as asked for.
        twins: dict[Config, list[Trial]] = {}
        before = {_key(trial): trial for trial in self.study.trials}
        for trial in self.asked:
            if (known := before.get(_key(trial))) is not None:
                self._tell(trial, known.by_seed, known.note)
                continue
            try:
                twins.setdefault(self.plan.config(trial.settings), []).append(trial)
            except ValueError as error:  # values that do not go together
                self._tell(trial, (), str(error))
        if not twins:
            return True
        seeds, results = self.plan.seeds, dict[int, TrainResult]()
        self.watcher.begun([trials[0] for trials in twins.values()], len(seeds))
        programs = self.plan.job.programs(
            *(seeds, list(twins), [self.watcher]),
            lambda places: keeping(self._name(places, list(twins.values()))),
        )
        waiting = dict(enumerate(twins.values()))
        for found in programs:
            results |= found
            for place in sorted(waiting):
                of = range(place * len(seeds), (place + 1) * len(seeds))
                members = [results[member] for member in of if member in results]
                if len(members) == len(seeds) and not any(one.interrupted for one in members):
                    self._done(waiting.pop(place), members)
            if any(member.interrupted for member in found.values()):
                return False
        return True

    def _done(self, twins: Sequence[Trial], members: Sequence[TrainResult]) -> None:
        by_seed = [member.validation_failed for member in members]
        note = next((f"seed {one.seed}: {one.note}" for one in members if one.note), "")
        found = Trial(twins[0].number, twins[0].settings, tuple(by_seed), note)
        best = self.study.best
        if found.failed is not None and (best is None or found.rank < best.rank):
            self.save(found.number, members)
        for trial in twins:
            self._tell(trial, by_seed, note)

    def _tell(self, trial: Trial, by_seed: Sequence[float | None], note: str) -> None:
        self.watcher.told(self.study.tell(trial.number, by_seed, note), self.study.best)

    def _name(self, members: Sequence[int], twins: Sequence[Sequence[Trial]]) -> str:
        """Of a program: its checkpoints are of the same trials, or they are not found."""
        seeds = self.plan.seeds
        which = [(twins[m // len(seeds)][0].number, seeds[m % len(seeds)]) for m in members]
        return f"trials-{which[0][0]}-to-{which[-1][0]}-{zlib.crc32(repr(which).encode()):08x}"


def _key(trial: Trial) -> str:
    return repr(sorted(trial.settings.items()))
