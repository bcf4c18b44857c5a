"""Grids: every choice of some settings with every seed, in as few programs as can be."""

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np

from jaxmem.evaluation.tightness import check_tight
from jaxmem.learning.base_policies import BasePolicy, base_policies_for
from jaxmem.learning.checkpoint import Checkpointing
from jaxmem.learning.config import TrainConfig
from jaxmem.learning.learner import LearnerConfig
from jaxmem.learning.loop import Listener, train_members
from jaxmem.learning.members import group_members
from jaxmem.learning.result import TrainResult
from jaxmem.learning.settings import check_values, settings_words
from jaxmem.policies import Policy
from jaxmem.settings.fields import check, whole
from jaxmem.settings.learner import check_setting

MOST_MEMBERS = 4096  # members


@dataclass(frozen=True)
class Grid:
    """C choices of the settings, each with S seeds."""

    config: TrainConfig  # what all members are but for these
    choices: tuple[dict[str, object], ...]  # what each sets
    configs: tuple[LearnerConfig, ...]  # with all other settings
    seeds: tuple[int, ...]

    @property
    def titles(self) -> list[str]:
        """Each choice in words."""
        return [settings_words(choice) or "as set" for choice in self.choices]


@dataclass(frozen=True)
class GridResult:
    """What the members of a grid leave."""

    grid: Grid
    members: tuple[tuple[TrainResult, ...], ...] = field(repr=False)  # of each choice and seed

    @property
    def validation_failed(self) -> np.ndarray:
        """Failures by member, in % on validation sequences; inf: not validated: float64[C, S]."""
        found = [[member.validation_failed for member in row] for row in self.members]
        return np.array([[np.inf if one is None else one for one in row] for row in found])

    @property
    def best(self) -> int:
        """The choice that fails least on validation sequences, in the mean over seeds."""
        return int(self.validation_failed.mean(axis=1).argmin())


def grid_of(config: TrainConfig, values: Mapping[str, Any], seeds: int = 1) -> Grid:
    """Makes every combination of the values, checked.

    Args:
        config: its seed is the first of the seeds.
        values: of each setting of the learner that is tried, as `{"gamma": [0.9, 0.99]}`.
        seeds: S.

    Raises:
        ValueError: a combination that the learner cannot have; a setting without values, with one
            twice, or that is none; more members than 4,096.
    """
    check_members(seeds)
    for name, of in values.items():
        check_setting(config.learner, name, f"grid.{name}")
        check_values(f"grid.{name}", of)
    combinations = itertools.product(*values.values())
    choices = [dict(zip(values, chosen, strict=True)) for chosen in combinations]
    check_members(seeds, len(choices), "choices")
    last = config.seed + seeds - 1
    configs = [config.replace(choice, last).settings for choice in choices]
    return Grid(config, tuple(choices), tuple(configs), tuple(range(config.seed, last + 1)))


def train_grid(
    grid: Grid,
    *,
    listeners: Sequence[Listener] = (),
    checkpointing: Callable[[int], Checkpointing | None] = lambda program: None,
) -> GridResult:
    """Trains a Q-network for every choice of the settings with every seed.

    Members that differ in numbers such as rates and discounts, and in seeds, are one program;
    values that change shapes, as `arenas`, make a program each.

    Args:
        listeners: are told of members by number, choice * S + place of the seed.
        checkpointing: of the number of a program, where its checkpoints are kept.

    Raises:
        Terminated: by SIGTERM, after a checkpoint.
    """
    numbers, seeds = itertools.count(), len(grid.seeds)
    results: dict[int, TrainResult] = {}
    for found in train_programs(
        grid.config, grid.seeds, grid.configs, listeners, lambda _: checkpointing(next(numbers))
    ):
        results |= found
    rows = (range(at, at + seeds) for at in range(0, len(results), seeds))
    return GridResult(grid, tuple(tuple(results[place] for place in row) for row in rows))


def train_programs(
    config: TrainConfig,
    seeds: Sequence[int],
    choices: Sequence[LearnerConfig],
    listeners: Sequence[Listener],
    checkpointing: Callable[[Sequence[int]], Checkpointing | None],
) -> Iterator[dict[int, TrainResult]]:
    """Trains members a program at a time, and yields what each left before the next one begins.

    Args:
        seeds, choices: none of them twice; member m is of choice m // S and seed m % S.
        checkpointing: of the members of a program, by number, where its checkpoints are kept.

    Yields:
        The results of a program's members, by number.

    Raises:
        ValueError: best-fit fails nothing, so that there is nothing to learn.
    """

    @functools.cache
    def rules(name: str | None, seed: int) -> list[BasePolicy]:
        return base_policies_for(name, config.task, seed, config.evaluation)

    def first_rule(name: str | None, seed: int) -> Policy | None:
        return next((base_policy.rule for base_policy in rules(name, seed)), None)

    check_tight(config.task, seeds[0])
    for members in group_members(config, seeds, choices, first_rule):
        numbers = [
            choices.index(one.settings) * len(seeds) + seeds.index(one.seed)
            for one in members.configs
        ]
        results = train_members(
            members,
            [rules(one.settings.base_policy, one.seed) for one in members.configs],
            numbers,
            listeners,
            checkpointing(numbers),
        )
        yield dict(zip(numbers, results, strict=True))


def check_members(seeds: int, many: int = 1, what: str = "choice") -> None:
    """Raises ValueError for `many` of something with `seeds` seeds each, where that cannot be."""
    check("seeds", seeds, Annotated[int, whole(1, MOST_MEMBERS)])
    if many * seeds > MOST_MEMBERS:
        raise ValueError(
            f"{many:,} {what} with {seeds} seeds each; at most {MOST_MEMBERS:,} members"
        )
