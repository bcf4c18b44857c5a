"""Environments by name: one task for each workload at its standard number of cells."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxmem.arena.arena import NEVER, NOWHERE, Arena
from jaxmem.arena.making import BITMAP_CELLS, new_arena
from jaxmem.environment.ending import ending_of
from jaxmem.environment.environment import Environment, Observe, Params
from jaxmem.environment.rewards import Reward
from jaxmem.settings.workload import WORKLOADS
from jaxmem.workloads.peaks import peak_blocks
from jaxmem.workloads.registry import Workload, workload_from
from jaxmem.workloads.requests import Requests

TASK_SEQUENCES = 1024  # training sequences that come with a task
STEP = 32  # blocks by which tables grow


def make(
    on: str | Workload,
    /,
    *,
    cells: int | None = None,
    sequences: int = TASK_SEQUENCES,
    seed: int = 0,
    actions: str = "holes",
    observation: str | Observe = "candidates",
    reward: str | Reward = "failures",
    holes: int = 8,
    history: int = 0,
    start: str = "first",
    representation: str = "auto",
    **options: Any,
) -> tuple[Environment, Params]:
    """Makes the environment and parameters of a task, on training sequences of its workload.

    `actions`, `observation`, `reward`, `holes` and `history` are those of `Environment`; an
    observation or a reward may be a function.

    Args:
        on: a workload or its name; `cells` and `options` are then its own.
        sequences: P, training sequences drawn from `seed`; a fixed workload has one, its own.
        start: the request at which `reset` joins a sequence: "first", or "random", so that arenas
            side by side are not all in the same phase of the program.
        representation: how arenas store memory, of `new_arena`.

    Raises:
        ValueError: an unknown name or a value out of range; `cells` or options of a workload that
            is no name.
    """
    task = workload_from(on, cells, options)
    env = Environment(
        cells=task.cells,
        horizon=task.length,
        actions=actions,
        observation=observation,
        reward=reward,
        holes=holes,
        history=history,
        start=start,
    )
    split = "test" if task.fixed else "train"
    return env, params_of(task, split, seed, sequences, representation, env.needs_ages)


def tasks() -> tuple[str, ...]:
    """Lists the names that `make` knows without further options."""
    return tuple(name for name in WORKLOADS if name != "trace")


def params_of(
    task: Workload,
    split: str,
    seed: int,
    sequences: int,
    representation: str = "auto",
    ages: bool = True,
    capacity: int | None = None,
) -> Params:
    """Makes environment parameters for a split of a workload; `capacity` as in `initial_arena`."""
    requests = task.requests(split, seed, sequences)
    return Params(
        requests=requests,
        initial=initial_arena(task, requests, representation, ages, capacity),
        ending=ending_of(task),
    )


def initial_arena(
    task: Workload,
    requests: Requests,
    representation: str = "auto",
    ages: bool = True,
    capacity: int | None = None,
) -> Arena:
    """Makes the arena of a workload before the first request, with its layout in it.

    Arenas of different sizes have one shape where they have one `capacity` (default: the cells).

    A table of blocks has room for as many as `requests` can have live at once, rounded up so that
    other requests of the workload have the same shape.
    """
    blocks = None
    capacity = capacity or task.cells
    if representation == "table" or capacity > BITMAP_CELLS:
        blocks = STEP * -(-peak_blocks(requests, task.layout) // STEP)
    arena = new_arena(task.cells, capacity, task.length, representation, blocks, ages)
    if not task.layout:
        return arena
    # Padded with blocks that are placed nowhere, so that one program serves most layouts.
    spare = [(NOWHERE, 1)] * (-len(task.layout) % STEP)
    return _with_layout(arena, jnp.array([*task.layout, *spare], jnp.int32))


@jax.jit
def _with_layout(arena: Arena, layout: jax.Array) -> Arena:
    """Adds blocks (start, size) that never die to the arena: int32[L, 2]."""

    def place(arena: Arena, block: jax.Array) -> tuple[Arena, None]:
        return arena.place(block[0], block[1], jnp.int32(NEVER)), None

    # The layout was there before: it does not move next fit's cursor.
    return jax.lax.scan(place, arena, layout)[0].replace(cursor=jnp.zeros((), jnp.int32))
