"""A training run, or many side by side: what is to be learnt on, and what comes of it."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jaxmem.evaluation.run import failed_share
from jaxmem.evaluation.tightness import check_tight
from jaxmem.learning.devices import ALL, check_devices
from jaxmem.learning.guides import SEQUENCES as CHOOSING
from jaxmem.learning.guides import chosen_guide, guides_for, in_words
from jaxmem.learning.learners import Config, check_training, environment_of, q_of
from jaxmem.learning.members import groups_of
from jaxmem.learning.standing import INTERRUPTED, Report, Standing
from jaxmem.learning.training import (
    LATE,
    VALIDATION_SEQUENCES,
    Keeping,
    Listener,
    Trained,
    Training,
)
from jaxmem.policies import Policy
from jaxmem.policies.learned import Guide, greedy
from jaxmem.policies.saved import Card, choice_of
from jaxmem.workloads.registry import Workload, workload_from


@dataclass(frozen=True)
class TrainResult:
    """What a run leaves: of its last quarter, the policy that failed least on validation sequences.

    Of a run that ended before, it is the one that failed least so far.
    """

    policy: Policy
    card: Card = field(repr=False)
    curve: tuple[Report, ...] = field(repr=False)
    references: dict[str, float]  # % failed on validation sequences, by fit
    steps: int
    episodes: int
    seconds: float
    seed: int
    guide: str = ""  # the rule that the policy follows where nothing is worth more
    start: tuple[str, float] | None = None  # the rule that training starts from, and its failures
    kept_at: int | None = None  # steps after which the network was as it is kept
    note: str = ""  # why the run ended early, if it did

    @property
    def interrupted(self) -> bool:
        """Whether it could go on."""
        return self.note.startswith(INTERRUPTED)

    @property
    def validation_failed(self) -> float | None:
        """Failures of its network on validation sequences, in %; None: it was never validated."""
        return self.card.training["validation_failed"]


def train(
    on: str | Workload,
    learner: str = "branching",
    *,
    seed: int = 0,
    cells: int | None = None,
    options: dict[str, Any] | None = None,
    holes: int = 8,
    reward: str = "failures",
    devices: int | str = ALL,
    listeners: Sequence[Listener] = (),
    keeping: Keeping | None = None,
    choosing: int = CHOOSING,
    **settings: Any,
) -> TrainResult:
    """Trains a Q-network to place the requests of a workload.

    Args:
        on: a workload or its name; `cells` and `options` are then its own.
        learner: "pqn", "dqn" or "branching".
        holes: K, the holes that the policy chooses from; of an mlp, which chooses addresses, none.
        reward: failures, bytes or classic.
        devices: that share the arenas, or "all": as many as can share them evenly.
        listeners: are told how the run goes; this one is member 0.
        keeping: where checkpoints are kept; a run that finds some goes on from them.
        choosing: validation sequences on which guide and margin are chosen at the end.
        settings: of the learner, as `steps=2_000_000` (see `PQNConfig`, `DQNConfig`,
            `BranchingConfig`).

    Ctrl-C ends the training; what was learnt so far is returned.

    Raises:
        ValueError: an unknown name or a value out of range, before anything is compiled; before
            the first step, that best-fit fails nothing, so that there is nothing to learn.
        Terminated: by SIGTERM, after a checkpoint.
    """
    task = workload_from(on, cells, options or {})
    _, config = check_training(task, learner, seed=seed, holes=holes, reward=reward, **settings)
    job = Job(task, learner, holes, reward, devices, choosing)
    return job.train([seed], [config], listeners, lambda program: keeping)[0]


@dataclass(frozen=True)
class Job:
    """What the members of a sweep have in common."""

    task: Workload
    learner: str
    holes: int
    reward: str
    devices: int | str  # that share the arenas of a member, or "all"
    choosing: int = CHOOSING  # validation sequences on which guide and margin are chosen

    @functools.cached_property
    def guides(self) -> Callable[[str | None, int], list[tuple[Policy, str]]]:
        """Of the name of a guide and a seed, its rules, chosen once, and what they are."""
        return functools.cache(lambda name, seed: guides_for(name, self.task, seed))

    def _base(self, name: str | None, seed: int) -> Policy | None:
        """The rule that is played where a learner branches, before it has learnt."""
        return next((rule for rule, _ in self.guides(name, seed)), None)

    def train(
        self,
        seeds: Sequence[int],
        choices: Sequence[Config],
        listeners: Sequence[Listener],
        keeping: Callable[[int], Keeping | None],
    ) -> list[TrainResult]:
        """Trains every choice of the settings with every seed, those of one shape in one program.

        Args:
            seeds, choices: checked by `check_training`, none of them twice.
            listeners: are told of members by their numbers in the result.
            keeping: of the number of a program, where its checkpoints are kept.

        Returns:
            Those of the first choice with each seed, then those of the second, and so on.
        """
        results: dict[int, TrainResult] = {}
        numbers = itertools.count()
        for found in self.programs(seeds, choices, listeners, lambda _: keeping(next(numbers))):
            results |= found
        return [results[place] for place in range(len(results))]

    def programs(
        self,
        seeds: Sequence[int],
        choices: Sequence[Config],
        listeners: Sequence[Listener],
        keeping: Callable[[Sequence[int]], Keeping | None],
    ) -> Iterator[dict[int, TrainResult]]:
        """As `train`, but what each program leaves, by number, before the next one begins.

        Args:
            keeping: of the members of a program, by number, where its checkpoints are kept.
        """
        check_tight(self.task, seeds[0])
        shared = [check_devices(self.devices, config.arenas_in_play) for config in choices]
        devices = dict(zip(choices, shared, strict=True))
        env = environment_of(self.task, choices[0], self.holes, self.reward)
        groups = groups_of(self.learner, env, seeds, choices, self._base)
        for group in groups:
            members = [(group.choices[c], group.seeds[s]) for s, c in group.members]
            makers = [
                Maker(self, config, seed, self.guides(config.guide, seed))
                for config, seed in members
            ]
            places = [choices.index(c) * len(seeds) + seeds.index(s) for c, s in members]
            trained = Training(
                *(group, self.task, [maker.player for maker in makers]),
                numbers=places,
                listeners=listeners,
                keeping=keeping(places),
                devices=devices[group.config],
            ).run()
            yield {
                place: maker.result(standing, trained)
                for place, maker, standing in zip(places, makers, trained.standings, strict=True)
            }


@dataclass(frozen=True)
class Maker:
    """One member: what makes a policy of its network."""

    job: Job
    config: Config
    seed: int
    guides: Sequence[tuple[Policy, str]]  # in words too; the first is that of training

    def player(self, network: Any) -> Policy:
        """The policy of a network while it is trained."""
        guide = Guide(self.guides[0][0], np.float32(self.config.margin)) if self.guides else None
        return self._guided(network, guide)

    def _guided(self, network: Any, guide: Guide | None) -> Policy:
        q = q_of(self.config, self.job.task, self.job.holes)
        return greedy(q, network, guide=guide, foretells=self.job.task.foretell)

    def result(self, standing: Standing, trained: Trained) -> TrainResult:
        """What the member leaves; guide and margin are chosen on validation sequences."""
        task, config, curve = self.job.task, self.config, standing.curve

        def guided(rule: Policy, margin: float) -> Policy:
            return self._guided(standing.best, Guide(rule, np.float32(margin)))

        rule, margin, told, start = None, 0.0, "", None
        if self.guides:
            start = self._start()
            rules = [rule for rule, _ in self.guides]
            place, margin = chosen_guide(guided, rules, task, self.seed, self.job.choosing)
            rule, told = rules[place], in_words(self.guides[place][1], margin)
        steps = curve[-1].steps if curve else 0
        return TrainResult(
            policy=guided(rule, margin) if rule else self._guided(standing.best, None),
            card=Card(
                holes=self.job.holes,
                widths=config.widths,
                network=config.network,
                cells=q_of(config, task, self.job.holes).arena,
                blind=config.blind,
                guide=rule.name if rule else None,
                choice=choice_of(rule),
                margin=margin,
                foretells=task.foretell,
                training={
                    "workload": task.name,
                    "cells": task.cells,
                    "hinted": task.hinted,
                    "learner": self.job.learner,
                    "seed": self.seed,
                    "reward": self.job.reward,
                    "settings": dataclasses.asdict(config),
                    "steps": steps,
                    "validation_failed": standing.best_failed if curve else None,
                },
            ),
            curve=tuple(curve),
            references=trained.references,
            steps=steps,
            episodes=curve[-1].episodes if curve else 0,
            seconds=trained.seconds,
            seed=self.seed,
            guide=told,
            start=start,
            kept_at=standing.kept_at(LATE * config.updates * config.steps_per_update),
            note=standing.note,
        )

    def _start(self) -> tuple[str, float]:
        """The guide of training in words, and what it fails alone where the curve was measured."""
        rule, sentence = self.guides[0]
        validation = self.job.task.requests("validation", self.seed, VALIDATION_SEQUENCES)
        return sentence, failed_share(rule, validation, self.job.task)
