"""Sweeps inside one program: every choice of the settings with every seed, side by side."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jaxmem.learning.devices import ALL
from jaxmem.learning.learners import Config, check_setting, check_training
from jaxmem.learning.settings import check_values, in_words
from jaxmem.learning.train import Job, TrainResult
from jaxmem.learning.training import Keeping, Listener
from jaxmem.workloads.registry import Workload, workload_from

MOST = 4096  # members


@dataclass(frozen=True)
class Grid:
    """What is swept: C choices of the settings, each with S seeds."""

    choices: tuple[dict[str, Any], ...]  # what each sets
    configs: tuple[Config, ...]  # with all other settings
    seeds: tuple[int, ...]

    @property
    def titles(self) -> list[str]:
        """Each choice in words."""
        return [in_words(choice) or "as set" for choice in self.choices]


@dataclass(frozen=True)
class SweepResult:
    """What the members of a sweep leave."""

    grid: Grid
    members: tuple[tuple[TrainResult, ...], ...] = field(repr=False)  # of each choice and seed

    @property
    def validation_failed(self) -> np.ndarray:
        """Of each member, in % on validation sequences; inf: not validated: float64[C, S]."""
        found = [[member.validation_failed for member in row] for row in self.members]
        return np.array([[np.inf if one is None else one for one in row] for row in found])

    @property
    def best(self) -> int:
        """The choice that fails least on validation sequences, in the mean over seeds."""
        return int(self.validation_failed.mean(axis=1).argmin())


def grid_of(
    task: Workload,
    learner: str,
    grid: Mapping[str, Sequence[Any]],
    *,
    seed: int,
    seeds: int,
    holes: int,
    reward: str,
    **settings: Any,
) -> Grid:
    """Every combination of the values, checked.

    Args:
        grid: the values of each setting that is swept.
        seed: the first of the seeds.

    Raises:
        ValueError: what `train` would refuse of one of the members; a setting without values, with
            one twice, or that is none; more members than 4,096.
    """
    check_members(seeds)
    check_training(task, learner, seed=seed, holes=holes, reward=reward, **settings)
    for name, values in grid.items():
        check_setting(learner, name, f"sweep.{name}")
        check_values(f"sweep.{name}", values)
    choices = [dict(zip(grid, chosen, strict=True)) for chosen in itertools.product(*grid.values())]
    check_members(seeds, len(choices), "choices")
    configs = [
        check_training(
            *(task, learner),
            seed=seed + seeds - 1,
            holes=holes,
            reward=reward,
            **{**settings, **choice},
        )[1]
        for choice in choices
    ]
    return Grid(tuple(choices), tuple(configs), tuple(range(seed, seed + seeds)))


def sweep(
    on: str | Workload,
    learner: str = "branching",
    *,
    grid: Mapping[str, Sequence[Any]] | None = None,
    seeds: int = 1,
    seed: int = 0,
    cells: int | None = None,
    options: dict[str, Any] | None = None,
    holes: int = 8,
    reward: str = "failures",
    devices: int | str = ALL,
    listeners: Sequence[Listener] = (),
    keeping: Callable[[int], Keeping | None] = lambda program: None,
    **settings: Any,
) -> SweepResult:
    """Trains a Q-network for every choice of the settings with every seed.

    Members that differ in numbers such as rates and discounts, and in seeds, are one program;
    values that change shapes, as `arenas`, make a program each.

    Args:
        grid: the values of each setting that is swept, as `{"learning_rate": [1e-3, 3e-4]}`.
        seeds: S, seeds from `seed` on.
        listeners: are told of members by number, choice * S + place of the seed.
        keeping: of the number of a program, where its checkpoints are kept.
        settings: of the learner, for all members; the rest as in `train`.

    Raises:
        ValueError: an unknown name or a value out of range, before anything is compiled; before
            the first step, that best-fit fails nothing, so that there is nothing to learn.
        Terminated: by SIGTERM, after a checkpoint.
    """
    task = workload_from(on, cells, options or {})
    game = {"holes": holes, "reward": reward}
    found = grid_of(task, learner, grid or {}, seed=seed, seeds=seeds, **game, **settings)
    results = Job(task, learner, **game, devices=devices).train(
        found.seeds, found.configs, listeners, keeping
    )
    rows = (results[at : at + seeds] for at in range(0, len(results), seeds))
    return SweepResult(found, tuple(map(tuple, rows)))


def check_members(seeds: Any, many: int = 1, what: str = "choice") -> None:
    """Raises ValueError for `many` of something with `seeds` seeds each, where that cannot be."""
    if isinstance(seeds, bool) or not isinstance(seeds, int) or not 1 <= seeds <= MOST:
        raise ValueError(f"seeds is {seeds!r}; a whole number from 1 to {MOST:,}")
    if many * seeds > MOST:
        raise ValueError(f"{many:,} {what} with {seeds} seeds each; at most {MOST:,} members")
