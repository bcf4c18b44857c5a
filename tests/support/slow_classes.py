"""Oracle of class rules: a list of the blocks that live, and four classes, in plain Python.

With a plan that holds, a block goes where its slot starts if one hole has all of it, else to the
high end of the highest hole.
"""

from jaxmem.recordings.class_rule import CLASS_FITS, RuleNumbers
from jaxmem.recordings.profile import UNFORETOLD

NOWHERE = -1


def slow_starts(
    rule: RuleNumbers, cells: int, sizes, lifetimes, foretold, planned=None, contexts=None
) -> list[int]:
    """Where each block starts, NOWHERE if no hole fits."""
    planned = [NOWHERE] * len(sizes) if planned is None else planned
    contexts = [()] * len(sizes) if contexts is None else contexts
    live: dict[int, tuple[int, int]] = {}
    starts = []
    for now, (size, told, slot) in enumerate(zip(sizes, foretold, planned, strict=True)):
        live = {of: block for of, block in live.items() if of + lifetimes[of] > now}
        free, holes = 0, []
        for begin, end in [*sorted(live.values()), (cells, cells)]:
            if begin - free >= size:
                holes.append((free, begin))
            free = end
        fit = _fit(rule, cells, size, told, contexts[now])
        start = _start(fit, size, holes) if holes else NOWHERE
        if slot != NOWHERE and holes:
            free = any(begin <= slot and slot + size <= end for begin, end in holes)
            start = slot if free else holes[-1][1] - size
        if start != NOWHERE:
            live[now] = (start, start + size)
        starts.append(start)
    return starts


def _fit(rule: RuleNumbers, cells: int, size: int, told: int, contexts) -> str:
    small, long = size <= cells // rule.parts, told > rule.long
    kind = {(False, True): 0, (False, False): 1, (True, True): 2, (True, False): 3}[long, small]
    fit = "best, low end" if told == UNFORETOLD else CLASS_FITS[rule.fits[kind]]
    for context, there in rule.exceptions:
        if context in contexts:
            fit = CLASS_FITS[there]
    return fit


def _start(fit: str, size: int, holes) -> int:
    tightest = min(holes, key=lambda hole: (hole[1] - hole[0], hole[0]))
    return {
        "first, low end": holes[0][0],
        "last, high end": holes[-1][1] - size,
        "best, low end": tightest[0],
        "best, high end": tightest[1] - size,
    }[fit]
