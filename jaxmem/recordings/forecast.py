"""A plan for a program whose shapes are static in a run: each request has a slot of its own.

An earlier run is the forecast. A running program is followed through it by call sites: which place
of the forecast a request is tells its slot, where its block is to lie. A program that goes on
longer than the forecast comes round again.

Blocks of some places grow and shrink together from run to run, as those that hold a batch do. Once
one is seen that is not as foretold, all its group is foretold anew, and what is to come is packed
again around what is live; and so it is whenever the program comes round.
"""

from bisect import bisect_left
from typing import NamedTuple

import numpy as np

from jaxmem.arena.arena import NOWHERE
from jaxmem.recordings.offline_packing import stacked_in_order
from jaxmem.recordings.packing import deaths_of
from jaxmem.recordings.planned_rule import MISSED
from jaxmem.recordings.profile import contexts_of
from jaxmem.recordings.recording import Recording

FIXED = 0  # the group of places whose sizes are those of the forecast in every run
# Requests without a slot, or too large for it, as a share of the forecast or of the run so far if
# that is longer: after more than so many the plan is dropped for the rest of the run. A slot that
# is not free is none of them: that depends on the arena.
MOST_MISSED = 0.05
MOST_PACKED = 24  # times that slots are packed in a run; shapes that vary take more
AS_FORETOLD = 0.98  # least size of a block over what its group foretells
ROUNDING = 1e-6  # units, that a product of sizes and ratios may be off
MOST_ADDRESS = 2**31 - 2  # units
PACKED_EACH = 4  # times more for each length of the forecast that the run goes on
LOOKED_THROUGH = 32  # blocks held, at least
OUTLIVES = 16  # requests, that a block is to stay when it should be gone just now
MOST_HELD = 4  # blocks live in slots, for each request of the forecast; then there is none for more
EARLY_SHARE = 0.25  # of the forecast; what is never freed from then on lies at the bottom


class ForecastPlan(NamedTuple):
    """The slots of a forecast of F requests."""

    context: np.ndarray  # uint64[C, F]  of each request, by `CONTEXTS`
    size: np.ndarray  # int64[F]  bytes
    lifetime: np.ndarray  # int32[F]  requests, NEVER among them
    group: np.ndarray  # int32[F]  of the places that grow and shrink together
    start: np.ndarray  # int64[F]  bytes, multiples of the alignment
    alignment: int  # bytes
    margin: float  # share of its size that a block may be larger than foretold

    def places(self, recording: Recording) -> np.ndarray:
        """Follows a run through the forecast: int64[R], places; NOWHERE: the call site is new.

        The place of a request is the next with the same context, of the longest one that there is,
        after the place of the request before; after the last comes the first.
        """
        known = [_places_by_context(contexts) for contexts in self.context]
        found = np.full(recording.requests, NOWHERE, np.int64)
        onward = 0
        contexts = [keys.tolist() for keys in contexts_of(recording)]
        for number, keys in enumerate(zip(*contexts, strict=True)):
            for key, places in zip(keys, known, strict=True):
                if alike := places.get(key):
                    at = bisect_left(alike, onward)
                    place = alike[at] if at < len(alike) else alike[0]
                    found[number], onward = place, place + 1
                    break
        return found

    def planned(self, recording: Recording, alignment: int) -> np.ndarray:
        """Returns where the slot of each request starts, in units of `alignment` bytes.

        It is known when the request is made. The plan is dropped after `MOST_MISSED`.

        Returns:
            int32[R]; MISSED: there is no slot that it fits; NOWHERE: the plan is dropped.
        """
        planned = np.full(recording.requests, NOWHERE, np.int64)
        slots, missed, forecast = _Slots(self, alignment), 0, len(self.size)
        columns = (self.places(recording), recording.size, deaths_of(recording))
        rows = zip(*(column.tolist() for column in columns), strict=True)
        for number, (place, size, death) in enumerate(rows):
            slot = MISSED if place < 0 else slots.taken(place, size, number, death)
            missed += slot == MISSED
            if missed > MOST_MISSED * max(number + 1, forecast):
                break
            planned[number] = slot
        return np.where(planned <= MOST_ADDRESS, planned, MISSED).astype(np.int32)


class _Held(NamedTuple):
    """A block in a slot."""

    death: int  # request before which it is freed; asked only whether it has come
    foretold: int  # the same by the forecast
    start: int  # units
    units: int


