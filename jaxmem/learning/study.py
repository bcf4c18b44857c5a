"""The trials of a search, by Optuna, in one SQLite file: asked for, told, and kept.

A trial is open from when it is asked for until it is told what came of it. A search that is killed
leaves its open trials, and whoever opens the file next is to do those first: none is lost, and none
is counted twice.
"""

import errno
import json
import math
import sqlite3
import warnings
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from jaxmem.extras import extra
from jaxmem.learning.space import Choice, Range, SettingValue, Space
from jaxmem.locks import Lock, TakenError
from jaxmem.read_back import is_finite_number

if TYPE_CHECKING:
    from optuna.trial import Trial as OptunaTrial

SAMPLERS = ("tpe", "random")
ASKED, FAILED, NOTE = "asked", "validation_failed", "note"  # attributes of studies and trials
TRIALS_ENOUGH = 8  # trials that importances can be told from
# PED-ANOVA looks at the best tenth, and wants five trials in it.
TOP, AMONG = 0.1, 5


@dataclass(frozen=True)
class Trial:
    """Some settings, and what came of them."""

    number: int  # from 0
    settings: dict[str, SettingValue]
    by_seed: tuple[float | None, ...] = ()  # % failed on validation sequences; None: not validated
    note: str = ""  # why it counts as failed

    @property
    def failed(self) -> float | None:
        """Failed requests on validation sequences in %, mean over seeds; None: it came to none."""
        known = [value for value in self.by_seed if value is not None]
        whole = known and len(known) == len(self.by_seed) and not self.note
        return sum(known) / len(known) if whole else None

    @property
    def rank(self) -> tuple[float, int]:
        """The least is the best; of equal ones, the first."""
        return (math.inf if self.failed is None else self.failed), self.number


