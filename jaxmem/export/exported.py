"""What can be exported: policies by the name, file or run folder that users give."""

import re
from dataclasses import dataclass
from pathlib import Path

from jaxmem.carded_file import POLICY_FILE, PolicyFileError, read_policy_file
from jaxmem.policies.networks import Weights
from jaxmem.policies.policy_file import POLICY_FORMAT, SHIPPED, Card, read_policy
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


@dataclass(frozen=True)
class CellPolicy:
    """A Q-network that plays in arenas of cells."""

    network: Weights
    card: Card


@dataclass(frozen=True)
class Exported:
    """A policy under its name."""

    name: str  # letters, digits, dots, hyphens and underscores
    policy: SizeRule | ProfiledPolicy | HoleScorer | CellPolicy


def read_exported(name: str, threshold: int | None = None) -> Exported:
    """Reads a policy.

    Args:
        name: of a rule that places in bytes, of a policy of the package, of a policy's file or of
            the run folder that it was trained in.
        threshold: units, of the largest request that is small to a rule that asks.

    Raises:
        ValueError: no such policy, its kind cannot be exported, or it asks for a threshold, or for
            none.
    """
    asks = name in ORDERED and RULES[name].parts_by_size
    if asks and threshold is None:
        raise ValueError(f"{name} needs threshold=UNITS, of the largest request that is small")
    if not asks and threshold is not None:
        raise ValueError(f"threshold={threshold} is for two_ended and two_ended_tuned, not {name}")
    if name in ORDERED:
        return Exported(name, SizeRule(name, threshold or 0))
    shipped = (*SCORERS, *SHIPPED)
    if name in NAMES or (name not in shipped and not Path(name).exists()):
        known = ", ".join((*ORDERED, *shipped))
        raise ValueError(f"no policy {name} to export: one of {known}, or a run folder")
    policy = _cell_policy(name) or load_byte_policy(name)
    if not isinstance(policy, CellPolicy | ProfiledPolicy | HoleScorer):
        raise ValueError(f"{name}: to export a {type(policy).__name__} is not implemented")
    return Exported(_plain_name(name), policy)


def _cell_policy(name: str) -> CellPolicy | None:
    """Reads a policy that plays in cells; None if it does not."""
    path = Path(name)
    path = path / POLICY_FILE if path.is_dir() else path
    if name in SCORERS or (name not in SHIPPED and not path.exists()):
        return None
    if name not in SHIPPED:
        card = read_policy_file(path, name)[1]
        if not isinstance(card, dict) or card.get("format") != POLICY_FORMAT:
            return None
    return CellPolicy(*read_policy(name if name in SHIPPED else path))


def _plain_name(name: str) -> str:
    """Names a policy after the last part of its path, in plain characters."""
    path = Path(name)
    last = path.parent.name if path.name == POLICY_FILE else path.name.removesuffix(".safetensors")
    return re.sub(r"[^A-Za-z0-9._-]", "_", last) or "policy"


def only_in_bytes(exported: Exported, what: str) -> SizeRule | ProfiledPolicy | HoleScorer:
    """Returns a policy that plays in bytes.

    Raises:
        PolicyFileError: it plays in cells.
    """
    if isinstance(exported.policy, CellPolicy):
        raise PolicyFileError(
            f"{exported.name} plays in cells; {what} takes rules, {', '.join(SCORERS)} and run "
            "folders of jaxmem train workload=runs, and to=stablehlo takes this one too"
        )
    return exported.policy


def without_plan(exported: Exported, what: str) -> None:
    """Checks that a policy has no plan.

    Raises:
        PolicyFileError: it has one.
    """
    if isinstance(exported.policy, ProfiledPolicy) and exported.policy.plan is not None:
        raise PolicyFileError(
            f"{exported.name} has a plan, which {what} cannot hold: to=c can; a policy without one "
            "is learned by jaxmem train workload=runs 'learner.margins=[]'"
        )
