"""Devices that train one run together: its arenas lie on all of them, its networks on each."""

from collections.abc import Callable
from typing import TypeVar

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jax.stages import Compiled

from jaxmem.environment.environment import Params
from jaxmem.learning.learner import LearnerState, Metrics

ARENA_AXIS = "arenas"  # the axis of the mesh
ALL = "all"
Axes = PartitionSpec | tuple[PartitionSpec, ...]
OfArenas = TypeVar("OfArenas", bound=Callable)
FIRST, SECOND, THIRD = (PartitionSpec(*[None] * at, ARENA_AXIS) for at in range(3))


def check_devices(asked: int | str, arenas: int) -> int:
    """Counts the devices that a run of so many arenas takes.

    Args:
        asked: a number, or "all": as many as there are and share the arenas evenly.

    Raises:
        ValueError: there are not as many, or they would not have as many arenas each.
    """
    there = len(jax.devices())
    if asked == ALL:
        return max(n for n in range(1, there + 1) if arenas % n == 0)
    if isinstance(asked, bool) or not isinstance(asked, int) or not 1 <= asked <= there:
        raise ValueError(f"devices is {asked!r}; all, or a number from 1 to the {there} there are")
    if arenas % asked:
        raise ValueError(f"{arenas} arenas cannot be shared evenly by {asked} devices")
    return asked


def by_device(function: OfArenas, given: Axes, left: Axes) -> OfArenas:
    """A function of arenas that need nothing of each other: each device runs it on its own ones.

    Left to itself, the compiler looks for what is in whose arenas in every step, and the devices
    wait for each other hundreds of times an update. On one device, the function as it is.

    Args:
        function: what it takes from around it, every device has all of.
        given, left: of each argument and result, which of its axes is that of the arenas.
    """
    if ARENA_AXIS not in jax.sharding.get_abstract_mesh().axis_names:
        return function
    return jax.shard_map(function, in_specs=given, out_specs=left, check_vma=False)


class Program:
    """The two functions of a run, on the devices that train it."""

    def __init__(
        self,
        start: Callable[[Params], LearnerState],
        block: Callable[[LearnerState, Params, jax.Array], tuple[LearnerState, Metrics]],
        params: Params,
        devices: int,
        axes: int,
    ) -> None:
        """
        Args:
            start: of the parameters of the environment, the learner before its first update.
            block: learner, parameters, updates (int32[]) -> the learner so much later, and more.
            devices: one alone of one process needs no layout.
            axes: that the members of a grid add in front of the arenas.
        """
        self.shape = jax.eval_shape(start, params)
        self._block = block
        if devices == 1 and jax.process_count() == 1:
            self._layout = None
            self.start = jax.jit(start)
            return
        self._mesh = Mesh(
            np.array(jax.devices()[:devices]), (ARENA_AXIS,), axis_types=(AxisType.Auto,)
        )
        self._everywhere = NamedSharding(self._mesh, PartitionSpec())
        spread = NamedSharding(self._mesh, PartitionSpec(*[None] * axes, ARENA_AXIS))
        layout = jax.tree.map(lambda _: self._everywhere, self.shape)
        arenas = jax.tree.map(lambda _: spread, self.shape.arenas)
        self._layout = layout.replace(arenas=arenas)
        self.start = jax.jit(start, out_shardings=self._layout)

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
            return jax.jit(self._block, donate_argnums=0).lower(*arguments).compile()
        block = jax.jit(
            self._block,
            donate_argnums=0,
            in_shardings=(self._layout, self._everywhere, self._everywhere),
            out_shardings=(self._layout, self._everywhere),
        )
        with jax.set_mesh(self._mesh):
            return block.lower(*arguments).compile()
