"""The program of a run: its two functions, on the devices that train it."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jax.stages import Compiled

from jaxmem.environment.environment import Params
from jaxmem.learning.devices import ARENA_AXIS
from jaxmem.learning.hosts import Tree
from jaxmem.learning.learner import ItsState, Learner, LearnerState, Metrics, train_block
from jaxmem.learning.settings import Numbers
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


class Program:
    """The two functions of a run, on the devices that train it."""

    def __init__(
        self, programs: MemberPrograms, begin: Begin, params: Params, devices: int
    ) -> None:
        """
        Args:
            params: the parameters of the environment.
            devices: one alone of one process needs no layout.
        """
        self._begin = begin
        init, self._block = _jitted(programs)
        self.shape = init.eval_shape(begin, params)
        self._layout = None
        if devices == 1 and jax.process_count() == 1:
            self._init = init
            return
        self._mesh = Mesh(
            np.array(jax.devices()[:devices]), (ARENA_AXIS,), axis_types=(AxisType.Auto,)
        )
        self._everywhere = NamedSharding(self._mesh, PartitionSpec())
        spread = NamedSharding(self._mesh, PartitionSpec(*[None] * programs.axes, ARENA_AXIS))
        layout = jax.tree.map(lambda _: self._everywhere, self.shape)
        arenas = jax.tree.map(lambda _: spread, self.shape.arenas)
        self._layout = layout.replace(arenas=arenas)
        self._init = jax.jit(programs.init, out_shardings=self._layout)
        self._block = jax.jit(
            programs.train_block,
            donate_argnums=0,
            in_shardings=(self._layout, self._everywhere, self._everywhere),
            out_shardings=(self._layout, self._everywhere),
        )

    def start(self, params: Params) -> LearnerState:
        """Returns the learner before its first update."""
        return self._init(self._begin, params)

    def placed(self, params: Params) -> Params:
        """The parameters of the environment, where every device reads them."""
        if self._layout is None:
            return params
        return jax.device_put(jax.device_get(params), self._everywhere)

    def laid_out(self, learner: LearnerState) -> LearnerState:
        """A learner of numpy arrays, on the devices."""
        return learner if self._layout is None else jax.device_put(learner, self._layout)

    def compiled(self, params: Params) -> Compiled:
        """The block; the learner that it is given is used up."""
        arguments = (self.shape, params, np.int32(0))
        if self._layout is None:
            return self._block.lower(*arguments).compile()
        with jax.set_mesh(self._mesh):
            return self._block.lower(*arguments).compile()


@functools.lru_cache(maxsize=4)
def _jitted(programs: MemberPrograms) -> tuple[Any, Any]:
    """Returns both functions for one device; seeds that follow each other trace them once."""
    return jax.jit(programs.init), jax.jit(programs.train_block, donate_argnums=0)


def _one_by_one(function: Callable[..., Tree]) -> Callable[..., Tree]:
    """Maps as `vmap` does, but one after another."""
    return lambda *mapped: jax.lax.map(lambda given: function(*given), mapped)
