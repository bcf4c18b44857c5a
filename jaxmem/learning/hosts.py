"""Processes that train one run together: what they agree on, and what the first has for all.

Each runs the same program on its own devices, so each must take the same turns: what depends on a
clock or a signal is decided together. With one process alone, nothing is exchanged.
"""

import json
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

FIRST = 0  # the process that writes
Tree = TypeVar("Tree")
Told = TypeVar("Told")


def join(count: int | None, index: int | None, address: str | None) -> None:
    """Makes this process one of several; to be called before JAX computes anything.

    Args:
        count: processes; None: what SLURM says, as for the others.
        index: of this one, from 0.
        address: HOST:PORT of the first.
    """
    # What CPUs of several processes talk through; accelerators have their own.
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(address, count, index)


def is_first() -> bool:
    """Tells whether this process writes what there is to write."""
    return jax.process_index() == FIRST


def gathered(*numbers: int) -> np.ndarray:
    """The numbers of every process: int64[processes, len(numbers)]."""
    mine = np.array(numbers, np.int32)
    if jax.process_count() == 1:
        return mine[None].astype(np.int64)
    return np.asarray(multihost_utils.process_allgather(mine)).astype(np.int64)


def gather_to_host(tree: Tree) -> Tree:
    """A tree of global arrays, each whole, on the host; all processes must ask."""

    def here(leaf: object) -> object:
        if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable:
            return leaf
        if leaf.is_fully_replicated:
            return leaf.addressable_data(0)
        if is_key(leaf):
            return jax.random.wrap_key_data(gather_to_host(jax.random.key_data(leaf)))
        return multihost_utils.process_allgather(leaf, tiled=True)

    return jax.tree.map(here, tree)


def broadcast_from_first(
    found: tuple[Tree, Told] | None, like: Tree
) -> tuple[Tree | None, Told | None]:
    """Gives all what the first process has found: arrays, and what JSON can hold; None: nothing.

    Args:
        like: the shapes and types of the arrays, which all know.
    """
    arrays, about = found or (None, None)
    if jax.process_count() == 1:
        return arrays, about
    text = json.dumps(about).encode()
    size = int(gathered(len(text))[FIRST, 0])
    letters = np.frombuffer(text.ljust(size)[:size], np.uint8)
    about = json.loads(_broadcast(letters).tobytes().decode())
    if about is None:
        return None, None
    arrays = jax.tree.map(_nothing, like) if arrays is None else arrays
    return jax.tree.map(_broadcast, arrays), about


def _nothing(leaf: jax.ShapeDtypeStruct) -> np.ndarray | jax.Array:
    if is_key(leaf):
        numbers = _nothing(jax.eval_shape(jax.random.key_data, leaf))
        return jax.random.wrap_key_data(jnp.asarray(numbers))
    return np.zeros(leaf.shape, leaf.dtype)


def _broadcast(leaf: np.ndarray | jax.Array) -> np.ndarray | jax.Array:
    if is_key(leaf):
        return jax.random.wrap_key_data(jnp.asarray(_broadcast(jax.random.key_data(leaf))))
    return np.asarray(multihost_utils.broadcast_one_to_all(np.asarray(leaf)))


def is_key(leaf: np.ndarray | jax.Array | jax.ShapeDtypeStruct) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def barrier(name: str) -> None:
    """Waits until every process has come here."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)
