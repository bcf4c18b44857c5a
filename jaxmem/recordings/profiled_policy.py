"""Policies learned from the runs of one program, in files.

A policy is a profile and the rule that uses it; for some programs a plan comes before the rule.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from jaxmem.arena.arena import NEVER
from jaxmem.carded_file import PolicyFileError, write_policy_file
from jaxmem.read_back import brief
from jaxmem.recordings.class_rule import (
    CLASS_FITS,
    LONG,
    REQUEST_CLASSES,
    SMALL,
    ClassRule,
    RuleNumbers,
    class_rule,
)
from jaxmem.recordings.forecast import ForecastPlan
from jaxmem.recordings.plan_arrays import plan_arrays, plan_card, plan_of_arrays
from jaxmem.recordings.planned_rule import PlannedRule
from jaxmem.recordings.profile import CONTEXTS, Profile
from jaxmem.recordings.replay import ReplayEvents

PROFILED_FORMAT = "jaxmem-profiled-1"
MOST_EXCEPTIONS = 64  # to a rule


@dataclass(frozen=True)
class ProfiledPolicy:
    """A class rule, the profile by which lifetimes are foretold to it, and perhaps a plan."""

    profile: Profile
    rule: RuleNumbers
    training: Mapping[str, object] = field(default_factory=dict)  # runs, settings, arenas needed
    plan: ForecastPlan | None = None  # None: all goes by the rule

    @property
    def player(self) -> ClassRule | PlannedRule:
        """Makes the player of events that have been foretold."""
        rule = class_rule(self.rule)
        return rule if self.plan is None else PlannedRule(rule)

    def foretold(self, events: ReplayEvents) -> ReplayEvents:
        """Returns the events of a recording with their lifetimes foretold, and their slots."""
        run, plan = events.recording, self.plan
        return replace(
            events,
            foretold=self.profile.foretold(run),
            contexts=self.profile.places(run) if self.rule.exceptions else None,
            planned=None if plan is None else plan.planned(run, events.alignment),
        )


def save_profiled(path: Path | str, policy: ProfiledPolicy) -> None:
    """Writes a policy, whole or not at all."""
    rule = policy.rule
    fits = {name: CLASS_FITS[fit] for name, fit in zip(REQUEST_CLASSES, rule.fits, strict=True)}
    card = {
        "format": PROFILED_FORMAT,
        "contexts": list(CONTEXTS),
        "rule": {"long": rule.long, "parts": rule.parts, "fits": fits},
        "exceptions": [[context, CLASS_FITS[fit]] for context, fit in rule.exceptions],
        "training": dict(policy.training),
    }
    arrays = policy.profile._asdict()
    if policy.plan is not None:
        arrays |= plan_arrays(policy.plan)
        card["plan"] = plan_card(policy.plan)
    write_policy_file(path, arrays, card)


def profiled_of(path: Path | str, arrays: Mapping[str, np.ndarray], card: object) -> ProfiledPolicy:
    """Makes the policy of what its file holds.

    Raises:
        PolicyFileError: it is of another version, or cannot be played by.
    """
    if not isinstance(card, dict) or card.get("format") != PROFILED_FORMAT:
        found = brief(card.get("format")) if isinstance(card, dict) else "none"
        raise PolicyFileError(
            f"{path}: its format is {found}; this version plays {PROFILED_FORMAT}: learn it again "
            "with jaxmem train workload=runs"
        )
    if card.get("contexts") != list(CONTEXTS):
        raise PolicyFileError(
            f"{path}: its contexts are {brief(card.get('contexts'))}; this version's {CONTEXTS}"
        )
    key, lifetime = arrays.get("key"), arrays.get("lifetime")
    if (
        key is None
        or lifetime is None
        or (key.dtype, lifetime.dtype) != (np.uint64, np.int32)
        or key.ndim != 1
        or key.shape != lifetime.shape
    ):
        raise PolicyFileError(f"{path}: key and lifetime are not one uint64 and one int32 each")
    if np.any(key[1:] <= key[:-1]) or np.any(lifetime < 1):
        raise PolicyFileError(f"{path}: a key out of order, or a lifetime below 1")
    rule = _rule_of(path, card.get("rule"))
    exceptions = _exceptions_of(path, card.get("exceptions", []), len(key))
    training = card.get("training")
    return ProfiledPolicy(
        Profile(key, lifetime),
        rule._replace(exceptions=exceptions),
        training if isinstance(training, dict) else {},
        plan_of_arrays(path, arrays, card["plan"]) if "plan" in card else None,
    )


def _rule_of(path: Path | str, found: object) -> RuleNumbers:
    """Returns the rule of a card, if it is one that there is."""
    if isinstance(found, dict) and isinstance(fits := found.get("fits"), dict):
        long, parts = found.get("long"), found.get("parts")
        places = [
            CLASS_FITS.index(fit)
            for name in REQUEST_CLASSES
            if (fit := fits.get(name)) in CLASS_FITS
        ]
        if long in (*LONG, NEVER - 1) and parts in SMALL and len(places) == len(REQUEST_CLASSES):
            return RuleNumbers(long, parts, (places[0], places[1], places[2], places[3]))
    raise PolicyFileError(f"{path}: its card has no rule of this version")


def _exceptions_of(path: Path | str, found: object, contexts: int) -> tuple[tuple[int, int], ...]:
    """Returns the exceptions of a card to its rule, of contexts that its profile has."""
    exceptions = []
    for each in found if isinstance(found, list) else [None]:
        match each:
            case [int(context), str(fit)] if (
                not isinstance(context, bool) and 0 <= context < contexts and fit in CLASS_FITS
            ):
                exceptions.append((context, CLASS_FITS.index(fit)))
            case _:
                raise PolicyFileError(
                    f"{path}: exceptions are lists of a context, below {contexts:,}, and a fit; "
                    f"not {brief(each)}"
                )
    if len(exceptions) > MOST_EXCEPTIONS:
        raise PolicyFileError(f"{path}: {len(exceptions):,} exceptions, over {MOST_EXCEPTIONS}")
    return tuple(exceptions)
