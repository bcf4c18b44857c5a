"""A recording in bytes and the policies that play it, as a command asks for them."""

import os
from collections.abc import Sequence

from jaxmem.commands import checked
from jaxmem.configuration import UsageError
from jaxmem.names import nearest
from jaxmem.policies.policy_file import SHIPPED
from jaxmem.recordings import Recording, alignment_of
from jaxmem.recordings.headroom import check_room
from jaxmem.recordings.policy_file import IN_PACKAGE, load_byte_policy
from jaxmem.recordings.replay import ReplayEvents, events_of, least_alignment
from jaxmem.rules import ORDERED
from jaxmem.settings.verbs import MOST_ALIGNMENT


def played_in_bytes(recording: Recording, alignment: int | None) -> tuple[ReplayEvents, list[str]]:
    """Returns the events of a recording, and what is to be said of the units it is played in.

    Args:
        alignment: bytes in a unit; None: that of its source, or the next that it can be played in.
    """
    if alignment is not None:
        events = checked(events_of, recording, alignment)
        checked(check_room, events)
        return events, []
    usual = alignment_of(recording)
    least = least_alignment(recording, usual)
    if least > MOST_ALIGNMENT:
        raise UsageError(
            f"{recording.name} has {recording.peak_live:,} bytes live at once; in units of at most "
            f"{MOST_ALIGNMENT:,} bytes it cannot be played"
        )
    notes = [
        f"Played in units of {least:,} bytes: in units of {usual:,}, which are usual for such "
        "recordings, there are more than an arena holds."
    ]
    return checked(events_of, recording, least), notes if least > usual else []


def check_byte_policies(names: Sequence[str] | None) -> Sequence[str]:
    """Returns the policies asked for, which all play in bytes; null: all rules that do."""
    if names is None:
        return [*ORDERED, "learned"]
    if not names:
        raise UsageError(f"policies is []; name one or more of {', '.join(IN_PACKAGE)}")
    for name in names:
        if name in SHIPPED:
            raise UsageError(
                f"policies: {name} plays no recording in bytes: it was trained in arenas of a few "
                "hundred cells; jaxmem compare workload=trace plays it where bytes are cut into "
                "cells"
            )
        if name in IN_PACKAGE:
            continue
        if not (name.endswith(".safetensors") or os.path.isdir(name)):
            raise UsageError(
                f"policies: unknown policy {name!r}{nearest(name, IN_PACKAGE)} (or a file "
                "NAME.safetensors of a learned one, or a run folder of jaxmem train workload=runs)"
            )
        checked(load_byte_policy, name)
    if len(set(names)) < len(names):
        raise UsageError(f"policies is {list(names)}; name each once")
    return names
