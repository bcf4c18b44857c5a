"""What can be exported: policies by the name, file or run folder that users give."""

import re
from dataclasses import dataclass
from pathlib import Path

from jaxmem.carded_file import POLICY_FILE
from jaxmem.recordings.hole_scorer import HoleScorer
from jaxmem.recordings.hole_table import Order
from jaxmem.recordings.orders import order_of
from jaxmem.recordings.policy_file import load_byte_policy
from jaxmem.recordings.profiled_policy import ProfiledPolicy
from jaxmem.recordings.scorer_file import SCORERS
from jaxmem.rules import NAMES, ORDERED, RULES, Place


@dataclass(frozen=True)
class SizeRule:
    """A rule of `jaxmem.rules` that has places for small and for larger requests."""

    name: str
    threshold: int = 0  # units, of the largest request that is small

    @property
    def places(self) -> tuple[Place, Place]:
        """Where small and where larger requests go."""
        places = RULES[self.name].order
        assert places is not None
        return places

    @property
    def player(self) -> Order:
        """Makes the player of events."""
        return order_of(self.name, self.threshold)


BytePolicy = SizeRule | ProfiledPolicy | HoleScorer


@dataclass(frozen=True)
class Exported:
    """A policy that plays in bytes, under its name."""

    name: str  # letters, digits, dots, hyphens and underscores
    policy: BytePolicy


def read_exported(name: str, threshold: int | None = None) -> Exported:
    """Reads a policy that plays in bytes.

    Args:
        name: of a rule, of a scorer of the package, of a policy's file or its run folder.
        threshold: units, of the largest request that is small to a rule that asks.

    Raises:
        ValueError: no such policy, it plays in cells alone, or it asks for no threshold, or one.
    """
    asks = name in ORDERED and RULES[name].parts_by_size
    if asks != (threshold is not None):
        raise ValueError(
            f"{name} asks for threshold=UNITS, of the largest request that is small"
            if asks
            else f"threshold={threshold} is for two_ended and two_ended_tuned alone, not {name}"
        )
    if name in ORDERED:
        return Exported(name, SizeRule(name, threshold or 0))
    if name in NAMES:
        raise ValueError(f"{name} is for arenas of cells alone; one of {', '.join(ORDERED)}")
    if name not in SCORERS and not Path(name).exists():
        known = ", ".join((*ORDERED, *SCORERS))
        raise ValueError(f"no policy {name}: one of {known}, or a folder of jaxmem train")
    return Exported(plain_name(name), load_byte_policy(name))


def plain_name(name: str) -> str:
    """Names a policy after the last part of its path, in plain characters."""
    path = Path(name)
    last = path.parent.name if path.name == POLICY_FILE else path.name.removesuffix(path.suffix)
    return re.sub(r"[^A-Za-z0-9._-]", "_", last) or "policy"
