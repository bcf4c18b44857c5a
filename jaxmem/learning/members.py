"""The members of a sweep, and which of them one program trains side by side.

Members that differ in their seeds and in numbers that change no shape are axes of one vmapped
program: S seeds, each with its own requests, and C choices of the numbers.
"""

import dataclasses
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.environment.environment import Environment, Params
from jaxmem.environment.tasks import params_of
from jaxmem.learning.blocks import Block
from jaxmem.learning.learners import LEARNERS, Config
from jaxmem.learning.settings import numbers_of
from jaxmem.policies import Policy
from jaxmem.workloads.registry import Workload

TRAINING_SEQUENCES = 4096


@dataclass(frozen=True)
class Group:
    """Members that one program trains: every seed with every choice, or one member alone."""

    learner: str
    env: Environment
    seeds: tuple[int, ...]  # S
    choices: tuple[Config, ...]  # C, alike but for their numbers
    guides: tuple[Policy | None, ...]  # S, of one kind

    @property
    def config(self) -> Config:
        """What all members share is to be read of it."""
        return self.choices[0]

    @property
    def members(self) -> list[tuple[int, int]]:
        """The places of their seeds and choices, in the order of all lists of members."""
        return [(s, c) for s in range(len(self.seeds)) for c in range(len(self.choices))]

    @property
    def alone(self) -> bool:
        """One member needs no axes: it is the program of a single run."""
        return len(self.members) == 1

    @property
    def axes(self) -> int:
        """Axes that the members add to every array of a learner."""
        return 0 if self.alone else 2

    def params(self, task: Workload) -> Params:
        """What is played on, for each seed."""
        drawn = [
            params_of(task, "train", seed, TRAINING_SEQUENCES, ages=self.env.needs_ages)
            for seed in self.seeds
        ]
        return drawn[0] if self.alone else _stacked(drawn)

    def program(self, vectorised: bool | None = None) -> tuple[Callable[[Params], Any], Block]:
        """`start(params)`, and `train(learner, params, updates)` of all members.

        Args:
            vectorised: the members step side by side, under `vmap`, instead of one after another,
                under `lax.map`; default: on an accelerator. A CPU is kept busy by one member, and
                so each comes to the very bits of a run of its own (vmapped products round
                otherwise), a third sooner than side by side.
        """
        start, train = LEARNERS[self.learner][1](self.config, self.env)
        keys = jax.vmap(jax.random.key)(jnp.array(self.seeds, jnp.uint32))
        if self.alone:
            numbers = numbers_of(self.config)
            return lambda params: start(keys[0], params, self.guides[0], numbers), train
        numbers, guides = _stacked([*map(numbers_of, self.choices)]), _stacked([*self.guides])
        start = jax.vmap(jax.vmap(start, (None, None, None, 0)), (0, 0, 0, None))
        if vectorised is None:
            vectorised = jax.default_backend() != "cpu"
        along = jax.vmap if vectorised else _one_by_one

        def train_all(learner: Any, params: Params, updates: jax.Array) -> Any:
            def of_seed(learner: Any, params: Params) -> Any:
                return along(lambda member: train(member, params, updates))(learner)

            return along(of_seed)(learner, params)

        return lambda params: start(keys, params, guides, numbers), train_all

    def each(self, tree: Any) -> list[Any]:
        """Of a tree with the axes of the members, the tree of each of them."""
        if self.alone:
            return [tree]
        return [jax.tree.map(operator.itemgetter(place), tree) for place in self.members]


def groups_of(
    learner: str,
    env: Environment,
    seeds: Sequence[int],
    choices: Sequence[Config],
    guides: Callable[[str | None, int], Policy | None],
) -> list[Group]:
    """Every seed with every choice, in as few programs as there are kinds of them.

    Args:
        guides: of the name of a guide and a seed, the rule with its parameters.
    """
    groups: dict[Any, dict[str, list]] = {}
    for config in choices:
        shape = dataclasses.replace(
            config, **{name: getattr(choices[0], name) for name in config.NUMBERS}
        )
        for seed in seeds:
            guide = guides(config.guide, seed)
            kind = (shape, jax.tree.structure(guide))
            found = groups.setdefault(kind, {"seeds": [], "choices": [], "guides": []})
            if seed not in found["seeds"]:
                found["seeds"].append(seed)
                found["guides"].append(guide)
            if config not in found["choices"]:
                found["choices"].append(config)
    return [
        Group(learner=learner, env=env, **{name: tuple(all_) for name, all_ in found.items()})
        for found in groups.values()
    ]


def _one_by_one(function: Callable[..., Any]) -> Callable[..., Any]:
    """`vmap`, but one after another."""
    return lambda *mapped: jax.lax.map(lambda given: function(*given), mapped)


def _stacked(trees: list[Any]) -> Any:
    return jax.tree.map(lambda *leaves: np.stack(jax.device_get(leaves)), *trees)
