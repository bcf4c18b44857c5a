"""A search for the settings of a learner that fail least: batches of trials, each trained at once.

Optuna asks for the trials of a batch together; those that differ in numbers alone, with all their
seeds, are one program. What is minimised is failed requests on validation sequences, in the mean
over seeds: test sequences are not seen.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from jaxmem.learning.checkpoint import Checkpointing
from jaxmem.learning.config import TrainConfig
from jaxmem.learning.grid import check_members, train_programs
from jaxmem.learning.learner import LearnerConfig
from jaxmem.learning.loop import Listener
from jaxmem.learning.result import TrainResult
from jaxmem.learning.space import Space, space_of
from jaxmem.learning.study import Study, Trial
from jaxmem.settings.fields import Count, check


@dataclass(frozen=True)
class SearchPlan:
    """What is searched, checked: every trial is this but for its own settings."""

    config: TrainConfig  # its seed is the first
    space: Space
    seeds: tuple[int, ...]  # S, of each trial

    @property
    def defaults(self) -> dict[str, object]:
        """The settings that are searched, as they are without a search."""
        return {name: getattr(self.config.settings, name) for name in self.space}

    def settings_of(self, found: Mapping[str, object]) -> LearnerConfig:
        """Returns all settings of a trial; raises ValueError where they do not go together."""
        return self.config.replace(found, self.seeds[-1]).settings


class Watcher(Listener, Protocol):
    """Who is told how a search goes."""

    def begun(self, trials: Sequence[Trial], seeds: int) -> None:
        """Trials that are trained together begin; member m is of the trial m // seeds."""

    def told(self, trial: Trial, best: Trial | None) -> None:
        """A trial is done, and which is the best so far."""


def plan_search(config: TrainConfig, space: Mapping[str, object], seeds: int = 1) -> SearchPlan:
    """Makes the plan of a search.

    Args:
        config: of a trial, where its settings are not searched; its seed is the first.
        space: of each setting a range or a list, as in `space_of`; none: the usual ones.
        seeds: S, of each trial.

    Raises:
        ValueError: a space that is none, or with an end of a range, or a value, that the learner
            cannot have beside the other settings.
    """
    check_members(seeds)
    seeded = tuple(range(config.seed, config.seed + seeds))
    plan = SearchPlan(config, space_of(config.learner, space), seeded)
    plan.settings_of({})
    for name, values in plan.space.items():
        for value in values.ends:
            try:
                plan.settings_of({name: value})
            except ValueError as error:
                raise ValueError(f"space.{name} has {value!r}: {error}") from error
    return plan


def search(
    plan: SearchPlan,
    study: Study,
    *,
    trials: int,
    batch: int,
    watcher: Watcher,
    checkpointing: Callable[[str], Checkpointing | None] = lambda program: None,
    forget: Callable[[], None] = lambda: None,
    save: Callable[[int, Sequence[TrainResult]], None] = lambda number, members: None,
) -> bool:
    """Trains until `trials` trials have been told; whether they have.

    Ctrl-C ends it: the trials told so far stay, the others are left open.

    Args:
        study: with the trials so far.
        batch: trials side by side.
        checkpointing: of the name of a program, where its checkpoints are kept.
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
            if not _Batch(plan, study, asked, watcher, save).train(checkpointing):
                return False
            forget()
    except KeyboardInterrupt:
        return False
    return True


def check_counts(trials: int, batch: int, seeds: int) -> None:
    """Raises ValueError for numbers of trials that `search` would refuse."""
    check("trials", trials, Count)
    check("batch", batch, Count)
    check_members(seeds, batch, "trials in a batch")


@dataclass(frozen=True)
class _Batch:
    """Trials that are trained together."""

    plan: SearchPlan
    study: Study
    asked: Sequence[Trial]
    watcher: Watcher
    save: Callable[[int, Sequence[TrainResult]], None]

    def train(self, checkpointing: Callable[[str], Checkpointing | None]) -> bool:
        """Trains the trials and tells what comes of them; whether of all."""
        # Equal settings come to the same: they are trained once, and told as often as asked for.
        twins: dict[LearnerConfig, list[Trial]] = {}
        before = {_settings_key(trial): trial for trial in self.study.trials}
        for trial in self.asked:
            if (known := before.get(_settings_key(trial))) is not None:
                self._tell(trial, known.by_seed, known.note)
                continue
            try:
                twins.setdefault(self.plan.settings_of(trial.settings), []).append(trial)
            except ValueError as error:  # values that do not go together
                self._tell(trial, (), str(error))
        if not twins:
            return True
        seeds, results = self.plan.seeds, dict[int, TrainResult]()
        self.watcher.begun([trials[0] for trials in twins.values()], len(seeds))
        programs = train_programs(
            self.plan.config,
            seeds,
            list(twins),
            [self.watcher],
            lambda places: checkpointing(self._name(places, list(twins.values()))),
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
        """Names a program: its checkpoints are of the same trials, or they are not found."""
        seeds = self.plan.seeds
        which = [(twins[m // len(seeds)][0].number, seeds[m % len(seeds)]) for m in members]
        return f"trials-{which[0][0]}-to-{which[-1][0]}-{zlib.crc32(repr(which).encode()):08x}"


def _settings_key(trial: Trial) -> str:
    return repr(sorted(trial.settings.items()))
