"""Settings of learners where there are several: their numbers as arrays, values to be tried."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from jaxmem.learning.learner import LearnerConfig

Numbers = dict[str, Any]  # float32[] each, by the name of the setting


def numbers_of(config: "LearnerConfig") -> Numbers:
    """Returns the settings that change no shape and no program, as arrays.

    A run holds them in its state, so the members of a grid that differ in nothing else are one
    program, vmapped over them.
    """
    return {name: np.float32(getattr(config, name)) for name in config.NUMBERS}


def check_values(key: str, values: object) -> None:
    """Checks values to be tried of one setting, set as `key`: at least one, none twice."""
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        raise ValueError(f"{key} is {values!r}; a list of values")
    if len({repr(value) for value in values}) < len(values):
        raise ValueError(f"{key} has a value twice: {list(values)}")


def settings_words(settings: Mapping[str, object]) -> str:
    """Writes settings as a line has them: "learning_rate 0.001, arenas 64"."""
    shown = (f"{of:g}" if isinstance(of, float) else str(of) for of in settings.values())
    return ", ".join(f"{name} {value}" for name, value in zip(settings, shown, strict=True))
