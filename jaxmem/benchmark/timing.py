"""Timing programs in turn: each round times all of them, so that what slows one slows all."""

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import jax
import numpy as np
from jax.experimental.compilation_cache.compilation_cache import reset_cache

CACHE = "jax_enable_compilation_cache"


class Timed(Protocol):
    """A program that does the same work in every call, compiled before the first."""

    steps: int  # environment steps of a call, over all arenas

    def once(self) -> None:
        """Does the work, and comes back when it is done."""
        ...


class Rate(NamedTuple):
    """Steps in one timing."""

    per_second: float  # of the clock on the wall
    per_cpu_second: float  # of all threads of this process, without its children


def time_for(program: Timed, seconds: float) -> Rate:
    """Measures how fast a program is over `seconds` or one call, whichever takes longer."""
    wall, cpu, calls = time.perf_counter(), time.process_time(), 0
    while calls == 0 or time.perf_counter() - wall < seconds:
        program.once()
        calls += 1
    steps = calls * program.steps
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Rate(steps / wall, steps / max(cpu, 1e-9))


def summary(values: Sequence[float]) -> dict[str, float]:
    """Summarises the rounds: their median, lower and upper quartile."""
    low, median, high = np.percentile(values, [25, 50, 75])
    return {"median": float(median), "low": float(low), "high": float(high)}


def rates(samples: Sequence[Rate]) -> dict[str, dict[str, float]]:
    """Returns the rounds of a program as they stand in results.json."""
    return {
        "steps_per_second": summary([sample.per_second for sample in samples]),
        "per_cpu_second": summary([sample.per_cpu_second for sample in samples]),
    }


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Returns how many times as fast we are: the median of the ratios within each round."""
    return float(np.median(np.asarray(ours) / np.asarray(theirs)))


@contextmanager
def compiled_afresh() -> Iterator[None]:
    """Keeps programs in the cache on disk from being used: compiling takes what it takes."""
    before = getattr(jax.config, CACHE)
    jax.config.update(CACHE, False)
    reset_cache()
    try:
        yield
    finally:
        jax.config.update(CACHE, before)
        reset_cache()


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Holds Ctrl-C back until the `with` block ends.

    A program that XLA had just compiled when the interruption came is lost in a way that crashes
    Python when it exits.
    """
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN  # in a background job of a script
    if ignored or threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if heard:
        raise KeyboardInterrupt
