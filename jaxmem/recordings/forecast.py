"""A plan for a program whose shapes are static in a run: each request has a slot of its own.

An earlier run is the forecast. A running program is followed through it by call sites: which place
of the forecast a request is tells its slot, where its block is to lie. A program that goes on
longer than the forecast comes round again.

Blocks of some places grow and shrink together from run to run, as those that hold a batch do. Once
one is seen that is not as foretold, all its group is foretold anew, and what is not live yet is
packed again.
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
MOST_PACKED = 24  # times in a run that the forecast is packed again; shapes that vary take more
AS_FORETOLD = 0.98  # least size of a block over what its group foretells
ROUNDING = 1e-6  # units, that a product of sizes and ratios may be off
MOST_ADDRESS = 2**31 - 2  # units
BEGINNING = 0.25  # of the forecast; what is never freed from then on lies at the bottom


class Plan(NamedTuple):
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


class _Slots:
    """The slots as they are in a run so far, in units."""

    def __init__(self, plan: Plan, alignment: int) -> None:
        self.plan, self.alignment = plan, alignment
        self.ratio = np.ones(int(plan.group.max()) + 1)  # over the forecast, by group
        self.death = np.zeros(len(plan.size), np.int64)  # of the last block in each slot
        self.length = self._lengths()
        self.start = plan.start // alignment
        if plan.alignment % alignment:
            self.start = stacked(plan.lifetime, self.length, np.full(len(plan.size), NOWHERE))
        self.packed = 0

    def taken(self, place: int, size: int, number: int, death: int) -> int:
        """Returns where the slot of a block of `size` bytes starts; MISSED: it does not fit.

        Args:
            number: of the request.
            death: of the block; asked only whether it has come.
        """
        group = int(self.plan.group[place])
        foretold = self.plan.size[place] * self.ratio[group]
        units = -(-size // self.alignment)
        if group != FIXED and (units > self.length[place] or size < AS_FORETOLD * foretold):
            self._pack(group, size / self.plan.size[place], number)
        if units > self.length[place]:
            return MISSED
        self.death[place] = death
        return int(self.start[place])

    def _pack(self, group: int, ratio: float, now: int) -> None:
        """Foretells the sizes of a group anew, and packs around the blocks that are live."""
        if self.packed == MOST_PACKED:
            return
        self.packed += 1
        self.ratio[group] = ratio
        live = self.death > now
        self.length = np.where(live, self.length, self._lengths())
        self.start = stacked(self.plan.lifetime, self.length, np.where(live, self.start, NOWHERE))

    def _lengths(self) -> np.ndarray:
        """Returns how long the slots are to be: int64[F]."""
        return slot_lengths(
            self.plan.size * self.ratio[self.plan.group], self.plan.margin, self.alignment
        )


def slot_lengths(size: np.ndarray, margin: float, alignment: int) -> np.ndarray:
    """Returns how long slots are for blocks of so many bytes (number[F]): int64[F] units."""
    units = np.ceil(size * (1 + margin) / alignment - ROUNDING)
    return np.clip(units, 1, MOST_ADDRESS).astype(np.int64)


def stacked(lifetime: np.ndarray, length: np.ndarray, pinned: np.ndarray) -> np.ndarray:
    """Packs a forecast at once: what stays from the beginning, then by length: int64[F] units.

    Args:
        lifetime: int32[F]  requests.
        length: int64[F]  units.
        pinned: int64[F]  units, NOWHERE: not pinned.
    """
    birth = np.arange(len(length), dtype=np.int64)
    death = np.minimum(birth + lifetime, len(length))
    stays = (death == len(length)) & (birth < BEGINNING * len(length))
    order = np.lexsort([np.where(stays, birth, -length), ~stays, pinned < 0])
    return stacked_in_order(length, birth, death, order, pinned)


def _places_by_context(contexts: np.ndarray) -> dict[int, list[int]]:
    """Lists the places of each context, rising."""
    places: dict[int, list[int]] = {}
    for place, context in enumerate(contexts.tolist()):
        places.setdefault(context, []).append(place)
    return places
