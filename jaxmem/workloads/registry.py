"""The workloads by name: what programs ask for, and the arena they are judged in.

A workload gives request sequences for three splits that never mix: for a random workload each split
draws with its own key; a recording is cut in time; what has one fixed sequence has only a test.
"""

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypedDict

import jax

from jaxmem import foreign
from jaxmem.recordings import Recording, load_library, read_trace
from jaxmem.settings.fields import Count, check
from jaxmem.settings.workload import (
    ScenarioSettings,
    TraceSettings,
    WorkloadSettings,
    workload_settings,
)
from jaxmem.workloads import adversarial, programs, synthetic
from jaxmem.workloads.cells import quantise, whole
from jaxmem.workloads.lifetime_estimates import estimate_lifetimes
from jaxmem.workloads.requests import Requests, check_requests
from jaxmem.workloads.scenario import scenario_requests
from jaxmem.workloads.windows import (
    SPLITS,
    most_before,
    split_range,
    window_requests,
    window_starts,
)

LENGTH = 320  # requests in a sequence
WARMUP = 64  # requests at the start of a sequence that measures leave out
LIM_MADDUKURI_CELLS = 256  # Lim & Maddukuri's memory

WHOLE = TraceSettings("trace")  # the settings of a recording where nothing is set

Draw = Callable[[str, jax.Array, int, int], Requests]  # split, key, sequences, length


@dataclass(frozen=True)
class Workload:
    """A source of requests, and the conditions that policies are judged under."""

    name: str
    cells: int  # size of the arena
    draw: Draw = field(repr=False)
    length: int = LENGTH  # T, requests in a sequence
    warmup: int = WARMUP  # requests at the start that measures leave out
    layout: tuple[tuple[int, int], ...] = ()  # (start, size) of the blocks already there, in cells
    stop_at_failure: bool = False  # an episode ends at the first failed request
    stop_above: float = math.inf  # live share of the arena above which an episode ends
    lifetime_hints: str = "none"  # or class, oracle, estimated
    fixed: bool = False  # one sequence, all of it for testing
    judged_at_end: bool = False  # fragmentation is that of the final memory, not a mean over time
    distinct: tuple[tuple[str, int], ...] = ()  # sequences that a split has, where there is a limit
    slack: float | None = None  # of a recording: the arena over what is live at its peak
    notes: tuple[str, ...] = ()  # what a reader of the results must know

    @property
    def has_hints(self) -> bool:
        """Tells whether requests come with a predicted lifetime."""
        return self.lifetime_hints != "none"

    def requests(self, split: str, seed: int, sequences: int) -> Requests:
        """Draws P = `sequences` sequences of one split (fewer if there are no more), from a seed.

        Raises:
            ValueError: there is no such split, or this workload has nothing to train on; or what
                somebody else's `draw` gives are no requests.
        """
        if split not in SPLITS:
            raise ValueError(f"split {split!r}; one of {', '.join(SPLITS)}")
        if self.fixed and split != "test":
            raise ValueError(
                f"workload {self.name} is one fixed sequence: there is nothing to train on"
            )
        sequences = 1 if self.fixed else min(sequences, dict(self.distinct).get(split, sequences))
        key = jax.random.fold_in(jax.random.key(seed), list(SPLITS).index(split))
        what = f"workload {self.name}"
        requests = foreign.call(what, self.draw, split, key, sequences, self.length)
        check_requests(what, requests, sequences, self.length)
        return estimate_lifetimes(requests) if self.lifetime_hints == "estimated" else requests


class _Rules(TypedDict, total=False):
    """Fields of a `Workload` that differ from the defaults."""

    length: int
    warmup: int
    stop_at_failure: bool
    stop_above: float


@dataclass(frozen=True)
class _Generator:
    """A random workload as it stands in the registry."""

    function: Callable[..., Requests]
    cells: int
    rules: _Rules = field(default_factory=_Rules)
    hints: tuple[str, ...] = ()  # that it can draw itself


_SHORT = _Rules(length=512, warmup=0, stop_at_failure=True)
_GENERATORS = {
    "classic": _Generator(synthetic.classic, 100, {"warmup": 0, "stop_above": 0.8}),
    "memoryless": _Generator(synthetic.memoryless, 108),
    "geometric": _Generator(synthetic.geometric, 108),
    "small-short-lived": _Generator(synthetic.small_short_lived, 100),
    "large-short-lived": _Generator(synthetic.large_short_lived, 112),
    "size-classes": _Generator(synthetic.size_classes, 108),
    "generational": _Generator(synthetic.generational, 104),
    "stack-with-leaks": _Generator(programs.stack_with_leaks, 104),
    "robson": _Generator(adversarial.robson, 108),
    "comb": _Generator(adversarial.comb, 116),
    "training-step": _Generator(programs.training_step, 100, hints=("oracle",)),
    "call-sites": _Generator(synthetic.call_sites, 108, hints=("class",)),
    "best-fit-good": _Generator(adversarial.best_fit_good, LIM_MADDUKURI_CELLS, _SHORT),
    "worst-fit-good": _Generator(adversarial.worst_fit_good, LIM_MADDUKURI_CELLS, _SHORT),
    "mixed": _Generator(adversarial.mixed, LIM_MADDUKURI_CELLS, _SHORT),
    "random": _Generator(adversarial.random_frees, LIM_MADDUKURI_CELLS, _SHORT),
}


# Those that were registered from outside, by name.
REGISTERED: dict[str, Workload] = {}


