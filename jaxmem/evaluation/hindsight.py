"""Bounds to judge policies by: what could have been reached, had every lifetime been known."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxmem.evaluation.beam import BEAM_WIDTH, beam_search
from jaxmem.evaluation.clairvoyant import clairvoyant, knowing
from jaxmem.evaluation.run import Trajectory, measure, run
from jaxmem.evaluation.statistics import Estimate, estimates, ratio
from jaxmem.policies import policy
from jaxmem.workloads.registry import Workload
from jaxmem.workloads.requests import Requests

MOST_SEARCHED = 8192  # in a sequence: the time of a search grows with the square of its length
WAY = "gap_closed"  # the name of the measure


@dataclass(frozen=True)
class Bounds:
    """Failed requests in % of each sequence, with best-fit and with the future known."""

    best: np.ndarray  # float64[P]  best-fit: the beginning of the way
    clairvoyant: np.ndarray  # float64[P]  greedy, with lifetimes known
    hindsight: np.ndarray  # float64[P]  the best placements found: the end of the way
    start: np.ndarray  # int32[P, T]  those placements, NOWHERE: failed, or the episode had ended


def check_searchable(workload: Workload) -> None:
    """Raises ValueError where the sequences of a workload are too long to be searched."""
    if workload.length > MOST_SEARCHED:
        raise ValueError(
            f"hindsight: a sequence of {workload.name} has {workload.length:,} requests; at most "
            f"{MOST_SEARCHED:,} can be searched"
        )


def bounds(
    requests: Requests,
    workload: Workload,
    *,
    others: Iterable[np.ndarray] = (),
    width: int = BEAM_WIDTH,
) -> Bounds:
    """Finds how few requests can fail on P sequences, as far as a search does.

    The best placements found for a sequence are those of the beam search, of the clairvoyant greedy
    policy, of best-fit or of the `others`, whichever fails least there. They are replayed by the
    program that plays policies, so they are legal, and measured alike. Fewer failures may be
    possible.

    Args:
        others: int32[P, T] each, placements that are known already.
        width: of the beam, at least 1.

    Raises:
        ValueError: the sequences are too long, or another placement is illegal.
    """
    check_searchable(workload)
    played = [
        np.asarray(run(policy("best"), requests, workload).start),
        np.asarray(run(clairvoyant(), knowing(requests), workload).start),
        beam_search(requests, workload, width),
        *others,
    ]
    failed = np.stack(
        [
            measure(play_starts(start, requests, workload), requests, workload)["failed_requests"]
            for start in played
        ]
    )
    least = failed.argmin(axis=0)
    start = np.stack(played)[least, np.arange(requests.sequences)]
    return Bounds(best=failed[0], clairvoyant=failed[1], hindsight=failed.min(axis=0), start=start)


def play_starts(
    start: np.ndarray,
    requests: Requests,
    workload: Workload,
    capacity: int | None = None,
) -> Trajectory:
    """Plays each request at its `start` (int32[P, T]).

    Args:
        capacity: of the arenas, as in `run`.

    Raises:
        ValueError: a placement is illegal: outside the arena, or on a live block.
    """
    start = np.asarray(start, np.int32)
    trajectory = run(None, requests, workload, capacity=capacity, starts=start)
    wrong = np.argwhere(np.asarray(trajectory.active) & (trajectory.start != start))
    if len(wrong):
        sequence, time = wrong[0]
        raise ValueError(
            f"request {time} of sequence {sequence} cannot start at cell {start[sequence, time]}"
        )
    return trajectory


def way(failed: np.ndarray, found: Bounds, seed: int) -> Estimate | None:
    """Estimates the share of the way from best-fit to hindsight that a policy has gone, in %.

        100 * (best-fit failed - policy failed) / (best-fit failed - hindsight failed)

    of the means over sequences; below 0 for a policy that is worse than best-fit. None where
    best-fit does not clearly fail more than hindsight: a share of nothing says nothing.

    Args:
        failed: float64[P]  failed requests of the policy, in %.
        seed: of the bootstrap.
    """
    whole = found.best - found.hindsight
    room = estimates(whole[:, None], seed)[0]
    if not (room.mean if room.low is None else room.low) > 0:
        return None
    return ratio(100 * (found.best - failed), whole, seed)


def with_hindsight(
    results: dict[str, Any], failed: dict[str, np.ndarray], found: Bounds, seed: int
) -> dict[str, Any]:
    """Adds to a comparison's results the bounds, and the way that each policy has gone.

    Args:
        results: as in results.json.
        failed: float64[P] of each policy, in %.
    """
    columns = {"best": found.best, "clairvoyant": found.clairvoyant, "hindsight": found.hindsight}
    known = estimates(np.stack(list(columns.values()), axis=1), seed)
    block = {name: {"failed_requests": vars(own)} for name, own in zip(columns, known, strict=True)}
    ways = {name: way(own, found, seed) for name, own in failed.items()}
    policies = {
        name: {**row, WAY: vars(gone)} if (gone := ways[name]) else row
        for name, row in results["policies"].items()
    }
    notes = [_search_words(dict(zip(columns, known, strict=True)))]
    if None in ways.values():
        notes.append("gap closed: left out, because best-fit does not clearly fail more than that")
    return {
        **results,
        "policies": policies,
        "hindsight": block,
        "notes": [*results["notes"], *notes],
    }


def _search_words(known: dict[str, Estimate]) -> str:
    best, greedy, search = (
        f"{own.mean:.2f} %" + ("" if own.low is None else f" [{own.low:.2f}, {own.high:.2f}]")
        for own in known.values()
    )
    return (
        f"bounds, not policies: with every lifetime known, greedy placement fails {greedy} of the "
        f"requests, the best placements found fail {search} (best-fit: {best})"
    )
