"""What every learner asks of its settings: a ValueError names the setting and what is allowed."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxmem.environment.observations import GROUPS
from jaxmem.policies import NAMES
from jaxmem.policies.saved import LAYERS, MOST

STRONGEST = "strongest"
RULES = (STRONGEST, *(name for name in NAMES if name != "random"))


Numbers = dict[str, Any]  # float32[] each, by the name of the setting


def numbers_of(config: Any) -> Numbers:
    """The settings that change no shape and no program, as arrays.

    A run holds them in its state, so the members of a sweep that differ in nothing else are one
    program, vmapped over them.
    """
    return {name: np.float32(getattr(config, name)) for name in config.NUMBERS}


def check_whole(config: Any, *names: str, least: int = 1) -> None:
    """Whole numbers of at least `least`."""
    for name in names:
        value = getattr(config, name)
        if not _is_whole(value) or value < least:
            raise ValueError(f"learner.{name} is {value!r}; a whole number of at least {least}")


def check_shares(config: Any, *names: str) -> None:
    """Numbers from 0 to 1."""
    for name in names:
        value = getattr(config, name)
        if not _is_number(value) or not 0.0 <= value <= 1.0:
            raise ValueError(f"learner.{name} is {value!r}; a number from 0 to 1")


def check_numbers(config: Any, *names: str, least: float | None = None) -> None:
    """Finite numbers above 0, or of at least `least`."""
    for name in names:
        value = getattr(config, name)
        known = _is_number(value) and value < math.inf
        if not known or not (value > 0.0 if least is None else value >= least):
            allowed = "above 0" if least is None else f"of at least {least:g}"
            raise ValueError(f"learner.{name} is {value!r}; a number {allowed}")


def check_choice(config: Any, name: str, allowed: tuple[str, ...]) -> None:
    """One of the words allowed."""
    value = getattr(config, name)
    if value not in allowed:
        raise ValueError(f"learner.{name} is {value!r}; one of {', '.join(allowed)}")


def check_rule(config: Any, name: str) -> None:
    """The name of a rule, or "strongest"."""
    check_choice(config, name, RULES)


def check_network(config: Any, *networks: str) -> None:
    """One of the networks that the learner can train."""
    if config.network not in networks:
        raise ValueError(
            f"network.name is {config.network!r}; this learner trains {' or '.join(networks)}"
        )


def check_widths(config: Any) -> None:
    """Hidden layers: at least one, each a whole number of at least 1."""
    given = list(config.widths) if isinstance(config.widths, tuple) else config.widths
    if not (given and isinstance(given, list) and all(_is_whole(w) and w >= 1 for w in given)):
        raise ValueError(f"network.widths is {given!r}; a list of whole numbers of at least 1")
    if len(given) > LAYERS or max(given) > MOST:
        raise ValueError(
            f"network.widths has {len(given):,} layers of up to {max(given):,} units; at most "
            f"{LAYERS} layers of {MOST:,}"
        )


def check_blind(config: Any) -> None:
    """Groups of features that a scorer does not see."""
    given = list(config.blind) if isinstance(config.blind, tuple) else config.blind
    if not isinstance(given, list) or not all(group in tuple(GROUPS) for group in given):
        raise ValueError(f"network.blind is {given!r}; a list of any of {', '.join(GROUPS)}")
    if given and config.network != "scorer":
        raise ValueError(
            f"network.blind is {given!r}; only a scorer reads features, of network "
            f"{config.network} it must be []"
        )


def check_values(key: str, values: Any) -> None:
    """Values to be tried of one setting, which a user set as `key`: at least one, none twice."""
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        raise ValueError(f"{key} is {values!r}; a list of values")
    if len({repr(value) for value in values}) < len(values):
        raise ValueError(f"{key} has a value twice: {list(values)}")


def in_words(settings: Mapping[str, Any]) -> str:
    """Settings as a line has them: "learning_rate 0.001, arenas 64"."""
    shown = (f"{of:g}" if isinstance(of, float) else str(of) for of in settings.values())
    return ", ".join(f"{name} {value}" for name, value in zip(settings, shown, strict=True))


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