def workload(name: str, cells: int | None = None, /, **options: object) -> Workload:
    """Makes the workload of this name, in an arena of `cells` cells (default: its standard size).

    Raises:
        ValueError: an unknown name or option, with the nearest names; a value out of range.
    """
    return workload_of(workload_settings(name, options), cells)


def workload_of(settings: WorkloadSettings, cells: int | None) -> Workload:
    """Makes the workload that is set, in an arena of `cells` cells (None: its standard size).

    Raises:
        ValueError: `cells` is out of range, or the settings do not go together.
    """
    check("cells", cells, Count | None)
    if isinstance(settings, ScenarioSettings):
        return _scenario(settings, cells or 100)
    if isinstance(settings, TraceSettings):
        return _trace(settings, cells)
    if settings.source in REGISTERED:
        registered = REGISTERED[settings.source]
        return replace(registered, cells=cells or registered.cells)
    return _random(settings, cells)


def workload_from(on: str | Workload, cells: int | None, options: Mapping[str, Any]) -> Workload:
    """Returns the workload itself, or the one with this name; raises ValueError as `workload`."""
    if not isinstance(on, Workload):
        return workload(on, cells, **options)
    if cells is not None or options:
        given = ", ".join([*(["cells"] if cells is not None else []), *options])
        raise ValueError(f"{given} cannot be changed: {on.name} is a workload already, not a name")
    return on


def _random(settings: WorkloadSettings, cells: int | None) -> Workload:
    options, name = settings.plain(), settings.source
    generator = _GENERATORS[name]
    del options["source"]
    if "free_probability" in options:
        options["free_probability"] = float(options["free_probability"])  # 0 and 1 are numbers too
    hints = options.pop("lifetime_hints")
    if generator.hints:
        options["hints"] = hints in generator.hints
    cells = cells or generator.cells
    if "page" in inspect.signature(generator.function).parameters:
        options["page"] = cells
    chosen = tuple(sorted(options.items()))
    if chosen:
        _check_together(name, cells, generator.function, chosen)

    def draw(split: str, key: jax.Array, sequences: int, length: int) -> Requests:
        del split
        return _compiled_draw(generator.function, sequences, length, chosen)(key)

    return Workload(
        name=name,
        cells=cells,
        draw=draw,
        lifetime_hints=hints,
        **generator.rules,
    )


@functools.lru_cache(maxsize=64)
def _compiled_draw(function, sequences: int, length: int, options: tuple):
    return jax.jit(functools.partial(function, sequences=sequences, length=length, **dict(options)))


def _check_together(name: str, cells: int, function: Callable[..., Requests], options: tuple):
    """Lets the generator refuse what it cannot draw, without compiling it."""
    try:
        _trace_draw(function, options)
    except ValueError as error:
        raise ValueError(f"workload {name} with cells={cells}: {error}") from error


@functools.lru_cache(maxsize=64)
def _trace_draw(function: Callable[..., Requests], options: tuple) -> None:
    draw = functools.partial(function, sequences=1, length=2, **dict(options))
    jax.eval_shape(draw, jax.random.key(0))


def _scenario(settings: ScenarioSettings, cells: int) -> Workload:
    scenario = scenario_requests(settings.layout, settings.sizes, cells)
    return Workload(
        name="scenario",
        cells=cells,
        draw=lambda split, key, sequences, length: scenario.requests,
        length=scenario.requests.length,
        warmup=0,
        layout=scenario.layout,
        fixed=True,
        judged_at_end=True,
    )


def _trace(settings: TraceSettings, cells: int | None) -> Workload:
    if (settings.path is None) == (settings.name is None):
        raise ValueError("workload trace needs workload.path=FILE or workload.name=RECORDING")
    path, name = settings.path, settings.name
    recording = read_trace(path) if path is not None else load_library(name or "")
    return recorded(recording, cells, settings)


def recorded(
    recording: Recording, cells: int | None = None, settings: TraceSettings = WHOLE
) -> Workload:
    """Makes the workload of a recording, which is played as the settings say."""
    slack, window = settings.slack, settings.window
    quantised = quantise(recording, cells, slack)
    described = f"{recording.name}: {quantised.describe()}"
    notes = tuple(described.splitlines())
    about = {
        "name": "trace",
        "cells": quantised.cells,
        "lifetime_hints": settings.lifetime_hints,
        "slack": float(slack),
    }
    if settings.episodes == "whole":
        return Workload(
            draw=lambda split, key, sequences, length: whole(quantised),
            length=quantised.requests,
            warmup=0,
            fixed=True,
            notes=notes,
            **about,
        )
    before = most_before(recording) if settings.live else 0
    parts = {split: len(split_range(quantised.requests, split)) for split in SPLITS}
    # A window of fewer requests than there are blocks before it would say little for its price.
    length = min(max(LENGTH, before), *parts.values()) if window is None else window
    distinct = tuple(
        (split, len(window_starts(quantised, split, length))) for split in ("validation", "test")
    )
    begin = (
        f"in a memory with the blocks that are live then: the policy places them (up to "
        f"{before:,}) first, in the order of their birth, and this is not counted"
        if settings.live
        else "in an empty memory (workload.live=false)"
    )
    return Workload(
        draw=lambda split, key, sequences, total: window_requests(
            quantised, split, key, sequences, total - before, before
        ),
        length=before + length,
        warmup=before + min(WARMUP, length // 5),
        distinct=distinct,
        notes=(
            *notes,
            f"episodes are windows of {length:,} requests that start {begin}",
            "the first 60 % of the recording are for training, the next 15 % for validation, the "
            "last 25 % for testing",
            f"test windows overlap: only {parts['test'] // length} of them lie apart, so the "
            "intervals are about this recording, not about programs like it",
        ),
        **about,
    )
