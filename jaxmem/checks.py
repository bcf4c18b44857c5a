"""Checks of single values: a ValueError says what was given, under which name, what is allowed."""

import math
from collections.abc import Iterable
from typing import TypeGuard


def is_whole(value: object) -> TypeGuard[int]:
    """Tells whether a value is a whole number; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[int | float]:
    """Tells whether a value is a number; True and False are none, NaN and infinities are."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_whole(name: str, value: object, least: int = 1, most: int | None = None) -> int:
    """Returns the value if it is a whole number in a range, both ends included.

    Raises:
        ValueError: it is not.
    """
    if not is_whole(value) or value < least or (most is not None and value > most):
        allowed = f"of at least {least}" if most is None else f"from {least} to {most:,}"
        raise ValueError(f"{name} is {value!r}; a whole number {allowed}")
    return value


def check_number(name: str, value: object, *, least: float | None = None) -> float:
    """Returns the value if it is a finite number above 0, or of at least `least`.

    Raises:
        ValueError: it is not.
    """
    if is_number(value) and value < math.inf and (value > 0.0 if least is None else value >= least):
        return value
    allowed = "above 0" if least is None else f"of at least {least:g}"
    raise ValueError(f"{name} is {value!r}; a number {allowed}")


def check_share(name: str, value: object) -> float:
    """Returns the value if it is a number from 0 to 1.

    Raises:
        ValueError: it is not.
    """
    if not is_number(value) or not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} is {value!r}; a number from 0 to 1")
    return value


def check_word(name: str, value: object, allowed: Iterable[str]) -> str:
    """Returns the value if it is one of the words allowed.

    Raises:
        ValueError: it is not.
    """
    allowed = tuple(allowed)
    if isinstance(value, str) and value in allowed:
        return value
    raise ValueError(f"{name} is {value!r}; one of {', '.join(allowed)}")
