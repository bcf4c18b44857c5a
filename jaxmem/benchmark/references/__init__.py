"""Other simulators of the same arenas, which jaxmem is timed against side by side.

All play best-fit (the shortest hole that fits, ties to the lowest address, the block at its low
end) and show what the environment shows with actions `address` and observation `bitmap`, in the
same buffers after every step. `cartpole` is another game: a yardstick of a vmapped JAX environment.
"""

from collections.abc import Callable

import numpy as np

from jaxmem.benchmark.references.c_arenas import CArenas
from jaxmem.benchmark.references.cartpole import CartPole
from jaxmem.benchmark.references.numba_arenas import NumbaArenas
from jaxmem.benchmark.references.numpy_arenas import NumpyArenas
from jaxmem.benchmark.references.python_loop import PythonLoop
from jaxmem.benchmark.references.reference import Reference, Unavailable
from jaxmem.names import nearest

__all__ = ["REFERENCES", "Reference", "Unavailable", "build"]

REFERENCES: dict[str, Callable[..., Reference]] = {
    "python_loop": PythonLoop,
    "numpy": NumpyArenas,
    "numba": NumbaArenas,
    "c": CArenas,
    "cartpole": CartPole,
}


def build(
    name: str, size: np.ndarray, lifetime: np.ndarray, cells: int, arenas: int, observe: bool
) -> Reference:
    """Builds the reference `name`, compiled and ready to play.

    Args:
        name: one of REFERENCES.
        size: int32[P, T], cells that each request asks for, at least 1.
        lifetime: int32[P, T], requests until it is freed, at least 1.
        cells: N, at least 1.
        arenas: E, at least 1; arena e plays sequence e % P.
        observe: make the observation and the mask after every step.

    Raises:
        Unavailable: what the reference needs is not here.
        ValueError: the name is unknown, or requests or counts are not as above.
    """
    if name not in REFERENCES:
        raise ValueError(f"no reference is called {name!r}{nearest(name, REFERENCES)}")
    size, lifetime = np.asarray(size), np.asarray(lifetime)
    if size.ndim != 2 or size.shape != lifetime.shape or size.size == 0:
        raise ValueError(
            f"size and lifetime must both be [P, T], not {size.shape} and {lifetime.shape}"
        )
    for what, least in (
        ("size", size.min()),
        ("lifetime", lifetime.min()),
        ("cells", cells),
        ("arenas", arenas),
    ):
        if least < 1:
            raise ValueError(f"{what} must be at least 1, not {least}")
    # A block that outlives its episode goes with it, however long it lives.
    lifetime = np.minimum(lifetime, size.shape[1])
    rows = (np.ascontiguousarray(values, dtype=np.int32) for values in (size, lifetime))
    return REFERENCES[name](*rows, cells=cells, arenas=arenas, observe=observe)
