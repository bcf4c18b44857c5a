"""What learners ask of their settings: a ValueError names the setting and what is allowed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxmem import checks
from jaxmem.environment.observations import GROUPS
from jaxmem.policies import NAMES
from jaxmem.policies.saved import LAYERS, MOST

STRONGEST = "strongest"
RULES = (STRONGEST, *(name for name in NAMES if name != "random"))


Numbers = dict[str, Any]  # float32[] each, by the name of the setting


def numbers_of(config: Any) -> Numbers:
    """Returns the settings that change no shape and no program, as arrays.

    A run holds them in its state, so the members of a grid that differ in nothing else are one
    program, vmapped over them.
    """
    return {name: np.float32(getattr(config, name)) for name in config.NUMBERS}


def check_whole(config: Any, *names: str, least: int = 1) -> None:
    """Checks whole numbers of at least `least`."""
    for name in names:
        checks.check_whole(f"learner.{name}", getattr(config, name), least)


def check_shares(config: Any, *names: str) -> None:
    """Checks numbers from 0 to 1."""
    for name in names:
        checks.check_share(f"learner.{name}", getattr(config, name))


def check_numbers(config: Any, *names: str, least: float | None = None) -> None:
    """Checks finite numbers above 0, or of at least `least`."""
    for name in names:
        checks.check_number(f"learner.{name}", getattr(config, name), least=least)


def check_choice(config: Any, name: str, allowed: tuple[str, ...]) -> None:
    """Checks one of the words allowed."""
    checks.check_word(f"learner.{name}", getattr(config, name), allowed)


def check_rule(config: Any, name: str) -> None:
    """Checks the name of a rule, or "strongest"."""
    check_choice(config, name, RULES)


def check_network(config: Any, *networks: str) -> None:
    """Checks that the network is one that the learner can train."""
    if config.network not in networks:
        raise ValueError(
            f"network.name is {config.network!r}; this learner trains {' or '.join(networks)}"
        )


def check_widths(config: Any) -> None:
    """Checks hidden layers: at least one, each a whole number of at least 1."""
    given = list(config.widths) if isinstance(config.widths, tuple) else config.widths
    whole = isinstance(given, list) and all(checks.is_whole(width) for width in given)
    if not (given and whole and min(given) >= 1):
        raise ValueError(f"network.widths is {given!r}; a list of whole numbers of at least 1")
    if len(given) > LAYERS or max(given) > MOST:
        raise ValueError(
            f"network.widths has {len(given):,} layers of up to {max(given):,} units; at most "
            f"{LAYERS} layers of {MOST:,}"
        )


def check_blind(config: Any) -> None:
    """Checks groups of features that a scorer does not see."""
    given = list(config.blind) if isinstance(config.blind, tuple) else config.blind
    if not isinstance(given, list) or not all(group in tuple(GROUPS) for group in given):
        raise ValueError(f"network.blind is {given!r}; a list of any of {', '.join(GROUPS)}")
    if given and config.network != "scorer":
        raise ValueError(
            f"network.blind is {given!r}; only a scorer reads features, of network "
            f"{config.network} it must be []"
        )


def check_values(key: str, values: Any) -> None:
    """Checks values to be tried of one setting, set as `key`: at least one, none twice."""
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        raise ValueError(f"{key} is {values!r}; a list of values")
    if len({repr(value) for value in values}) < len(values):
        raise ValueError(f"{key} has a value twice: {list(values)}")


def in_words(settings: Mapping[str, Any]) -> str:
    """Writes settings as a line has them: "learning_rate 0.001, arenas 64"."""
    shown = (f"{of:g}" if isinstance(of, float) else str(of) for of in settings.values())
    return ", ".join(f"{name} {value}" for name, value in zip(settings, shown, strict=True))
