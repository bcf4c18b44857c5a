"""Policies that play in bytes, whatever kind they are, by their name, file or run folder."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from jaxmem.carded_file import POLICY_FILE, PolicyFileError, read_policy_file
from jaxmem.recordings.hole_scorer import HoleScorer
from jaxmem.recordings.orders import order_of
from jaxmem.recordings.profiled_policy import PROFILED_FORMAT, ProfiledPolicy, profiled_of
from jaxmem.recordings.replay import BytePlayer, ReplayEvents
from jaxmem.recordings.scorer_file import SCORER_FORMAT, SCORERS, load_scorer
from jaxmem.rules import ORDERED

PROFILED_KIND = PROFILED_FORMAT.removesuffix("1")  # of any version
IN_PACKAGE = (*ORDERED, *SCORERS)  # what plays in bytes and is loaded by name
SMALL_SHARE = 16  # peak live over the largest request that is small to rules with a threshold


def load_byte_policy(name: str) -> HoleScorer | ProfiledPolicy:
    """Loads a policy: of the package, of a file, or of the run folder that it was trained in.

    Nothing in the file is executed.

    Raises:
        PolicyFileError: no such file, or none that plays in bytes.
    """
    if name in SCORERS:
        return load_scorer(name)
    path = Path(name)
    if path.is_dir():
        path /= POLICY_FILE
        if not path.exists():
            raise PolicyFileError(f"{name}: this folder holds no {POLICY_FILE}")
    arrays, card = read_policy_file(path, name)
    if isinstance(card, dict) and str(card.get("format")).startswith(PROFILED_KIND):
        return profiled_of(name, arrays, card)
    return load_scorer(path)


def plays_in_bytes(name: str) -> bool:
    """Tells whether this is a learned policy that does, by its name or what its file says it is."""
    path = Path(name)
    if name in SCORERS or name in ORDERED:
        return name in SCORERS
    try:
        _, card = read_policy_file(path / POLICY_FILE if path.is_dir() else path, name)
    except PolicyFileError:
        return False
    found = str(card.get("format")) if isinstance(card, dict) else ""
    return found == SCORER_FORMAT or found.startswith(PROFILED_KIND)


def titled_policies(names: Sequence[str]) -> dict[str, str]:
    """Returns what tables call policies, and what each is loaded by.

    A saved one goes by its run folder or by its file; as it was named where that would be a rule,
    a policy of the package or another one too.
    """
    titles = [name if name in IN_PACKAGE else _own_name(name) for name in names]
    taken = Counter([*titles, *IN_PACKAGE])
    return {
        name if name not in IN_PACKAGE and taken[title] > 1 else title: name
        for title, name in zip(titles, names, strict=True)
    }


def _own_name(name: str) -> str:
    path = Path(os.path.abspath(name))
    if path.name == POLICY_FILE:
        return path.parent.name
    return path.stem if path.suffix == Path(POLICY_FILE).suffix else path.name


def small_units(events: ReplayEvents) -> int:
    """Returns the units of the largest request that is small to the rules with a threshold."""
    return max(1, events.peak_live // SMALL_SHARE)


def byte_player(events: ReplayEvents, name: str) -> tuple[ReplayEvents, BytePlayer]:
    """Returns what plays a recording, and the events as it is to see them.

    A policy that was learned from runs has the lifetimes foretold by its profile.

    Raises:
        PolicyFileError: as `load_byte_policy`.
    """
    if name in ORDERED:
        return events, order_of(name, small_units(events))
    policy = load_byte_policy(name)
    if isinstance(policy, ProfiledPolicy):
        return policy.foretold(events), policy.player
    return events, policy
