"""Environments by name: one task for each workload at its standard number of cells."""

from typing import Any

import jax.numpy as jnp

from jaxmem.arena.arena import Arena
from jaxmem.arena.making import new_arena
from jaxmem.environment.environment import Environment, Params
from jaxmem.workloads.registry import NAMES, Workload, workload

SEQUENCES = 1024  # training sequences that come with a task


def make(
    name: str,
    /,
    *,
    cells: int | None = None,
    sequences: int = SEQUENCES,
    seed: int = 0,
    actions: str = "holes",
    observation: str = "candidates",
    reward: str = "failures",
    holes: int = 8,
    history: int = 0,
    **options: Any,
) -> tuple[Environment, Params]:
    """The environment and parameters of a task, on training sequences of its workload.

    Args:
        name: a workload; `cells` and `options` are its own.
        sequences: P, training sequences drawn from `seed`; a fixed workload has one, its own.
        actions, observation, reward, holes, history: of `Environment`.

    Raises:
        ValueError: an unknown name or a value out of range.
    """
    task = workload(name, cells, **options)
    env = Environment(
        cells=task.cells,
        horizon=task.length,
        actions=actions,
        observation=observation,
        reward=reward,
        holes=holes,
        history=history,
    )
    return env, params_of(task, "test" if task.fixed else "train", seed, sequences)


def tasks() -> tuple[str, ...]:
    """The names that `make` knows without further options."""
    return tuple(name for name in NAMES if name != "trace")


def params_of(task: Workload, split: str, seed: int, sequences: int) -> Params:
    """Environment parameters for one split of a workload."""
    return Params(
        requests=task.requests(split, seed, sequences),
        initial=initial_arena(task),
        stop_at_failure=jnp.bool_(task.stop_at_failure),
        stop_above=jnp.float32(task.stop_above),
    )


def initial_arena(task: Workload) -> Arena:
    """The arena of a workload before the first request, with its layout in it."""
    arena = new_arena(task.cells, task.cells, task.length)
    never = jnp.int32(2**30)
    for start, size in task.layout:
        arena = arena.place(jnp.int32(start), jnp.int32(size), never)
    # The layout was there before: it does not move next fit's cursor.
    return arena.replace(cursor=jnp.zeros((), jnp.int32))
