"""Request sequences: what the program asks for, fixed before any policy plays."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxmem.foreign import ForeignError


class Requests(struct.PyTreeNode):
    """P sequences of T requests; time is counted in requests.

    A block placed at request t with lifetime l is live for requests t .. t+l-1. Placement never
    changes a sequence, so two policies judged on the same sequences are compared exactly.
    """

    size: jax.Array  # int32[P, T]  cells, at least 1
    lifetime: jax.Array  # int32[P, T]  requests, 1 .. NEVER
    hint: jax.Array  # float32[P, T]  predicted lifetime in requests, 0: none
    kind: jax.Array  # int32[P, T]  call site or class, 0 where there is only one

    @property
    def sequences(self) -> int:
        """P, the number of sequences."""
        return self.size.shape[0]

    @property
    def length(self) -> int:
        """T, the requests in each sequence."""
        return self.size.shape[1]


@jax.jit
def requests_of(size: jax.Array, lifetime: jax.Array, hint=None, kind=None) -> Requests:
    """Makes requests from int arrays [P, T]; without `hint` or `kind`, there is none to see."""
    return Requests(
        size=jnp.asarray(size, jnp.int32),
        lifetime=jnp.asarray(lifetime, jnp.int32),
        hint=jnp.zeros(size.shape, jnp.float32) if hint is None else jnp.asarray(hint, jnp.float32),
        kind=jnp.zeros(size.shape, jnp.int32) if kind is None else jnp.asarray(kind, jnp.int32),
    )


def check_requests(what: str, drawn: object, sequences: int, length: int) -> None:
    """Checks what was drawn for P = `sequences` sequences of T = `length` requests.

    Raises:
        ForeignError: these are no requests, or of another shape, or one asks for less than a cell
            or lives for less than a request.
    """
    if not isinstance(drawn, Requests):
        raise ForeignError(
            f"{what} draws {type(drawn).__name__}; it must be what requests_of makes"
        )
    for name in ("size", "lifetime", "hint", "kind"):
        shape = getattr(drawn, name).shape
        if shape != (sequences, length):
            raise ForeignError(
                f"{what} draws {name} of shape {shape}; {(sequences, length)} was asked for, "
                "a row for each sequence"
            )
    for name, unit in (("size", "cell"), ("lifetime", "request")):
        least = int(np.asarray(getattr(drawn, name)).min())
        if least < 1:
            raise ForeignError(f"{what} draws a {name} of {least}; at least 1 {unit}")
