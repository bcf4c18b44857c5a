"""The findings of `jaxmem trace info`, in one sentence."""

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

from jaxmem.render.palette import policy_title

LITTLE = 0.01  # of the memory, below which a gain is not worth the words


class Ratios(TypedDict):
    """Memory needed over peak live, 1 or more, as results.json has it."""

    unbounded: dict[str, float]  # by policy
    bounded: dict[str, float]
    offline: float
    lower_bound: float
    caching_allocator: NotRequired[dict[str, float]]  # by where it is from; PyTorch on CUDA alone


def trace_verdict(results: Mapping[str, Any]) -> str:
    """Says whether better placement has something to gain on a recording, and who gains it.

    Args:
        results: of results.json; what is gained is told beside best-fit, or where that has not
            played, beside the first policy.
    """
    found = results["headroom"]
    needed = found["bounded"]
    name = "best" if "best" in needed else next(iter(needed))
    title, usual = policy_title(name), needed[name]
    return f"{title} needs {_beyond(usual)} over peak live, {_rest(found, name)}{_pytorch(found)}."


def _rest(found: Ratios, name: str) -> str:
    """Writes the sentence beyond what the policy `name` needs."""
    needed, offline = found["bounded"], found["offline"]
    usual = needed[name]
    if usual == found["lower_bound"]:
        return "which is the least there can be: nothing is left to gain"
    if usual == offline:
        return f"and no better packing was found: at most {_saved_share(1, usual)} is left to gain"
    head = f"the best packing found {_beyond(offline)}: "
    if 1 - offline / usual < LITTLE:
        return head + f"little is left to gain, {_saved_share(offline, usual)} of the memory"
    head += (
        f"with every lifetime known, {_saved_share(offline, usual)} of the memory could be saved"
    )
    rival = min(needed, key=lambda each: needed[each])
    if needed[rival] == usual:
        return head + ", and no other policy that played saves any of it"
    return (
        head
        + f"; {policy_title(rival)}, which knows none, saves {_saved_share(needed[rival], usual)}"
    )


def _pytorch(found: Ratios) -> str:
    """Says what PyTorch's allocator had reserved, where the recording tells it."""
    recorded = found.get("caching_allocator", {}).get("recorded")
    if recorded is None:
        return ""
    return f"; PyTorch's own allocator had reserved {_beyond(recorded)} over peak live"


def _beyond(ratio: float) -> str:
    return _percent_words(ratio - 1)


def _saved_share(ratio: float, usual: float) -> str:
    return _percent_words(1 - ratio / usual)


def _percent_words(share: float) -> str:
    """Writes a share in %; one that is not zero does not look like it."""
    if share == 0:
        return "0 %"
    return f"{100 * share:.1f} %" if share >= 0.0005 else "less than 0.1 %"
