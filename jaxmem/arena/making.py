"""Making an arena: the choice of how it stores memory."""

from numbers import Integral

import jax
import jax.numpy as jnp

from jaxmem.arena import bits
from jaxmem.arena.arena import Arena
from jaxmem.arena.bitmap import BitmapArena
from jaxmem.arena.planes import planes
from jaxmem.arena.table import AFTER_ALL, BlockTable

BITMAP_CELLS = 4096  # of a bitmap
MAX_TABLE_CELLS = AFTER_ALL
UNROLLED_CELLS = 256  # beyond, compiling takes longer than it saves
REPRESENTATIONS = ("auto", "unrolled", "stacked", "table")


def new_arena(
    cells: int | jax.Array,
    capacity: int,
    horizon: int,
    representation: str = "auto",
    blocks: int | None = None,
    ages: bool = True,
) -> Arena:
    """Makes an empty arena of `cells` cells with room for `capacity`, for times 0 .. `horizon`.

    Args:
        cells: int or int32[], 1 .. capacity; may be traced.
        capacity: 1 .. 4096, of a table 1 .. 2**31 - 1; fixes the shape.
        horizon: the last time that the clock will show; fixes the number of planes.
        representation: how memory is stored: `unrolled` words (fast to 256 cells), `stacked` words,
            a `table` of blocks, or `auto`, which chooses by the capacity: a table beyond 4096.
        blocks: B, the most blocks that a table holds at once, at least 1; the others need none.
        ages: remember when each block was placed and is predicted to die, which is what the
            neighbours of a hole and the parts of an arena show. A bitmap without takes a third of
            the memory, and of the time of a step; a table always remembers.

    Raises:
        ValueError: capacity, horizon, blocks or a known number of cells is out of range.
    """
    representation = check_shape(capacity, horizon, representation, blocks)
    if isinstance(cells, int) and not 1 <= cells <= capacity:
        raise ValueError(f"an arena of this shape holds 1 to {capacity} cells, not {cells}")
    cells = jnp.asarray(cells, jnp.int32)
    if blocks is not None and representation == "table":
        return _empty_table(cells, capacity, horizon, int(blocks))
    unrolled = representation == "unrolled"
    make = _bitmap if unrolled else _compiled_bitmap
    return make(cells, capacity, horizon, unrolled, ages)


def check_shape(
    capacity: int, horizon: int, representation: str = "auto", blocks: int | None = None
) -> str:
    """Returns the representation, no longer `auto`, of arenas that may be; as in `new_arena`.

    Raises:
        ValueError: capacity, horizon or blocks is out of range.
    """
    if representation not in REPRESENTATIONS:
        raise ValueError(
            f"representation must be one of {', '.join(REPRESENTATIONS)}, not {representation!r}"
        )
    if blocks is not None and not (isinstance(blocks, Integral) and blocks >= 1):
        raise ValueError(f"blocks must be a whole number of at least 1, not {blocks!r}")
    representation = _representation(representation, capacity, blocks)
    most = MAX_TABLE_CELLS if representation == "table" else BITMAP_CELLS
    if not 1 <= capacity <= most:
        raise ValueError(f"an arena holds 1 to {most} cells, not {capacity}")
    if not 0 <= horizon < 2**30:
        raise ValueError(f"the horizon is 0 to 2**30 - 1 requests, not {horizon}")
    return representation


def _representation(representation: str, capacity: int, blocks: int | None) -> str:
    """Chooses one of `unrolled`, `stacked` and `table`."""
    if representation == "auto":
        if capacity <= BITMAP_CELLS:
            return "unrolled" if capacity <= UNROLLED_CELLS else "stacked"
        if blocks is None:
            raise ValueError(
                f"an arena holds 1 to {BITMAP_CELLS} cells, not {capacity}; a larger one needs "
                "`blocks`, the most blocks that live in it at once"
            )
        return "table"
    if representation == "table" and blocks is None:
        raise ValueError("a table needs `blocks`, the most blocks that live in it at once")
    return representation


def _bitmap(
    cells: jax.Array, capacity: int, horizon: int, unrolled: bool, ages: bool
) -> BitmapArena:
    nothing = bits.empty(capacity, unrolled=unrolled)
    # One value more than the clock can show: all ones means never.
    depth = (horizon + 1).bit_length()
    zero = jnp.zeros((), jnp.int32)
    return BitmapArena(
        free=nothing.below(cells),
        heads=nothing,
        expiry=planes(~nothing, depth),
        birth=planes(nothing, depth if ages else 0),
        forecast=planes(nothing, _forecast_bits(horizon) if ages else 0),
        cells=cells,
        now=zero,
        cursor=zero,
        high_water=zero,
    )


# The words of a stacked set have a shape of their own, for which a dozen operations would be
# compiled; those of an unrolled one are scalars, for which they are compiled already.
_compiled_bitmap = jax.jit(_bitmap, static_argnums=(1, 2, 3, 4))


def _empty_table(cells: jax.Array, capacity: int, horizon: int, blocks: int) -> BlockTable:
    zero, zeros = jnp.zeros((), jnp.int32), jnp.zeros((blocks + 1,), jnp.int32)
    return BlockTable(
        low=zeros,
        # All slots but the wall's are spare and lie at address 0; the last has the whole hole.
        high=zeros.at[-1].set(cells),
        expiry=zeros.at[0].set(AFTER_ALL),
        birth=zeros,
        forecast=zeros,
        most_cells=capacity,
        furthest=2 ** _forecast_bits(horizon) - 1,
        cells=cells,
        now=zero,
        cursor=zero,
        high_water=zero,
    )


def _forecast_bits(horizon: int) -> int:
    """Counts the bits for a prediction up to a horizon ahead; what lies further is all ones."""
    return (2 * horizon + 1).bit_length()
