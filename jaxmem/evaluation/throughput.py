"""How many environment steps a second a machine does."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.arena.arena import Arena
from jaxmem.arena.making import new_arena
from jaxmem.environment.situation import serve, situation_at
from jaxmem.evaluation.surroundings import surroundings
from jaxmem.policies import Policy
from jaxmem.workloads.registry import workload
from jaxmem.workloads.requests import Requests

WORKLOAD = "memoryless"  # sizes are a tenth of 100 cells; scaled with the arena


@dataclass(frozen=True)
class Setting:
    """One point to be measured."""

    cells: int
    arenas: int


@dataclass(frozen=True)
class Throughput:
    """What was measured at one setting: median, and the range of the middle half of the rounds."""

    cells: int
    arenas: int
    policy: str
    observation: str
    compile_seconds: float
    steps_per_second: dict[str, float]
    per_cpu_second: dict[str, float]
    bytes_per_arena: int


def measure_throughput(
    player: Policy,
    settings: Sequence[Setting],
    rounds: int,
    seconds: float,
    report: Callable[[str], None] = lambda doing: None,
) -> dict[str, Any]:
    """Steps a second of the arena with a policy in it, for every setting, rounds interleaved.

    A step is: the clock moves on, the dead are freed, the policy chooses, the block is placed.
    """
    programs = []
    for setting in settings:
        report(f"compiling {setting.arenas} arenas of {setting.cells} cells")
        programs.append(_Program(player, setting))
    samples: list[list[tuple[float, float]]] = [[] for _ in programs]
    for number in range(rounds):
        report(f"round {number + 1} of {rounds}")
        for program, sample in zip(programs, samples, strict=True):
            sample.append(program.time(seconds))
    return {
        **surroundings(),
        "environment": [
            asdict(program.summary(np.asarray(sample)))
            for program, sample in zip(programs, samples, strict=True)
        ],
    }


class _Program:
    """A compiled rollout over whole sequences, and how to time it."""

    def __init__(self, player: Policy, setting: Setting) -> None:
        self.player, self.setting = player, setting
        task = workload(WORKLOAD)
        drawn = task.requests("test", 0, min(setting.arenas, 1024))
        scale = max(1, setting.cells // 100)
        self.requests: Requests = drawn.replace(size=drawn.size * scale)
        self.initial = new_arena(setting.cells, setting.cells, task.length)
        self.steps = setting.arenas * task.length
        begin = time.perf_counter()
        self.rollout = (
            jax.jit(_rollout, static_argnums=3)
            .lower(player, self.requests, self.initial, setting.arenas)
            .compile()
        )
        self.compile_seconds = time.perf_counter() - begin
        self._once()

    def _once(self) -> None:
        jax.block_until_ready(self.rollout(self.player, self.requests, self.initial))

    def time(self, seconds: float) -> tuple[float, float]:
        """Steps per wall second and per CPU second over about `seconds`."""
        wall, cpu, count = time.perf_counter(), _cpu_seconds(), 0
        while count == 0 or time.perf_counter() - wall < seconds:
            self._once()
            count += 1
        done = count * self.steps
        return done / (time.perf_counter() - wall), done / (_cpu_seconds() - cpu)

    def summary(self, sample: np.ndarray) -> Throughput:
        """The figures of all rounds, float64[rounds, 2]."""
        low, median, high = np.percentile(sample, [25, 50, 75], axis=0)
        wall, cpu = (
            {"median": float(median[i]), "low": float(low[i]), "high": float(high[i])}
            for i in range(2)
        )
        return Throughput(
            cells=self.setting.cells,
            arenas=self.setting.arenas,
            policy=self.player.name,
            observation="none",
            compile_seconds=self.compile_seconds,
            steps_per_second=wall,
            per_cpu_second=cpu,
            bytes_per_arena=sum(leaf.nbytes for leaf in jax.tree.leaves(self.initial)),
        )


def _rollout(player: Policy, requests: Requests, initial: Arena, arenas: int) -> jax.Array:
    """Failed requests of all arenas, so that every step is needed: int32[]."""

    def one(sequence: jax.Array) -> jax.Array:
        def step(carry, _):
            arena, failed = carry
            situation = situation_at(arena, requests, sequence)
            start = player(jax.random.key(0), situation)
            arena = serve(situation, start, requests.lifetime[sequence, arena.now])
            return (arena.tick(arena.now + 1), failed + (start < 0)), None

        (_, failed), _ = jax.lax.scan(step, (initial, jnp.int32(0)), length=requests.length)
        return failed

    return jnp.sum(jax.vmap(one)(jnp.arange(arenas) % requests.sequences))


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system
