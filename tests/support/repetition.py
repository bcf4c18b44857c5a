"""More of the same, for `pytest -m slow`."""

import pytest


def slow(*values: object) -> list:
    """Marks values of a parameter slow: what they claim, the others beside them claim already.

    Args:
        values: one for each case; a tuple for several parameters.
    """
    return [
        pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.slow)
        for value in values
    ]
