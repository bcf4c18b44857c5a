"""Many players in many arenas side by side, to learn from: how far each one comes."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.recordings.replay import BytePlayer, Chunk, Played, ReplayEvents, step


def side_by_side(streams: Sequence[ReplayEvents]) -> tuple[Chunk, int]:
    """Stacks the events of D recordings, the shorter ones filled up with frees of no block.

    Returns:
        The events, [D, E] each; and L, one more than the most blocks that live at once.
    """
    length = max(len(events.frees) for events in streams)
    blocks = max(events.blocks for events in streams)
    padded = [events.padded(length, blocks) for events in streams]
    return jax.tree.map(lambda *columns: jnp.asarray(np.stack(columns)), *padded), blocks + 1


def arenas_of(streams: Sequence[ReplayEvents], factors: Sequence[float]) -> jax.Array:
    """Returns arenas of so many times the peak live units: int32[D, C]."""
    cells = [[int(factor * events.peak_live) for factor in factors] for events in streams]
    return jnp.asarray(cells, jnp.int32)


def events_served(
    players: BytePlayer, chunks: Chunk, cells: jax.Array, slots: int, blocks: int
) -> jax.Array:
    """Counts the events before the first request that fails: float32[P, D, C], E if none does.

    Args:
        players: P of them.
        chunks: the events of D recordings.
        cells: int32[D, C]  units of the arenas; or int32[P, D, C], of each player.
        slots: holes that an arena may have; one more counts as a failure.
        blocks: L, blocks that may live at once.
    """

    def alone(player: BytePlayer, chunk: Chunk, cells: jax.Array) -> jax.Array:
        def turn(
            carry: tuple[Played, jax.Array, jax.Array], event: Chunk
        ) -> tuple[tuple[Played, jax.Array, jax.Array], None]:
            state, served, going = carry
            state, failed = step(state, event, player)
            going &= ~failed & ~state.table.full
            return (state, served + going, going), None

        begin = (Played.new(cells, slots, blocks), jnp.zeros(()), jnp.ones((), bool))
        (_, served, _), _ = jax.lax.scan(turn, begin, chunk)
        return served

    return _in_all(alone, players, chunks, cells)


def units_lost(
    players: BytePlayer, chunks: Chunk, cells: jax.Array, slots: int, blocks: int
) -> jax.Array:
    """Sums the units of requests that fail, as a share of the arena: float32[P, D, C].

    Arguments are those of `events_served`; an arena that has too many holes loses without end.
    """

    def alone(player: BytePlayer, chunk: Chunk, cells: jax.Array) -> jax.Array:
        def turn(
            carry: tuple[Played, jax.Array], event: Chunk
        ) -> tuple[tuple[Played, jax.Array], None]:
            state, lost = carry
            state, failed = step(state, event, player)
            return (state, lost + failed * event.known.size), None

        begin = (Played.new(cells, slots, blocks), jnp.zeros(()))
        (state, lost), _ = jax.lax.scan(turn, begin, chunk)
        return jnp.where(state.table.full, jnp.inf, lost / cells)

    return _in_all(alone, players, chunks, cells)


def _in_all(
    alone: Callable[[BytePlayer, Chunk, jax.Array], jax.Array],
    players: BytePlayer,
    chunks: Chunk,
    cells: jax.Array,
) -> jax.Array:
    """Plays P players on D recordings, each in its C arenas: float32[P, D, C]."""
    over_arenas = jax.vmap(alone, in_axes=(None, None, 0))
    over_players = jax.vmap(over_arenas, in_axes=(0, None, 0 if cells.ndim == 3 else None))

    def of_one(stream: tuple[Chunk, jax.Array]) -> jax.Array:
        return over_players(players, *stream)

    # One recording after another: side by side are only arenas that see the same event, so that
    # what frees does not also place.
    found = jax.lax.map(of_one, (chunks, jnp.moveaxis(cells, -2, 0)))
    return jnp.moveaxis(found, 0, 1)
