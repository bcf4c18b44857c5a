"""Short sequences that show a difference between policies: where the page's presets come from.

`python experiments/telling_sequences.py` draws 65,536 test sequences of large-short-lived in an
arena of 64 cells, at most 57 of which are live at once, and prints how many of them tell a
difference within twelve requests, and the shortest, as one types them into the page. Two kinds:

- the four fits fail at one and the same request, so does `two_ended_tuned`, as the rules of the
  learned policies have it, or before; the generalist and the policy of the workload do not;
- best-fit fails; first-fit and the learned policies do not.

The page's own were taken from these by eye, for being easy to follow. What policies do on average
is in the tables; such sequences are the exception in which all of it is seen at once.
"""

import dataclasses

import numpy as np

from jaxmem.evaluation.run import run
from jaxmem.policies import CLASSICAL, policy
from jaxmem.policies.policy_file import load_policy
from jaxmem.workloads.registry import workload

WORKLOAD, CELLS, CAPACITY = "large-short-lived", 64, 57
SEQUENCES, REQUESTS, SHOWN = 65_536, 12, 12
BASE_POLICIES = {"of the generalist": (3, 1, 1), "of the specialist": (2, 0, 1)}
LEARNED = ("generalist", WORKLOAD)


def main() -> None:
    """Draws, plays, and prints."""
    task = workload(WORKLOAD, CELLS, capacity=CAPACITY)
    task = dataclasses.replace(task, length=REQUESTS, warmup=0)
    requests = task.requests("test", 0, SEQUENCES)
    players = {
        **{name: policy(name) for name in CLASSICAL},
        **{
            name: policy("two_ended_tuned", np.array(choice, np.int32))
            for name, choice in BASE_POLICIES.items()
        },
        **{name: load_policy(name) for name in LEARNED},
    }
    fails = {
        name: first_failure(np.asarray(run(player, requests, task).start))
        for name, player in players.items()
    }
    size, lifetime = np.asarray(requests.size), np.asarray(requests.lifetime)
    at = fails["best"]
    learned = (at < REQUESTS) & np.all([fails[name] > at for name in LEARNED], axis=0)
    kinds = {
        "the fits fail, learning does not": np.all([fails[f] == at for f in CLASSICAL], axis=0)
        & np.all([fails[base_policy] <= at for base_policy in BASE_POLICIES], axis=0),
        "best-fit fails, first-fit does not": fails["first"] > at,
    }
    for title, which in kinds.items():
        found = np.flatnonzero(learned & which)
        print(f"{title}: {len(found):,} of {SEQUENCES:,}; the shortest:")
        for number in found[np.argsort(at[found], kind="stable")][:SHOWN]:
            print(f"  {number:>6}: {typed(size[number], lifetime[number], int(at[number]) + 1)}")


def first_failure(start: np.ndarray) -> np.ndarray:
    """int64[P], the first request that failed, from 0; T where none did.

    Args:
        start: int[P, T], cells, below 0: failed.
    """
    failed = start < 0
    return np.where(failed.any(axis=1), failed.argmax(axis=1), start.shape[1])


def typed(size: np.ndarray, lifetime: np.ndarray, requests: int) -> str:
    """The first requests of a sequence as one types them: "13, 14, free:1, 15"."""
    words: list[str] = []
    for now in range(requests):
        ended = np.flatnonzero(np.arange(now) + lifetime[:now] == now)
        words += [*(f"free:{request + 1}" for request in ended), str(size[now])]
    return ", ".join(words)


if __name__ == "__main__":
    main()