class _Slots:
    """The slots as they are in a run so far, in units: those from some place of the forecast on."""

    def __init__(self, plan: ForecastPlan, alignment: int) -> None:
        self.plan, self.alignment = plan, alignment
        self.ratio = np.ones(int(plan.group.max()) + 1)  # over the forecast, by group
        self.held: list[_Held] = []
        self.looked_through = LOOKED_THROUGH  # blocks held, when those that are gone are let go
        self.onward = 0  # place after the last
        self.packed = 0
        self.start, self.length = plan.start // alignment, self._lengths()
        if plan.alignment % alignment:
            self._pack(0, 0)

    def taken(self, place: int, size: int, number: int, death: int) -> int:
        """Returns where the slot of a block of `size` bytes starts; MISSED: it does not fit.

        Args:
            number: of the request.
            death: of the block; asked only whether it has come.
        """
        plan, group = self.plan, int(self.plan.group[place])
        again, self.onward = place < self.onward, place + 1
        units = -(-size // self.alignment)
        other = group != FIXED and (
            units > self.length[place] or size < AS_FORETOLD * plan.size[place] * self.ratio[group]
        )
        if again or other or self._is_held(place, units, number):
            if self.packed > MOST_PACKED + PACKED_EACH * number / len(plan.size):
                return MISSED
            if other:
                self.ratio[group] = size / plan.size[place]
            self._pack(place, number)
        most = MOST_HELD * len(plan.size)
        if len(self.held) >= most:
            self.held = [block for block in self.held if block.death > number]
        if units > self.length[place] or len(self.held) >= most:
            return MISSED
        start, lifetime = int(self.start[place]), int(plan.lifetime[place])
        self.held.append(_Held(death, number + lifetime, start, units))
        if len(self.held) > self.looked_through:
            self._let_go(number)
        return start

    def _let_go(self, now: int) -> None:
        """Keeps the blocks that are live."""
        self.held = [block for block in self.held if block.death > now]
        self.looked_through = LOOKED_THROUGH + 2 * len(self.held)

    def _is_held(self, place: int, units: int, now: int) -> bool:
        """Tells whether a block that is live lies where one of so many units would."""
        start = int(self.start[place])
        return any(
            block.start < start + units and start < block.start + block.units and block.death > now
            for block in self.held
        )

    def _pack(self, place: int, now: int) -> None:
        """Packs the slots from a place on around the blocks that are live."""
        self.packed += 1
        self._let_go(now)
        self.length = self._lengths()
        ahead = len(self.length) - place
        left = [block.foretold - now for block in self.held]
        # What outlives its forecast may go on for longer, the longer it has.
        stay = [min(life if life > 0 else OUTLIVES - 2 * life, ahead) for life in left]
        start = stacked(
            self.plan.lifetime[place:],
            self.length[place:],
            np.array([(block.start, block.units) for block in self.held], np.int64).reshape(-1, 2),
            np.array(stay, np.int64),
        )
        self.start = np.concatenate([self.start[:place], start])

    def _lengths(self) -> np.ndarray:
        """Returns how long the slots are to be: int64[F]."""
        foretold = self.plan.size * self.ratio[self.plan.group]
        return slot_lengths(foretold, self.plan.margin, self.alignment)


def slot_lengths(size: np.ndarray, margin: float, alignment: int) -> np.ndarray:
    """Returns how long slots are for blocks of so many bytes (number[F]): int64[F] units."""
    units = np.ceil(size * (1 + margin) / alignment - ROUNDING)
    return np.clip(units, 1, MOST_ADDRESS).astype(np.int64)


def stacked(
    lifetime: np.ndarray, length: np.ndarray, held: np.ndarray, stay: np.ndarray
) -> np.ndarray:
    """Packs slots at once: first those that stay from the beginning, then by length or by area.

    Args:
        lifetime: int32[N]  requests, of each slot; they come one after the other.
        length: int64[N]  units.
        held: int64[B, 2]  start and units of blocks that are there.
        stay: int64[B]  requests until they are gone.

    Returns:
        int64[N], units.
    """
    count, blocks = len(length), len(stay)
    birth = np.concatenate([np.zeros(blocks, np.int64), np.arange(count, dtype=np.int64)])
    death = np.minimum(np.concatenate([stay, birth[blocks:] + lifetime]), count)
    size = np.concatenate([held[:, 1], length])
    pinned = np.concatenate([held[:, 0], np.full(count, NOWHERE)])
    stays = (death == count) & (birth < EARLY_SHARE * count)
    found = []
    for first in (size, size * (death - birth)):
        order = np.lexsort([np.where(stays, birth, -first), ~stays, pinned < 0])
        found.append(stacked_in_order(size, birth, death, order, pinned))
    return min(found, key=lambda start: int((start + size).max()))[blocks:]


def _places_by_context(contexts: np.ndarray) -> dict[int, list[int]]:
    """Lists the places of each context, rising."""
    places: dict[int, list[int]] = {}
    for place, context in enumerate(contexts.tolist()):
        places.setdefault(context, []).append(place)
    return places
