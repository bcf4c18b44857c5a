"""Making an arena: the choice of how it stores memory."""

import jax
import jax.numpy as jnp

from jaxmem.arena import bits
from jaxmem.arena.arena import Arena
from jaxmem.arena.bitmap import BitmapArena

MAX_CELLS = 4096  # of a bitmap
UNROLLED_CELLS = 256  # beyond, compiling takes longer than it saves
REPRESENTATIONS = ("auto", "unrolled", "stacked")


def new_arena(
    cells: int | jax.Array, capacity: int, horizon: int, representation: str = "auto"
) -> Arena:
    """An empty arena of `cells` cells with room for `capacity`, for times 0 .. `horizon`.

    Args:
        cells: int or int32[], 1 .. capacity; may be traced.
        capacity: 1 .. 4096; fixes the shape.
        horizon: the last time that the clock will show; fixes the number of planes.
        representation: how memory is stored: `unrolled` words (fast to 256 cells), `stacked` words,
            or `auto`, which chooses by the capacity.

    Raises:
        ValueError: capacity, horizon or a known number of cells is out of range.
    """
    if not 1 <= capacity <= MAX_CELLS:
        raise ValueError(f"an arena holds 1 to {MAX_CELLS} cells, not {capacity}")
    if isinstance(cells, int) and not 1 <= cells <= capacity:
        raise ValueError(f"an arena of this shape holds 1 to {capacity} cells, not {cells}")
    if not 0 <= horizon < 2**30:
        raise ValueError(f"the horizon is 0 to 2**30 - 1 requests, not {horizon}")
    if representation not in REPRESENTATIONS:
        raise ValueError(
            f"representation must be one of {', '.join(REPRESENTATIONS)}, not {representation!r}"
        )
    nothing = bits.empty(capacity, unrolled=_is_unrolled(representation, capacity))
    # One value more than the clock can show: all ones means never.
    depth = (horizon + 1).bit_length()
    # A prediction may lie a whole horizon ahead; what lies further is remembered as all ones.
    far = (2 * horizon + 1).bit_length()
    zero = jnp.zeros((), jnp.int32)
    return BitmapArena(
        free=nothing.below(jnp.asarray(cells, jnp.int32)),
        heads=nothing,
        expiry=(~nothing,) * depth,
        birth=(nothing,) * depth,
        forecast=(nothing,) * far,
        cells=jnp.asarray(cells, jnp.int32),
        now=zero,
        cursor=zero,
        high_water=zero,
    )


def _is_unrolled(representation: str, capacity: int) -> bool:
    if representation == "auto":
        return capacity <= UNROLLED_CELLS
    return representation == "unrolled"
