"""What counts as a number, wherever a value of any kind may stand."""

from typing import TypeGuard


def is_whole(value: object) -> TypeGuard[int]:
    """Tells whether a value is a whole number; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[int | float]:
    """Tells whether a value is a number; True and False are none, NaN and infinities are."""
    return isinstance(value, int | float) and not isinstance(value, bool)
