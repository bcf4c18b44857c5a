"""Members of a grid that one program trains side by side, as a learner with axes for them.

Members that differ in their seeds and in numbers that change no shape are axes of one vmapped
program: S seeds, each with its own requests and base policy, and C choices of the numbers. One
member alone has no axes: it is the program of a single run.
"""

import dataclasses
import operator
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.environment.environment import Params
from jaxmem.environment.tasks import params_of
from jaxmem.learning.config import TrainConfig
from jaxmem.learning.hosts import Tree
from jaxmem.learning.learner import (
    ItsState,
    Learner,
    LearnerConfig,
    LearnerState,
    Metrics,
    train_block,
)
from jaxmem.learning.settings import Numbers, numbers_of
from jaxmem.policies import Policy

# The keys of members, the rules that they may follow, and their numbers.
Begin = tuple[jax.Array, Policy | None, Numbers]


@dataclass(frozen=True)
class MemberPrograms:
    """The two functions that train members; equal ones are compiled once in a process.

    Args:
        axes: that the members add in front of every array of a learner's state.
        vectorised: the members step side by side, under `vmap`, instead of one after another,
            under `lax.map`; default: on an accelerator. A CPU is kept busy by one member, and
            so each comes to the very bits of a run of its own (vmapped products round
            otherwise), a third sooner than side by side.
    """

    learner: Learner
    axes: int
    vectorised: bool | None = None

    def init(self, begin: Begin, params: Params) -> LearnerState:
        """Returns the states of all members before their first updates."""
        keys, base_policies, numbers = begin
        init = self.learner.init
        if self.axes:
            init = jax.vmap(jax.vmap(init, (None, None, None, 0)), (0, 0, 0, None))
        return init(keys, params, base_policies, numbers)

    def train_block(
        self, state: ItsState, params: Params, updates: jax.Array
    ) -> tuple[ItsState, Metrics]:
        """Updates all members `updates` (int32[]) times."""
        if not self.axes:
            return train_block(self.learner, state, params, updates)
        vectorised = self.vectorised
        if vectorised is None:
            vectorised = jax.default_backend() != "cpu"
        along = jax.vmap if vectorised else _one_by_one

        def of_seed(states: ItsState, params: Params) -> tuple[ItsState, Metrics]:
            return along(lambda state: train_block(self.learner, state, params, updates))(states)

        return along(of_seed)(state, params)


@dataclass(frozen=True)
class Members:
    """Every seed with every choice of the settings, or one member alone."""

    config: TrainConfig  # of the first: of the others only seed and numbers differ
    seeds: tuple[int, ...]  # S
    choices: tuple[LearnerConfig, ...]  # C, alike but for their numbers
    base_policies: tuple[Policy | None, ...]  # S, of one structure

    @property
    def places(self) -> list[tuple[int, int]]:
        """The numbers of seed and choice of each member, in the order of all lists of members."""
        return [(s, c) for s in range(len(self.seeds)) for c in range(len(self.choices))]

    @property
    def configs(self) -> list[TrainConfig]:
        """The run that each member would be alone."""
        return [
            dataclasses.replace(self.config, settings=self.choices[c], seed=self.seeds[s])
            for s, c in self.places
        ]

    @property
    def axes(self) -> int:
        """Axes that the members add in front of every array of a learner's state."""
        return 0 if len(self.places) == 1 else 2

    def params(self) -> Params:
        """Draws the training sequences of each seed."""
        config = self.config
        drawn = [
            params_of(
                config.task,
                "train",
                seed,
                config.evaluation.training_sequences,
                ages=config.env.needs_ages,
            )
            for seed in self.seeds
        ]
        return _stack(drawn) if self.axes else drawn[0]

    def programs(self, vectorised: bool | None = None) -> MemberPrograms:
        """Returns what trains them: equal for members that differ in their seeds alone."""
        return MemberPrograms(self.config.make_learner(), self.axes, vectorised)

    def begin(self) -> Begin:
        """Returns what tells them apart before their first updates."""
        keys = jax.vmap(jax.random.key)(jnp.array(self.seeds, jnp.uint32))
        numbers = [numbers_of(choice) for choice in self.choices]
        if not self.axes:
            return keys[0], self.base_policies[0], numbers[0]
        return keys, _stack([*self.base_policies]), _stack(numbers)

    def unstack(self, tree: Tree) -> list[Tree]:
        """Splits a tree with the axes of the members into the tree of each."""
        if not self.axes:
            return [tree]
        return [jax.tree.map(operator.itemgetter(place), tree) for place in self.places]


def group_members(
    config: TrainConfig,
    seeds: Sequence[int],
    choices: Sequence[LearnerConfig],
    base_policy: Callable[[str | None, int], Policy | None],
) -> list[Members]:
    """Sorts every seed with every choice into as few programs as there are kinds of them.

    Args:
        base_policy: from the name of a rule and a seed to the rule with its parameters.
    """
    groups: dict[Hashable, dict[str, list]] = {}
    for choice in choices:
        first = {name: getattr(choices[0], name) for name in choice.NUMBERS}
        shape = dataclasses.replace(choice, **first)
        for seed in seeds:
            rule = base_policy(choice.base_policy, seed)
            group = groups.setdefault(
                (shape, jax.tree.structure(rule)), {"seeds": [], "choices": [], "rules": []}
            )
            if seed not in group["seeds"]:
                group["seeds"].append(seed)
                group["rules"].append(rule)
            if choice not in group["choices"]:
                group["choices"].append(choice)
    return [
        Members(
            config=dataclasses.replace(
                config, settings=group["choices"][0], seed=group["seeds"][0]
            ),
            seeds=tuple(group["seeds"]),
            choices=tuple(group["choices"]),
            base_policies=tuple(group["rules"]),
        )
        for group in groups.values()
    ]


def _stack(trees: list[Tree]) -> Tree:
    return jax.tree.map(lambda *leaves: np.stack(jax.device_get(leaves)), *trees)


def _one_by_one(function: Callable[..., Tree]) -> Callable[..., Tree]:
    """Maps as `vmap` does, but one after another."""
    return lambda *mapped: jax.lax.map(lambda given: function(*given), mapped)
