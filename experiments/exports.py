"""Policies as C: whether they place as in JAX, and how long a decision takes.

`python experiments/exports.py` plays recordings of the library and of the families, and writes
`table.md` and `results.json`. Its options are the fields of `Options`, as `rounds=3 out=DIR`.
"""

import ctypes
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from study_options import read_options

from jaxmem.evaluation.provenance import provenance
from jaxmem.export.agreement import NEAR, agreement
from jaxmem.export.c_source import write_c
from jaxmem.export.calling import REQUEST, CalledPolicy, new_memory, pointer, request_columns
from jaxmem.export.exported import Exported, only_in_bytes, read_exported
from jaxmem.recordings import (
    Recording,
    alignment_of,
    family,
    family_names,
    library_names,
    load_library,
)
from jaxmem.recordings.class_rule import RuleNumbers
from jaxmem.recordings.profile import profile_of
from jaxmem.recordings.profiled_policy import ProfiledPolicy
from jaxmem.recordings.replay import events_of
from jaxmem.render.tables import markdown_row
from jaxmem.whole_files import write_whole

TIMING = Path(__file__).with_name("exports_timing.c")
HEADER = (
    *("policy", "placements", "as in JAX", "ties", "others", "ns to know a request"),
    *("ns to choose of 4 holes", "of 64"),
)
HOLES = (4, 64)
TIMED = 256  # situations
ARENA = 1.05  # times peak live
RULE = RuleNumbers(long=100, parts=32, fits=(0, 1, 2, 3))  # every class in another place


@dataclass
class Options:
    """What can be set on the command line."""

    out: str = "experiments/results/exports"
    placements: int = 100_000  # of each policy, at least, where there are so many
    rounds: int = 20  # of which the fastest counts


class Play(NamedTuple):
    """A policy, and a recording that it plays."""

    exported: Exported
    recording: Recording


def main() -> None:
    """Plays and times each policy, and writes both tables."""
    options = read_options(Options, sys.argv[1:])
    rows = [
        _row("best-fit", [Play(read_exported("best"), run) for run in _library()], options),
        _row("class rule", _families(), options),
        _row("hole scorer", [Play(read_exported("learned"), run) for run in _library()], options),
    ]
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    results = {"policies": rows, "arena": ARENA, "near": NEAR, **provenance()}
    write_whole(out / "results.json", json.dumps(results, indent=1) + "\n")
    table = _table(rows)
    write_whole(out / "table.md", table)
    print(table)


def _library() -> list[Recording]:
    """Returns the recordings of the library, those first in which blocks are least tiny."""
    recordings = [load_library(name) for name in library_names()]
    return sorted(recordings, key=lambda run: run.peak_blocks)


def _families() -> list[Play]:
    """Returns the second to fourth run of each family, with the profile of the first."""
    plays = []
    for name in family_names():
        first, *others = family(name)[:4]
        policy = Exported(name, ProfiledPolicy(profile_of([first]), RULE))
        plays += [Play(policy, run) for run in others]
    return plays


def _row(title: str, plays: list[Play], options: Options) -> dict[str, object]:
    """Plays until there are placements enough, and times the policy of the last recording."""
    placements = ties = differing = 0
    known: list[float] = []
    chosen: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        policies: dict[str, CalledPolicy] = {}
        for exported, recording in plays:
            if placements >= options.placements:
                break
            if exported.name not in policies:
                path = Path(folder, exported.name)
                path.mkdir()
                write_c(path, exported)
                policies[exported.name] = CalledPolicy(path, more=[TIMING])
            called = policies[exported.name]
            policy = only_in_bytes(exported, "to=c")
            events = events_of(recording, alignment_of(recording))
            events = policy.foretold(events) if isinstance(policy, ProfiledPolicy) else events
            cells = int(ARENA * events.peak_live)
            found = agreement(called, policy, events, cells)
            placements += recording.requests
            ties, differing = ties + found.ties, differing + found.differing
            print(f"{title}, {recording.name}: {found.ties} ties, {found.differing} others of "
                  f"{recording.requests:,}", flush=True)  # fmt: skip
            known.append(_knowing(called, events, options.rounds))
            chosen = chosen or {holes: _choosing(called, holes, options.rounds) for holes in HOLES}
    return {
        "policy": title,
        "placements": placements,
        "ties": ties,
        "differing": differing,
        "ns_to_know": round(float(np.median(known)), 1),
        "ns_to_choose": {str(holes): round(time, 1) for holes, time in chosen.items()},
    }


def _knowing(called: CalledPolicy, events, rounds: int) -> float:
    """Returns nanoseconds to count and look up what is known of a request, on the mean."""
    recording = events.recording
    state, kinds = new_memory(recording.requests)
    site, sites = request_columns(recording)
    size = recording.size.astype(np.uint64)
    block = np.zeros((recording.requests, 2), np.uint32)
    event, frees = events.request.astype(np.uint32), events.frees.astype(np.uint8)
    called.library.knowing_time.restype = ctypes.c_double
    arrays = map(pointer, (site, size))
    return called.library.knowing_time(
        *(ctypes.byref(state), pointer(kinds), len(kinds), *arrays, sites, pointer(block)),
        *(pointer(event), pointer(frees), len(event), recording.requests, rounds),
    )


def _choosing(called: CalledPolicy, holes: int, rounds: int) -> float:
    """Returns nanoseconds to choose among so many holes, half of which are long enough."""
    random = np.random.default_rng(0)
    cells = 2**20
    ends = np.sort(random.integers(0, cells, (TIMED, 2 * holes)), axis=1)
    hole = ends.reshape(TIMED, holes, 2).astype(np.uint32)
    request = np.zeros(TIMED, REQUEST)
    request["size"] = np.median(hole[..., 1] - hole[..., 0], axis=1) + 1
    request["died"] = random.integers(0, 9, TIMED)
    request["lived"] = 3 * request["died"]
    request["usual"] = np.log(request["size"]) - 1
    request["foretold"] = random.choice([0, 3, 1000], TIMED)
    # Live blocks that are not tiny beside the arena.
    arena = np.tile(np.array([cells, cells // 2, 20, 0], np.uint32), (TIMED, 1))
    start = np.zeros(TIMED, np.int64)
    called.library.decision_time.restype = ctypes.c_double
    return called.library.decision_time(
        *map(pointer, (request, arena, hole)), TIMED, holes, rounds, pointer(start)
    )


def _table(rows: list[dict]) -> str:
    lines = ["# Exported policies in C", "", markdown_row(HEADER)]
    lines.append(markdown_row(["---"] * len(HEADER)))
    for row in rows:
        equal = row["placements"] - row["ties"] - row["differing"]
        cells = [
            row["policy"],
            f"{row['placements']:,}",
            f"{100 * equal / row['placements']:.3f} %",
        ]
        cells += [f"{row['ties']:,}", f"{row['differing']:,}", f"{row['ns_to_know']:.0f}"]
        cells += [f"{row['ns_to_choose'][str(holes)]:.0f}" for holes in HOLES]
        lines.append(markdown_row(cells))
    lines += [
        "",
        f"Placements are of whole recordings, in arenas of {ARENA} x peak live; a tie is another "
        f"start that JAX finds worth the same, up to {NEAR:g}. Times are nanoseconds of CPU on "
        "one core. To know: to count and look up what the policy asks of a request, and to count "
        "its free. To choose: with the holes in a list, half of them long enough.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
