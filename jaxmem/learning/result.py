"""What a training run leaves: a policy with its card, and the curve on the way to it."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from jaxmem.evaluation.run import failed_share
from jaxmem.learning.base_policies import BasePolicy, choose_base_policy, margin_words
from jaxmem.learning.config import TrainConfig
from jaxmem.learning.member_state import INTERRUPTED, MemberState, ValidationPoint
from jaxmem.policies import Policy
from jaxmem.policies.learned import BaseRule, greedy
from jaxmem.policies.networks import Weights
from jaxmem.policies.policy_file import Card, choice_of


@dataclass(frozen=True)
class TrainResult:
    """What a run leaves: of its last quarter, the policy that failed least on validation sequences.

    Of a run that ended before, it is the one that failed least so far.
    """

    policy: Policy
    card: Card = field(repr=False)
    curve: tuple[ValidationPoint, ...] = field(repr=False)
    references: dict[str, float]  # % failed on validation sequences, by fit
    steps: int
    episodes: int
    seconds: float
    seed: int
    base_policy: str = ""  # the rule that the policy follows where nothing is worth more
    start: tuple[str, float] | None = None  # the rule that training starts from, and its failures
    kept_at: int | None = None  # steps after which the network was as it is kept
    note: str = ""  # why the run ended early, if it did

    @property
    def interrupted(self) -> bool:
        """Tells whether it could go on."""
        return self.note.startswith(INTERRUPTED)

    @property
    def validation_failed(self) -> float | None:
        """Failures of its network on validation sequences, in %; None: it was never validated."""
        return self.card.training["validation_failed"]


def policy_of(config: TrainConfig, network: Weights, base_policies: Sequence[BasePolicy]) -> Policy:
    """Makes the policy that a network plays while it is trained."""
    rule = base_policies[0].rule if base_policies else None
    return _following(config, network, rule, config.settings.margin)


def result_of(
    config: TrainConfig,
    base_policies: Sequence[BasePolicy],
    member: MemberState,
    references: dict[str, float],
    seconds: float,
) -> TrainResult:
    """Makes the policy that a member leaves; base policy and margin are chosen by validation.

    Args:
        config: of this member.
        references: % failed on validation sequences, by fit.
        seconds: that the run took.
    """
    rule, margin, told = None, 0.0, ""
    if base_policies:
        place, margin = choose_base_policy(
            lambda rule, margin: _following(config, member.best, rule, margin),
            [base_policy.rule for base_policy in base_policies],
            config.task,
            config.seed,
            config.evaluation,
        )
        rule, told = base_policies[place].rule, margin_words(base_policies[place].sentence, margin)
    curve, task, settings = member.curve, config.task, config.settings
    steps = curve[-1].steps if curve else 0
    card = Card(
        holes=config.holes,
        hidden_sizes=settings.hidden_sizes,
        network=settings.network,
        cells=config.q.arena,
        hidden_feature_groups=settings.hidden_feature_groups,
        base_policy=rule.name if rule else None,
        choice=choice_of(rule),
        margin=margin,
        estimates_lifetimes=task.lifetime_hints == "estimated",
        training={
            "workload": task.name,
            "cells": task.cells,
            "lifetime_hints": task.lifetime_hints,
            "learner": config.learner,
            "seed": config.seed,
            "reward": config.reward,
            "settings": dataclasses.asdict(settings),
            "steps": steps,
            "validation_failed": member.best_failed if curve else None,
        },
    )
    return TrainResult(
        policy=_following(config, member.best, rule, margin),
        card=card,
        curve=tuple(curve),
        references=references,
        steps=steps,
        episodes=curve[-1].episodes if curve else 0,
        seconds=seconds,
        seed=config.seed,
        base_policy=told,
        start=_training_start(config, base_policies),
        kept_at=member.kept_at(
            config.evaluation.late * settings.updates * settings.steps_per_update
        ),
        note=member.note,
    )


def _training_start(
    config: TrainConfig, base_policies: Sequence[BasePolicy]
) -> tuple[str, float] | None:
    """The rule of training in words, and what it fails alone where the curve was measured."""
    if not base_policies:
        return None
    sequences = config.evaluation.validation_sequences
    validation = config.task.requests("validation", config.seed, sequences)
    failed = failed_share(base_policies[0].rule, validation, config.task)
    return base_policies[0].sentence, failed


def _following(config: TrainConfig, network: Weights, rule: Policy | None, margin: float) -> Policy:
    """The policy that follows a rule unless the network sees an advantage above the margin."""
    return greedy(
        config.q,
        network,
        base_policy=BaseRule(rule, np.float32(margin)) if rule else None,
        estimates_lifetimes=config.task.lifetime_hints == "estimated",
    )
