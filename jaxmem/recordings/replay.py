"""Whole recordings, byte for byte, in an arena of any size.

A recording is a stream of events: allocations in their order, and before each one the frees of what
dies there. Events are played in chunks, and after each chunk the hole table is cut to the holes
there are; where it proves too small, the chunk is played again with twice the slots. (Arenas side
by side under `vmap` would all have the slots of that with the most holes, which costs more than is
saved: next and worst fit leave ten times the holes of first fit.)
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxmem.arena.arena import NOWHERE
from jaxmem.recordings import Recording
from jaxmem.recordings.class_rule import ClassRule
from jaxmem.recordings.history import history_of
from jaxmem.recordings.hole_scorer import HoleScorer, Known, Live
from jaxmem.recordings.hole_table import BEYOND, HoleTable, Order, new_hole_table
from jaxmem.recordings.planned_rule import PlannedRule
from jaxmem.recordings.profile import CONTEXTS, UNFORETOLD, UNKNOWN_CONTEXT

EVENTS_PER_CHUNK = 2048  # events
LEAST_SLOTS = 64
MOST_UNITS = BEYOND - 1  # of an arena
ARENA_FACTOR = (
    1.2  # times peak live: the arenas that a recording is played in, as far as they are known
)

BytePlayer = Order | HoleScorer | ClassRule | PlannedRule
ReportShare = Callable[[float], None]  # told the share of the events that is done, 0 .. 1


class Chunk(struct.PyTreeNode):
    """Events in the order of time."""

    frees: jax.Array  # bool[E]  else it allocates
    block: jax.Array  # int32[E]  number of the block, of those that live
    known: Known  # of the request that is allocated or freed, [E] each


@dataclass(frozen=True, eq=False)
class ReplayEvents:
    """A recording as events, its sizes rounded up to units of `alignment` bytes."""

    recording: Recording
    alignment: int  # bytes in a unit
    frees: np.ndarray  # bool[E]
    block: np.ndarray  # int32[E]  a number is used again when its block is freed
    request: np.ndarray  # int64[E]  the request that is allocated or freed
    given: int = 0  # requests at the beginning that best fit places where a scorer plays
    foretold: np.ndarray | None = None  # int32[R]  lifetimes by a profile, where there is one
    contexts: np.ndarray | None = None  # int32[R, N]  places in a profile, where they count
    planned: np.ndarray | None = None  # int32[R]  starts of slots, in units, where there is a plan

    @cached_property
    def units(self) -> np.ndarray:
        """The size of every request: int64[R], units."""
        return units_of(self.recording, self.alignment)

    @cached_property
    def live(self) -> np.ndarray:
        """Units live when each request has been placed: int64[R]."""
        change = np.where(self.frees, -1, 1) * self.units[self.request]
        return np.cumsum(change)[~self.frees]

    @property
    def peak_live(self) -> int:
        """The most units live at once."""
        return int(self.live.max())

    @cached_property
    def blocks(self) -> int:
        """The most blocks live at once."""
        return int(self.block.max()) + 1

    @cached_property
    def chunks(self) -> list[Chunk]:
        """Lists `EVENTS_PER_CHUNK` events at a time, the last filled up with frees of no block."""
        whole = self.padded(
            len(self.frees) + -len(self.frees) % EVENTS_PER_CHUNK, _padded_count(self.blocks) - 1
        )
        cut = jax.tree.map(
            lambda column: column.reshape(-1, EVENTS_PER_CHUNK, *column.shape[1:]), whole
        )
        parts = range(len(cut.frees))
        return [jax.device_put(jax.tree.map(lambda column, at=at: column[at], cut)) for at in parts]

    def padded(self, length: int, no_block: int) -> Chunk:
        """Returns all events, then, up to `length`, frees of the block `no_block`; NumPy arrays."""
        filled = (0, length - len(self.frees))
        history = history_of(self.recording)
        columns: dict[str, np.ndarray] = {
            "size": self.units.astype(np.int32),
            "died": history.died,
            "lived": history.lived,
            "begins": history.begins,
            "usual": history.usual - np.float32(np.log(self.alignment)),
            "given": np.arange(len(self.units)) < self.given,
            "foretold": np.full(len(self.units), UNFORETOLD, np.int32)
            if self.foretold is None
            else self.foretold,
            "contexts": np.full((len(self.units), len(CONTEXTS)), UNKNOWN_CONTEXT, np.int32)
            if self.contexts is None
            else self.contexts,
            "planned": np.full(len(self.units), NOWHERE, np.int32)
            if self.planned is None
            else self.planned,
        }
        known: dict[str, Any] = {
            name: np.pad(of[self.request], [filled, (0, 0)][: of.ndim])
            for name, of in columns.items()
        }
        events: dict[str, Any] = {
            "frees": np.pad(self.frees, filled, constant_values=True),
            "block": np.pad(self.block, filled, constant_values=no_block),
        }
        return Chunk(**events, known=Known(**known))


def units_of(recording: Recording, alignment: int) -> np.ndarray:
    """Rounds the size of every request up to units of `alignment` bytes: int64[R]."""
    return -(-recording.size // alignment)


def events_of(recording: Recording, alignment: int, given: int = 0) -> ReplayEvents:
    """Makes a recording's events; for a scorer, best fit places the first `given` requests.

    Frees after the last allocation change no figure and are left out.

    Raises:
        ValueError: more is live at once than an arena can hold, 2**31 - 2 units.
    """
    requests = recording.requests
    number = np.arange(requests, dtype=np.int64)
    death = number + recording.lifetime
    mortal = number[death < requests]
    # A free comes before the allocation of the same time.
    time = np.concatenate([2 * number + 1, 2 * death[mortal]])
    order = np.argsort(time, kind="stable")
    request = np.concatenate([number, mortal])[order]
    frees = order >= requests
    numbers = _numbered(frees, request, requests)
    events = ReplayEvents(recording, alignment, frees, numbers, request, given)
    if events.peak_live > MOST_UNITS:
        raise ValueError(
            f"{recording.name} has {events.peak_live:,} units of {alignment:,} bytes live at once; "
            f"an arena holds {MOST_UNITS:,} units: take alignment="
            f"{least_alignment(recording, alignment)}"
        )
    return events


def least_alignment(recording: Recording, alignment: int) -> int:
    """Doubles the alignment until `ARENA_FACTOR` times the peak live bytes fit an arena."""
    while True:
        units = Recording(recording.name, units_of(recording, alignment), recording.lifetime)
        if units.peak_live * ARENA_FACTOR <= MOST_UNITS:
            return alignment
        alignment *= 2  # at most MOST_UNITS / ARENA_FACTOR blocks are ever live: this ends


def _numbered(frees: np.ndarray, request: np.ndarray, requests: int) -> np.ndarray:
    """Numbers the block of each event: int32[E], with as few numbers as can be."""
    own = [0] * requests
    returned: list[int] = []
    numbers, used = [], 0
    for dies, which in zip(frees.tolist(), request.tolist(), strict=True):
        if dies:
            returned.append(own[which])
        elif returned:
            own[which] = returned.pop()
        else:
            own[which], used = used, used + 1
        numbers.append(own[which])
    return np.array(numbers, np.int32)


class Played(struct.PyTreeNode):
    """An arena in which events are played."""

    table: HoleTable
    cells: jax.Array  # int32[]  units of the arena, 0: it grows
    start: jax.Array  # int32[L]  of each live block; the last is never one
    live: Live

    @classmethod
    def new(cls, cells: int | jax.Array, slots: int, blocks: int) -> "Played":
        """Makes an empty arena for L = `blocks` live blocks."""
        cells = jnp.asarray(cells, jnp.int32)
        return cls(
            table=new_hole_table(cells, slots),
            cells=cells,
            start=jnp.full(blocks, NOWHERE, jnp.int32),
            live=Live(units=jnp.zeros_like(cells), blocks=jnp.zeros_like(cells)),
        )


@dataclass(frozen=True)
class Replayed:
    """The outcome of a replay."""

    failed: np.ndarray  # bool[R]  no hole was long enough; False from where it was stopped
    start: np.ndarray  # int64[R]  units, of each block; NOWHERE if it failed or was not played
    top: int  # units, of an arena that grows: its high-water mark
    most_holes: int  # that there were at the end of a chunk

    @property
    def served(self) -> bool:
        """Every request was placed."""
        return not self.failed.any()


def replay(
    events: ReplayEvents,
    cells: int,
    player: BytePlayer,
    *,
    until_failure: bool = False,
    report: ReportShare = lambda share: None,
) -> Replayed:
    """Plays all events in one arena.

    Args:
        cells: units of the arena, 0: it grows.
        player: the order of a rule, or a learned scorer, which needs a bounded arena.
        until_failure: stop soon after the first failure.
        report: told after each chunk; what it raises ends the replay.
    """
    state = Played.new(cells, LEAST_SLOTS, _padded_count(events.blocks))
    failed, start = np.zeros(len(events.frees), bool), np.full(len(events.frees), NOWHERE)
    most = 0
    for first, chunk in zip(range(0, len(failed), EVENTS_PER_CHUNK), events.chunks, strict=True):
        state, failures, starts, holes = _advanced(state, chunk, player)
        part = failed[first : first + EVENTS_PER_CHUNK]
        part[:] = failures[: len(part)]
        start[first : first + EVENTS_PER_CHUNK] = starts[: len(part)]
        report((first + len(part)) / len(failed))
        if until_failure and part.any():
            break
        most = max(most, holes)
        state = state.replace(table=_with_slots(state.table, _slots_for(holes)))
    placed = ~events.frees
    return Replayed(failed[placed], start[placed], int(state.table.high[0]), most)


def _advanced(
    state: Played, chunk: Chunk, player: BytePlayer
) -> tuple[Played, np.ndarray, np.ndarray, int]:
    """Plays a chunk with as many slots as it takes: state, what came of each event, the holes.

    Of an event: whether it failed, bool[E], and the start of its block, int32[E].
    """
    while True:
        after, failures, starts, holes = _play_chunk(state, chunk, player)
        if not after.table.full:
            return after, np.asarray(failures), np.asarray(starts), int(holes)
        state = state.replace(table=_with_slots(state.table, 2 * state.table.slots))


@jax.jit
def _play_chunk(
    state: Played, chunk: Chunk, player: BytePlayer
) -> tuple[Played, jax.Array, jax.Array, jax.Array]:
    def turn(state: Played, event: Chunk) -> tuple[Played, tuple[jax.Array, jax.Array]]:
        state, failed = step(state, event, player)
        return state, (failed, state.start[event.block])

    state, (failures, starts) = jax.lax.scan(turn, state, chunk)
    return state, failures, starts, state.table.holes()


def step(state: Played, event: Chunk, player: BytePlayer) -> tuple[Played, jax.Array]:
    """Plays one event, and tells whether it was a request that failed: bool[]."""
    start, known = state.start[event.block], event.known

    def place() -> tuple[HoleTable, jax.Array]:
        if isinstance(player, Order):
            return state.table.place(known.size, player)
        return player.place(state.table, state.cells, known, state.live)

    def free() -> tuple[HoleTable, jax.Array]:
        return state.table.free(start, known.size), start

    table, start = jax.lax.cond(event.frees, free, place)
    change = jnp.where(start < 0, 0, jnp.where(event.frees, -1, 1))
    state = state.replace(
        table=table,
        start=jax.lax.dynamic_update_index_in_dim(state.start, start, event.block, 0),
        live=Live(state.live.units + change * known.size, state.live.blocks + change),
    )
    return state, ~event.frees & (start < 0)


def _slots_for(holes: int) -> int:
    """Returns slots for so many holes, and for a quarter as many more to come."""
    return max(LEAST_SLOTS, _padded_count(holes + holes // 4))


def _padded_count(count: int) -> int:
    """Returns the power of two above `count`: few shapes to compile."""
    return 2 ** int(count).bit_length()


def _with_slots(table: HoleTable, slots: int) -> HoleTable:
    """Moves the holes to a table of so many slots, enough for them; slot 0 stays where it is."""
    if slots == table.slots:
        return table
    low, high = np.asarray(table.low), np.asarray(table.high)
    spare_last = np.where(np.arange(table.slots) == 0, -1, low == high)
    kept = np.argsort(spare_last, kind="stable")[:slots]
    more = (0, max(0, slots - table.slots))
    return table.replace(
        low=jnp.asarray(np.pad(low[kept], more)), high=jnp.asarray(np.pad(high[kept], more))
    )
