"""Many players in many arenas side by side, to learn from: how far each one comes."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.recordings.replay import BytePlayer, Chunk, Played, ReplayEvents, step

_Carry = tuple[jax.Array, Played, jax.Array, jax.Array]  # events, states, served, going on


def side_by_side(streams: Sequence[ReplayEvents]) -> tuple[Chunk, int]:
    """Stacks the events of D recordings, the shorter ones filled up with frees of no block.

    Returns:
        The events, [D, E] each; and L, one more than the most blocks that live at once.
    """
    length = max(len(events.frees) for events in streams)
    blocks = max(events.blocks for events in streams)
    padded = [events.padded(length, blocks) for events in streams]
    return jax.device_put(jax.tree.map(lambda *columns: np.stack(columns), *padded)), blocks + 1


def arenas_of(streams: Sequence[ReplayEvents], factors: Sequence[float]) -> jax.Array:
    """Returns arenas of so many times the peak live units: int32[D, C]."""
    cells = [[int(factor * events.peak_live) for factor in factors] for events in streams]
    return jax.device_put(np.array(cells, np.int32))


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
    events = chunks.frees.shape[-1]

    def of_one(stream: tuple[Chunk, jax.Array]) -> jax.Array:
        chunk, cells = stream

        # Arenas that are far too small, as most are that rules are ranked by, fail early.
        def goes_on(carry: _Carry) -> jax.Array:
            number, _, _, going = carry
            return (number < events) & jnp.any(going)

        def turn(carry: _Carry) -> _Carry:
            number, states, served, going = carry
            event = jax.tree.map(lambda column: column[number], chunk)
            states, failed = _in_all(event, players, states)
            going &= ~failed & ~states.table.full
            return number + 1, states, served + going, going

        begin = (jnp.int32(0), _new(cells, slots, blocks), jnp.zeros(cells.shape), cells >= 0)
        return jax.lax.while_loop(goes_on, turn, begin)[2]

    return _each(of_one, players, chunks, cells)


def units_lost(
    players: BytePlayer, chunks: Chunk, cells: jax.Array, slots: int, blocks: int
) -> jax.Array:
    """Sums the units of requests that fail, as a share of the arena: float32[P, D, C].

    Arguments are those of `events_served`; an arena that has too many holes loses without end.
    """

    def of_one(stream: tuple[Chunk, jax.Array]) -> jax.Array:
        chunk, cells = stream

        def turn(
            carry: tuple[Played, jax.Array], event: Chunk
        ) -> tuple[tuple[Played, jax.Array], None]:
            states, lost = carry
            states, failed = _in_all(event, players, states)
            return (states, lost + failed * event.known.size), None

        begin = (_new(cells, slots, blocks), jnp.zeros(cells.shape))
        (states, lost), _ = jax.lax.scan(turn, begin, chunk)
        return jnp.where(states.table.full, jnp.inf, lost / cells)

    return _each(of_one, players, chunks, cells)


def _new(cells: jax.Array, slots: int, blocks: int) -> Played:
    """Makes empty arenas of so many units: [P, C] from int32[P, C]."""
    return jax.vmap(jax.vmap(lambda cells: Played.new(cells, slots, blocks)))(cells)


def _in_all(event: Chunk, players: BytePlayer, states: Played) -> tuple[Played, jax.Array]:
    """Plays an event by P players, in C arenas each: states, and whether it fails, bool[P, C]."""
    over_arenas = jax.vmap(lambda player, state: step(state, event, player), in_axes=(None, 0))
    return jax.vmap(over_arenas)(players, states)


def _each(
    of_one: Callable[[tuple[Chunk, jax.Array]], jax.Array],
    players: BytePlayer,
    chunks: Chunk,
    cells: jax.Array,
) -> jax.Array:
    """Plays D recordings, one after another: float32[P, D, C].

    Side by side are only arenas that see the same event, so that what frees does not also place.
    """
    count = jax.tree.leaves(players)[0].shape[0]
    arenas = jnp.broadcast_to(cells, (count, *cells.shape[-2:]))
    return jnp.moveaxis(jax.lax.map(of_one, (chunks, jnp.moveaxis(arenas, 1, 0))), 0, 1)
