"""The references as programs to be timed, and which of them stand beside a setting."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxmem.benchmark.references import REFERENCES, Unavailable, build
from jaxmem.benchmark.rollouts import MOST_SEQUENCES, Setting, requests_for
from jaxmem.benchmark.timing import Rate, interrupts_held, median_ratio
from jaxmem.render.palette import count

OBSERVED = {"none": False, "bitmap": True}  # observations that references make too
PLAYED_POLICY = "best"  # which all references play
WARMUP_STEPS = 32  # steps: an empty arena fills, and is slow to search until then
CALLS = 8  # in a timing, about


class Key(NamedTuple):
    """One reference at one size; None: it does not depend on this."""

    name: str
    cells: int | None
    arenas: int
    observation: str | None


class Yardstick:
    """A reference at play, as many steps at a call as `seconds` has room for a few times."""

    def __init__(self, key: Key, seconds: float) -> None:
        cells = key.cells or 1
        requests = requests_for(cells, key.arenas)
        size, lifetime = np.asarray(requests.size), np.asarray(requests.lifetime)
        observe = OBSERVED[key.observation or "none"]
        self._reference = build(key.name, size, lifetime, cells, key.arenas, observe)
        self._reference.play(WARMUP_STEPS // 2)
        begin = time.perf_counter()
        self._reference.play(WARMUP_STEPS // 2)
        took = max(time.perf_counter() - begin, 1e-6)
        self._length = max(1, round(WARMUP_STEPS / 2 * seconds / CALLS / took))
        self.steps = key.arenas * self._length

    def once(self) -> None:
        """Plays the steps."""
        self._reference.play(self._length)


def beside(setting: Setting) -> dict[str, Key]:
    """Names the references to measure a setting by; none if they do not see what it does."""
    if setting.observation not in OBSERVED:
        return {}
    arenas = min(setting.arenas, MOST_SEQUENCES)
    keys = {name: Key(name, setting.cells, arenas, setting.observation) for name in REFERENCES}
    keys["python_loop"] = keys["python_loop"]._replace(arenas=1)  # as many more take as much longer
    keys["cartpole"] = Key("cartpole", None, arenas, None)
    return keys


def without(policy: str, observations: Iterable[str]) -> dict[str, str]:
    """Says why some settings have no reference, by policy or observation."""
    if policy != PLAYED_POLICY:
        return {policy: f"the references play {PLAYED_POLICY}-fit, not {policy}"}
    return {
        observation: "no reference makes this observation"
        for observation in dict.fromkeys(observations)
        if observation not in OBSERVED
    }


def built(
    settings: Iterable[Setting], seconds: float, report: Callable[[str], None]
) -> tuple[dict[Key, Yardstick], dict[str, str]]:
    """Builds each yardstick the settings need, once, and says by name why some cannot be had."""
    yardsticks: dict[Key, Yardstick] = {}
    reasons: dict[str, str] = {}
    for key in dict.fromkeys(key for setting in settings for key in beside(setting).values()):
        if key.name in reasons:
            continue
        report(f"warming up {described(key)}")
        try:
            with interrupts_held():
                yardsticks[key] = Yardstick(key, seconds)
        except Unavailable as reason:
            reasons[key.name] = str(reason)
    return yardsticks, reasons


def described(what: Key | Setting) -> str:
    """Describes a program in a few words: "c, 1,024 arenas of 100 cells, bitmap"."""
    name = what.name if isinstance(what, Key) else "jaxmem"
    cells = f" of {count(what.cells, 'cell')}" if what.cells else ""
    observation = f", {what.observation}" if what.observation not in (None, "none") else ""
    return f"{name}, {count(what.arenas, 'arena')}{cells}{observation}"


def ratios(
    setting: Setting, ours: Sequence[Rate], samples: Mapping[Key, Sequence[Rate]]
) -> dict[str, float | None]:
    """Returns how many times as fast as each reference we are, by rounds; None if not timed.

    All are compared by the clock on the wall but `c`, which has one thread: by CPU seconds.
    """
    found: dict[str, float | None] = dict.fromkeys(REFERENCES)
    for name, key in beside(setting).items():
        if theirs := samples.get(key):
            by = 1 if name == "c" else 0
            found[name] = median_ratio([rate[by] for rate in ours], [rate[by] for rate in theirs])
    return found
