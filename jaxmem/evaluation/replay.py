"""Whole recordings, byte for byte, in many arenas of any size side by side.

A recording is a stream of events: allocations in their order, and before each one the frees of what
dies there. All arenas see the same event at the same time, each with a rule and a size of its own.
Events are played in chunks, and after each chunk the hole tables are cut to the holes there are: a
table that proves too small plays its chunk again with twice the slots.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxmem.arena.arena import NOWHERE
from jaxmem.arena.hole_table import BEYOND, HoleTable, Rules, new_hole_table
from jaxmem.workloads.traces import Recording

CHUNK = 2048  # events
LEAST_SLOTS = 64
MOST_UNITS = BEYOND - 1  # of an arena

Report = Callable[[float], None]  # told the share of the events that is done, 0 .. 1


class Chunk(struct.PyTreeNode):
    """Events in the order of time."""

    frees: jax.Array  # bool[E]  else it allocates
    block: jax.Array  # int32[E]  number of the block, of those that live
    size: jax.Array  # int32[E]  units


@dataclass(frozen=True, eq=False)
class Events:
    """A recording as events, its sizes rounded up to units of `alignment` bytes."""

    recording: Recording
    alignment: int  # bytes in a unit
    frees: np.ndarray  # bool[E]
    block: np.ndarray  # int32[E]  a number is used again when its block is freed
    request: np.ndarray  # int64[E]  the request that is allocated or freed

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

    def chunks(self) -> Iterator[Chunk]:
        """All events, `CHUNK` at a time; the last chunk is filled up with frees of no block."""
        size = self.units[self.request].astype(np.int32)
        for first in range(0, len(self.frees), CHUNK):
            part = slice(first, first + CHUNK)
            filled = (0, max(0, first + CHUNK - len(self.frees)))
            yield Chunk(
                frees=np.pad(self.frees[part], filled, constant_values=True),
                block=np.pad(self.block[part], filled, constant_values=_padded(self.blocks) - 1),
                size=np.pad(size[part], filled),
            )


def units_of(recording: Recording, alignment: int) -> np.ndarray:
    """The size of every request in units of `alignment` bytes, rounded up: int64[R]."""
    return -(-recording.size // alignment)


def events_of(recording: Recording, alignment: int) -> Events:
    """The events of a recording.

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
    events = Events(recording, alignment, frees, _numbered(frees, request, requests), request)
    if events.peak_live > MOST_UNITS:
        raise ValueError(
            f"{recording.name} has {events.peak_live:,} units of {alignment:,} bytes live at once; "
            f"an arena holds {MOST_UNITS:,} units: take a larger alignment"
        )
    return events


def _numbered(frees: np.ndarray, request: np.ndarray, requests: int) -> np.ndarray:
    """The number of the block of each event: int32[E], as few numbers as can be."""
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


class _State(struct.PyTreeNode):
    table: HoleTable
    start: jax.Array  # int32[L, K]  of each live block in each arena; the last is never one


@dataclass(frozen=True)
class Replayed:
    """What came of a replay in K arenas."""

    failed: np.ndarray  # bool[K, R]  no hole was long enough; False beyond where it was stopped
    top: np.ndarray  # int64[K]  units; of an arena that grows its high-water mark
    most_holes: int  # at the end of a chunk, in any of the arenas
    whole: bool  # it was not stopped

    @property
    def served(self) -> np.ndarray:
        """Whether every request was placed: bool[K]."""
        return ~self.failed.any(axis=1)


def replay(
    events: Events,
    cells: np.ndarray,
    rules: Rules,
    *,
    until_all_fail: bool = False,
    report: Report = lambda share: None,
) -> Replayed:
    """Plays all events in K arenas.

    Args:
        cells: int[K]  units of each arena, 0: it grows.
        rules: of K arenas.
        until_all_fail: stop when there is a failure in each of them.
    """
    cells = np.asarray(cells, np.int32)
    state = _State(
        table=new_hole_table(cells, LEAST_SLOTS),
        start=jnp.full((_padded(events.blocks), len(cells)), NOWHERE, jnp.int32),
    )
    failed = np.zeros((len(cells), len(events.frees)), bool)
    most, done = 0, 0
    for chunk in events.chunks():
        state, failures = _advanced(state, chunk, rules)
        end = min(done + CHUNK, len(events.frees))
        failed[:, done:end] = np.asarray(failures).T[:, : end - done]
        done = end
        report(done / len(events.frees))
        if until_all_fail and failed[:, :done].any(axis=1).all():
            break
        holes = int(state.table.holes().max())
        most = max(most, holes)
        state = state.replace(table=_with_slots(state.table, _slots_for(holes)))
    return Replayed(
        failed=failed[:, ~events.frees],
        top=np.asarray(state.table.high[:, 0], np.int64),
        most_holes=most,
        whole=done == len(events.frees),
    )


def _advanced(state: _State, chunk: Chunk, rules: Rules) -> tuple[_State, jax.Array]:
    """The state after a chunk, with as many slots as it takes; and bool[E, K], what failed."""
    while True:
        after, failures = _play(state, chunk, rules)
        if not after.table.full.any():
            return after, failures
        state = state.replace(table=_with_slots(state.table, 2 * state.table.slots))


@jax.jit
def _play(state: _State, chunk: Chunk, rules: Rules) -> tuple[_State, jax.Array]:
    def step(state: _State, event: Chunk) -> tuple[_State, jax.Array]:
        start = jax.lax.dynamic_index_in_dim(state.start, event.block, keepdims=False)
        table, start = jax.lax.cond(
            event.frees,
            lambda: (state.table.free(start, event.size), start),
            lambda: state.table.place(event.size, rules),
        )
        starts = jax.lax.dynamic_update_index_in_dim(state.start, start, event.block, 0)
        return _State(table, starts), ~event.frees & (start < 0)

    return jax.lax.scan(step, state, chunk)


def _slots_for(holes: int) -> int:
    """Slots for so many holes, and for half as many more to come."""
    return max(LEAST_SLOTS, _padded(holes + holes // 2))


def _padded(count: int) -> int:
    """The power of two above `count`: few shapes to compile."""
    return 2 ** int(count).bit_length()


def _with_slots(table: HoleTable, slots: int) -> HoleTable:
    """The same holes in a table of so many slots, enough for them; slot 0 stays where it is."""
    if slots == table.slots:
        return table
    low, high = np.asarray(table.low), np.asarray(table.high)
    spare_last = np.where(np.arange(table.slots) == 0, -1, low == high)
    kept = np.argsort(spare_last, axis=1, kind="stable")[:, :slots]
    more = ((0, 0), (0, max(0, slots - table.slots)))
    return table.replace(
        low=jnp.asarray(np.pad(np.take_along_axis(low, kept, 1), more)),
        high=jnp.asarray(np.pad(np.take_along_axis(high, kept, 1), more)),
    )
