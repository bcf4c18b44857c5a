"""The plan in the file of a policy: its arrays, and its part of the card."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jaxmem.arena.arena import NEVER
from jaxmem.carded_file import PolicyFileError
from jaxmem.recordings.forecast import FIXED, ForecastPlan
from jaxmem.recordings.profile import CONTEXTS
from jaxmem.recordings.recording import LARGEST_SIZE

_PREFIX = "plan_"
_KINDS = {
    "context": np.uint64,
    "size": np.int64,
    "lifetime": np.int32,
    "group": np.int32,
    "start": np.int64,
}


def plan_arrays(plan: ForecastPlan) -> dict[str, np.ndarray]:
    """Returns the arrays of a plan, by their names in a file."""
    return {_PREFIX + name: getattr(plan, name) for name in _KINDS}


def plan_card(plan: ForecastPlan) -> dict[str, int | float]:
    """Returns what the card says of a plan."""
    return {"alignment": plan.alignment, "margin": plan.margin}


def plan_of_arrays(
    path: Path | str, arrays: Mapping[str, np.ndarray], card: object
) -> ForecastPlan:
    """Makes the plan of what a file holds.

    Raises:
        PolicyFileError: it cannot be followed.
    """
    said = card if isinstance(card, dict) else {}
    alignment, margin = said.get("alignment"), said.get("margin")
    if type(alignment) is not int or not 1 <= alignment <= LARGEST_SIZE:
        raise PolicyFileError(f"{path}: its plan has no alignment, a whole number of bytes")
    if type(margin) not in (int, float) or margin is None or not 0 <= margin <= 1:
        raise PolicyFileError(f"{path}: its plan has no margin from 0 to 1")
    found = {name: arrays.get(_PREFIX + name) for name in _KINDS}
    length = found["size"].size if found["size"] is not None else 0
    for name, kind in _KINDS.items():
        array, shape = found[name], (len(CONTEXTS), length) if name == "context" else (length,)
        if array is None or array.dtype != kind or array.shape != shape or not length:
            raise PolicyFileError(f"{path}: {_PREFIX}{name} is no {kind.__name__} for each place")
    plan = ForecastPlan(**found, alignment=alignment, margin=float(margin))  # pyright: ignore
    for name, least, most in (
        ("size", 1, LARGEST_SIZE),
        ("lifetime", 1, NEVER),
        ("group", FIXED, length),
        ("start", 0, LARGEST_SIZE),
    ):
        of = getattr(plan, name)
        if of.min() < least or of.max() > most:
            raise PolicyFileError(f"{path}: {_PREFIX}{name} is not from {least} to {most}")
    return plan
