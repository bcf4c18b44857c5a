"""A recording in bytes, in one arena under each of some policies, to be looked at."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from jaxmem.recordings import alignment_of
from jaxmem.recordings.headroom import check_room, units_needed
from jaxmem.recordings.policy_file import byte_player, titled_policies
from jaxmem.recordings.recording import Recording
from jaxmem.recordings.replay import (
    MOST_UNITS,
    ReplayEvents,
    events_of,
    least_alignment,
    replay,
)
from jaxmem.recordings.variations import first_around
from jaxmem.render.byte_play import ByteResults, BytesShown
from jaxmem.settings.recordings import MOST_ALIGNMENT


@dataclass(frozen=True, eq=False)
class BytePlay:
    """Where each policy put every block; addresses and amounts are bytes."""

    recording: Recording
    size: np.ndarray  # int64[R]  rounded up to units
    arena: int
    peak_live: int  # in units, as the sizes are
    tightest: int  # the request at which that is
    starts: dict[str, np.ndarray]  # int64[R] by policy, below 0: the request failed
    needed: dict[str, int]  # arenas that policies need, as `jaxmem trace info` has them

    @cached_property
    def failed(self) -> dict[str, dict[str, float]]:
        """The % of the requests, and of the bytes asked for, that failed, by policy."""
        asked = self.recording.size
        return {
            name: {
                "failed_requests": 100 * float((start < 0).mean()),
                "failed_bytes": 100 * float(asked[start < 0].sum() / asked.sum()),
            }
            for name, start in self.starts.items()
        }

    def shown(self, requests: int) -> BytesShown:
        """Returns so many requests around the tightest moment, and all before them."""
        first = first_around(self.tightest, self.recording.requests, requests)
        last = min(first + requests, self.recording.requests)
        return BytesShown(
            self.recording.name,
            self.size[:last],
            self.recording.lifetime[:last],
            {name: start[:last] for name, start in self.starts.items()},
            self.arena,
            first,
        )


def byte_results(
    played: BytePlay, alignment: int, command: str, notes: Sequence[str]
) -> ByteResults:
    """Makes the results of a play."""
    return {
        "command": command,
        "trace": played.recording.name,
        "requests": played.recording.requests,
        "alignment": alignment,
        "peak_live": played.peak_live,
        "arena": played.arena,
        "played": {
            name: {"arena_needed": needed, **played.failed[name]}
            for name, needed in played.needed.items()
        },
        "notes": list(notes),
    }


def events_in_bytes(recording: Recording, alignment: int | None) -> tuple[ReplayEvents, list[str]]:
    """Returns the events of a recording, and what is to be said of the units it is played in.

    Args:
        alignment: bytes in a unit; None: that of its source, or the next that it can be played in.

    Raises:
        ValueError: no arena holds so many units.
    """
    if alignment is not None:
        events = events_of(recording, alignment)
        check_room(events)
        return events, []
    usual = alignment_of(recording)
    least = least_alignment(recording, usual)
    if least > MOST_ALIGNMENT:
        raise ValueError(
            f"{recording.name} has {recording.peak_live:,} bytes live at once; in units of at most "
            f"{MOST_ALIGNMENT:,} bytes it cannot be played"
        )
    notes = [
        f"Played in units of {least:,} bytes: in units of {usual:,}, which are usual for such "
        "recordings, there are more than an arena holds."
    ]
    return events_of(recording, least), notes if least > usual else []


def play_in_bytes(
    events: ReplayEvents,
    policies: Sequence[str],
    slack: float,
    report: Callable[[str], None] = lambda doing: None,
) -> BytePlay:
    """Plays a recording in an arena of so many times its peak live.

    Args:
        policies: as `headroom` takes them.
        slack: arena / peak live.
        report: told what is being done; what it raises ends it.

    Raises:
        ValueError: the arena cannot be, or as `byte_player`.
    """
    unit = events.alignment
    if not 1 <= slack * events.peak_live <= MOST_UNITS:
        raise ValueError(
            f"an arena of {slack} x peak live, which is {events.peak_live:,} units of {unit:,} "
            f"bytes; it may have 1 to {MOST_UNITS:,} units"
        )
    cells = int(slack * events.peak_live)
    starts, needed = {}, {}
    for title, name in titled_policies(policies).items():
        seen, player = byte_player(events, name)

        def played(share: float, title: str = title) -> None:
            report(f"{title}: {share:.0%}")

        start = replay(seen, cells, player, report=played).start
        starts[title] = np.where(start < 0, start, start * unit)
        needed[title] = unit * units_needed(seen, player, report, title)
    return BytePlay(
        recording=events.recording,
        size=events.units * unit,
        arena=cells * unit,
        peak_live=events.peak_live * unit,
        tightest=int(np.argmax(events.live)),
        starts=starts,
        needed=needed,
    )
