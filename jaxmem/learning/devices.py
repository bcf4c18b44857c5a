"""Devices that train one run together: its arenas lie on all of them, its networks on each."""

from collections.abc import Callable
from typing import TypeVar

import jax
from jax.sharding import PartitionSpec

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
