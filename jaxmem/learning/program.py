"""The program of a run: its two functions, on the devices that train it."""

import functools
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jax.stages import Compiled

from jaxmem.environment.environment import Params
from jaxmem.learning.devices import ARENA_AXIS
from jaxmem.learning.learner import LearnerState
from jaxmem.learning.members import Begin, MemberPrograms


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
