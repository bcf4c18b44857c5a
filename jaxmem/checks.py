"""Checks of single values: a ValueError says what was given, under which name, what is allowed."""

import math
from collections.abc import Iterable
from typing import Any, TypeGuard


def is_whole(value: object) -> TypeGuard[int]:
    """Tells whether a value is a whole number; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[int | float]:
    """Tells whether a value is a number; True and False are none, NaN and infinities are."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_whole(name: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """Returns the value if it is a whole number in a range, both ends included.

    Raises:
        ValueError: it is not.
    """
    if not is_whole(value) or value < least or (most is not None and value > most):
        allowed = f"of at least {least}" if most is None else f"from {least} to {most:,}"
        raise ValueError(f"{name} is {value!r}; a whole number {allowed}")
    return value


def check_number(name: str, value: Any, *, least: float | None = None) -> float:
    """Returns the value if it is a finite number above 0, or of at least `least`.

    Raises:
        ValueError: it is not.
    """
    finite = is_number(value) and value < math.inf
    if not finite or not (value > 0.0 if least is None else value >= least):
        allowed = "above 0" if least is None else f"of at least {least:g}"
        raise ValueError(f"{name} is {value!r}; a number {allowed}")
    return value


def check_share(name: str, value: Any) -> float:
    """Returns the value if it is a number from 0 to 1.

    Raises:
        ValueError: it is not.
    """
    if not is_number(value) or not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} is {value!r}; a number from 0 to 1")
    return value


def check_word(name: str, value: Any, allowed: Iterable[str]) -> str:
    """Returns the value if it is one of the words allowed.

    Raises:
        ValueError: it is not.
    """
    allowed = tuple(allowed)
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}; one of {', '.join(allowed)}")
    return value
