"""The space of a search: the values that settings of a learner may take."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jaxmem.learning.settings import check_values
from jaxmem.names import nearest
from jaxmem.settings.fields import bare, hints_of
from jaxmem.settings.learner import LEARNERS, check_setting

SettingValue = bool | int | float | str


@dataclass(frozen=True)
class Range:
    """All numbers between two, and these."""

    low: float
    high: float
    log: bool = False  # equal factors are equal steps
    whole: bool = False

    def holds(self, value: Any) -> bool:
        """Tells whether it is among them."""
        return self.low <= value <= self.high

    @property
    def ends(self) -> tuple[SettingValue, ...]:
        """The values that are checked, where not every one can be."""
        return self.low, self.high


@dataclass(frozen=True)
class Choice:
    """Some values, in no order."""

    values: tuple[SettingValue, ...]

    def holds(self, value: object) -> bool:
        """Tells whether it is among them."""
        return value in self.values

    @property
    def ends(self) -> tuple[SettingValue, ...]:
        """All of them."""
        return self.values


Space = dict[str, Range | Choice]  # by the name of the setting

# What matters most where nothing is asked for: numbers, so that the trials of a batch are one
# program.
USUAL: dict[str, dict[str, Mapping[str, SettingValue]]] = {
    "branching": {
        "learning_rate": {"low": 3e-4, "high": 1e-2, "log": True},
        "final_learning_rate": {"low": 1e-5, "high": 1e-3, "log": True},
        "epsilon": {"low": 0.0, "high": 0.4},
        "margin": {"low": 0.0, "high": 0.05},
    },
    "pqn": {
        "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
        "gamma": {"low": 0.9, "high": 0.999},
        "lambda_": {"low": 0.5, "high": 1.0},
        "exploration_fraction": {"low": 0.1, "high": 0.6},
    },
    "dqn": {
        "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
        "gamma": {"low": 0.9, "high": 0.999},
        "tau": {"low": 5e-4, "high": 2e-2, "log": True},
        "exploration_fraction": {"low": 0.1, "high": 0.6},
    },
}


def space_of(learner: str, given: Mapping[str, object]) -> Space:
    """The space that is asked for, or the usual one of the learner.

    Args:
        given: of each setting a range, as `{"low": 1e-4, "high": 1e-2, "log": True}`, or a list of
            values; none: the usual space.

    Raises:
        ValueError: no setting of the learner; no range or list, or an empty one; none is given, and
            the learner has no usual space.
    """
    given = given or USUAL.get(learner, {})
    if not given:
        raise ValueError(
            f"learner {learner} has no usual space; name what is searched, as "
            "'space.learning_rate={low: 1e-4, high: 1e-2, log: true}'"
        )
    space: Space = {}
    kinds = {name: bare(hint) for name, hint in hints_of(LEARNERS[learner]).items()}
    for name, values in given.items():
        key = f"space.{name}"
        check_setting(learner, name, key)
        if isinstance(values, Mapping):
            space[name] = _range(key, values, kinds[name])
        else:
            space[name] = _choice(key, values)
    return space


def about(space: Space) -> dict[str, object]:
    """The space as JSON can hold it, and as it can be asked for again."""
    return {
        name: list(of.values)
        if isinstance(of, Choice)
        else {"low": of.low, "high": of.high, "log": of.log}
        for name, of in space.items()
    }


def _choice(key: str, given: object) -> Choice:
    if not isinstance(given, list | tuple):
        raise ValueError(f"{key} is {given!r}; a list of values, or {{low: A, high: B, log: true}}")
    check_values(key, given)
    for value in given:
        if not isinstance(value, bool | int | float | str):
            raise ValueError(f"{key} has {value!r}; only numbers, words, true and false")
    return Choice(tuple(given))


def _range(key: str, given: Mapping[str, Any], kind: object) -> Range:
    for word in given:
        if word not in ("low", "high", "log"):
            raise ValueError(f"{key} has no {word!r}{nearest(str(word), ('low', 'high', 'log'))}")
    for word in ("low", "high"):
        if word not in given:
            raise ValueError(f"{key} has no {word}; a range is {{low: A, high: B, log: true}}")
    low, high, log = given["low"], given["high"], given.get("log", False)
    if kind not in (int, float):
        raise ValueError(f"{key} is a range, and the setting no number; list its values instead")
    for word, end in (("low", low), ("high", high)):
        if isinstance(end, bool) or not isinstance(end, int if kind is int else int | float):
            raise ValueError(f"{key}.{word} is {end!r}; a {'whole ' * (kind is int)}number")
        if not math.isfinite(end):
            raise ValueError(f"{key}.{word} is {end!r}; a finite number")
    if not isinstance(log, bool):
        raise ValueError(f"{key}.log is {log!r}; true or false")
    if low >= high:
        raise ValueError(f"{key} goes from {low!r} to {high!r}; low must be below high")
    if log and low <= 0:
        raise ValueError(f"{key}.low is {low!r}; above 0, where log is true")
    return Range(kind(low), kind(high), log, whole=kind is int)