class Study:
    """The trials of one search; one process at a time."""

    def __init__(
        self,
        file: Path,
        space: Space,
        *,
        asked: Mapping[str, object],
        first: Mapping[str, object],
        sampler: str = "tpe",
        seed: int = 0,
    ) -> None:
        """Opens the file, or makes it.

        Args:
            asked: what the trials depend on, as JSON can hold it.
            first: settings that the first trial has, where the space holds them: those to beat.
            sampler: "tpe": tries more of what has failed least so far (Bergstra et al. 2011,
                Algorithms for Hyper-Parameter Optimization); "random".

        Raises:
            MissingExtraError: Optuna is not installed.
            ValueError: an unknown sampler; a file of another search, that is none, or that another
                process has opened.
        """
        if sampler not in SAMPLERS:
            raise ValueError(f"sampler is {sampler!r}; one of {', '.join(SAMPLERS)}")
        self._optuna = check_optuna()
        self._optuna.logging.set_verbosity(self._optuna.logging.WARNING)
        self._file = file
        self._space, self._sampler, self._seed = space, sampler, seed
        self._open: dict[int, OptunaTrial] = {}  # Optuna's trials, by number
        try:
            self._lock = Lock(file.with_name(f".{file.name}.lock"))
        except TakenError as holder:
            raise ValueError(
                f"{file.parent}: another process is at work on this search ({holder})"
            ) from None
        try:
            _check_undamaged(file)
            self._storage = self._optuna.storages.RDBStorage(
                # The path goes around the URL, in which some characters have meanings.
                "sqlite:///study",
                engine_kwargs={"creator": lambda: sqlite3.connect(file, check_same_thread=False)},
            )
            self._study = self._optuna.create_study(
                study_name="jaxmem", storage=self._storage, load_if_exists=True
            )
            self._check(file, json.loads(json.dumps(asked)), first)
            self._check_trials(file)
        except ValueError:
            self.close()
            raise
        except Exception as error:  # SQLAlchemy's for a broken file, RuntimeError for an old one
            self.close()
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ValueError(f"{file} cannot be used: {reason}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.close()
        full = self._optuna.exceptions.StorageInternalError
        if error is not None and isinstance(error, full):
            reason = str(error.__cause__ or error).splitlines()[0]
            raise OSError(errno.EIO, reason, str(self._file)) from error

    def close(self) -> None:
        """Lets go of the file."""
        storage = getattr(self, "_storage", None)
        if storage is not None:
            storage.remove_session()
            storage.engine.dispose()
        self._lock.release()

    @property
    def trials(self) -> list[Trial]:
        """All that have been told, by number."""
        states = self._optuna.trial.TrialState
        told = self._study.get_trials(deepcopy=False, states=(states.COMPLETE, states.PRUNED))
        return [
            Trial(
                trial.number,
                dict(trial.params),
                tuple(trial.user_attrs[FAILED]),
                trial.user_attrs[NOTE],
            )
            for trial in told
        ]

    @property
    def best(self) -> Trial | None:
        """The trial that fails least; None: none has come to anything yet."""
        found = min(self.trials, key=lambda trial: trial.rank, default=None)
        return None if found is None or found.failed is None else found

    def ask(self, most: int) -> list[Trial]:
        """The trials to be done next: those left open, and new ones, up to `most` in all."""
        running = self._optuna.trial.TrialState.RUNNING
        left = self._study.get_trials(deepcopy=False, states=(running,))[:most]
        found = [self._optuna.trial.Trial(self._study, trial._trial_id) for trial in left]
        for trial in found:  # one that was killed while it was asked for has not all settings
            self._settings(trial)
        # With a generator of its own, a batch is the same whether the search was stopped before it.
        self._study.sampler = self._sampler_from(len(self._study.get_trials(deepcopy=False)))
        for _ in range(most - len(found)):
            trial = self._study.ask()
            self._settings(trial)
            found.append(trial)
        self._open = {trial.number: trial for trial in found}
        return [Trial(trial.number, self._settings(trial)) for trial in found]

    def tell(self, number: int, by_seed: Sequence[float | None], note: str = "") -> Trial:
        """Closes a trial that was asked for.

        Args:
            by_seed: % failed on validation sequences; None: not validated.
            note: why it has failed; it is then one that the sampler keeps away from.
        """
        states, trial = self._optuna.trial.TrialState, self._open.pop(number)
        done = Trial(number, dict(trial.params), tuple(by_seed), note)
        trial.set_user_attr(FAILED, list(by_seed))
        trial.set_user_attr(NOTE, note)
        if done.failed is None:
            self._study.tell(trial, state=states.PRUNED)
        else:
            self._study.tell(trial, done.failed)
        return done

    def importances(self) -> dict[str, float]:
        """Estimates each setting's share in what makes a trial one of the best; {}: too few trials.

        By PED-ANOVA (Watanabe, Bansal and Hutter 2023, PED-ANOVA: Efficiently Quantifying
        Hyperparameter Importance in Arbitrary Subspaces), which Optuna computes.
        """
        known = sum(trial.failed is not None for trial in self.trials)
        if known < TRIALS_ENOUGH:
            return {}
        importance = self._optuna.importance
        with self._no_warnings():
            top = max(TOP, AMONG / known)
            evaluator = importance.PedAnovaImportanceEvaluator(target_quantile=top)
            shares = importance.get_param_importances(self._study, evaluator=evaluator)
        return {name: float(share) for name, share in shares.items()}

    def _check(self, file: Path, asked: dict[str, object], first: Mapping[str, object]) -> None:
        """Tells whether the file is of this search; a new one becomes that."""
        before = self._study.user_attrs.get(ASKED)
        if before is None:
            if self._study.get_trials(deepcopy=False):
                raise ValueError(f"{file} is a study that jaxmem has not made")
            known = {n: of for n, of in first.items() if n in self._space}
            known = {n: of for n, of in known.items() if self._space[n].holds(of)}
            if known:
                self._study.enqueue_trial(known)
            self._study.set_user_attr(ASKED, asked)
        elif before != asked:
            keys = sorted({*asked, *before})
            differing = [key for key in keys if asked.get(key) != before.get(key)]
            raise ValueError(
                f"{file} is of a search with another {', '.join(differing)}; take another out=DIR, "
                "or overwrite=true"
            )

    def _check_trials(self, file: Path) -> None:
        """Raises ValueError where a trial that was told is not as `tell` leaves it."""
        for trial in self.trials:
            known = isinstance(trial.note, str) and set(trial.settings) == set(self._space)
            held = known and all(self._space[n].holds(of) for n, of in trial.settings.items())
            if not held or not all(
                of is None or is_finite_number(of, 0, 100) for of in trial.by_seed
            ):
                raise ValueError(f"{file}: trial {trial.number} is not as jaxmem leaves it")

    def _settings(self, trial: "OptunaTrial") -> dict[str, SettingValue]:
        """The settings of Optuna's trial; those that it has not yet are drawn."""
        return {name: _suggested(trial, name, of) for name, of in self._space.items()}

    def _sampler_from(self, number: int) -> object:
        seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])
        samplers = self._optuna.samplers
        if self._sampler == "random":
            return samplers.RandomSampler(seed=seed)
        with self._no_warnings():
            # The trials of a batch, which are asked for together, are to lie apart.
            return samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)

    def _no_warnings(self) -> warnings.catch_warnings:
        """In Optuna 4 what is settled in Optuna 5 calls itself experimental."""
        return warnings.catch_warnings(
            action="ignore", category=self._optuna.exceptions.ExperimentalWarning
        )


def check_optuna() -> ModuleType:
    """Optuna; raises MissingExtraError where it is not installed."""
    return extra("optuna", "search", "jaxmem search")


def _suggested(trial: Any, name: str, values: Range | Choice) -> SettingValue:
    if isinstance(values, Choice):
        return trial.suggest_categorical(name, values.values)
    suggest = trial.suggest_int if values.whole else trial.suggest_float
    return suggest(name, values.low, values.high, log=values.log)


def _check_undamaged(file: Path) -> None:
    """Raises sqlite3.Error for a file that SQLite finds damaged: Optuna would find out later."""
    with closing(sqlite3.connect(file)) as connection:
        (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if said != "ok":
        raise sqlite3.DatabaseError(f"damaged: {said}")
