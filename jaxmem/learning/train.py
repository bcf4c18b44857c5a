"""A training run: jitted blocks of updates in an ordinary Python loop.

The loop is where progress is told, validation happens, and a run can be stopped: nothing inside a
block waits for the host.
"""

import dataclasses
import functools
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from jaxmem.environment.environment import Environment
from jaxmem.environment.tasks import params_of
from jaxmem.evaluation.run import failed_share
from jaxmem.learning import branching, dqn, pqn
from jaxmem.learning.guides import chosen_margin, guide_for, told
from jaxmem.names import nearest
from jaxmem.policies import CLASSICAL, Policy, policy
from jaxmem.policies.learned import Guide, greedy
from jaxmem.policies.q_functions import QFunction, q_function
from jaxmem.policies.saved import Card, choice_of
from jaxmem.workloads.registry import Workload, workload_from

LEARNERS = {
    "pqn": (pqn.PQNConfig, pqn.make_train),
    "dqn": (dqn.DQNConfig, dqn.make_train),
    "branching": (branching.BranchingConfig, branching.make_train),
}
Config = pqn.PQNConfig | dqn.DQNConfig | branching.BranchingConfig
TRAINING_SEQUENCES = 4096
VALIDATION_SEQUENCES = 256
VALIDATIONS = 20  # in a run


@dataclass(frozen=True)
class Report:
    """Where a run stands after a block."""

    steps: int  # environment steps done
    episodes: int  # sequences finished
    seconds: float  # since the run began, compilation included
    steps_per_second: float  # of the last block
    loss: float  # of the Q-values, last update
    exploring_failed: float  # % of requests that failed while exploring, last update
    failed: float  # % on validation sequences, acting greedily


@dataclass(frozen=True)
class TrainResult:
    """What a run leaves: the policy that failed least on the validation sequences."""

    policy: Policy
    card: Card = field(repr=False)
    curve: tuple[Report, ...] = field(repr=False)
    references: dict[str, float]  # % failed on the same validation sequences, by fit
    steps: int
    episodes: int
    seconds: float
    seed: int
    guide: str = ""  # the rule that the policy follows where nothing is worth more
    note: str = ""  # why the run ended early, if it did


def train(
    on: str | Workload,
    learner: str = "branching",
    *,
    seed: int = 0,
    cells: int | None = None,
    options: dict[str, Any] | None = None,
    holes: int = 8,
    reward: str = "failures",
    started: Callable[[dict[str, float], int], None] = lambda references, steps: None,
    report: Callable[[Report], None] = lambda report: None,
    **settings: Any,
) -> TrainResult:
    """Trains a Q-network to place the requests of a workload.

    Args:
        on: a workload or its name; `cells` and `options` are then its own.
        learner: "pqn", "dqn" or "branching".
        holes: K, the holes that the policy chooses from; of an mlp, which chooses addresses, none.
        reward: failures, bytes or classic.
        started: is told the fits' validation failures and the steps to come.
        report: is told where the run stands after each block.
        settings: of the learner, as `steps=2_000_000` (see `PQNConfig`, `DQNConfig`,
            `BranchingConfig`).

    KeyboardInterrupt ends the training; what was learnt so far is returned.

    Raises:
        ValueError: an unknown name or a value out of range, before anything is compiled.
    """
    task = workload_from(on, cells, options or {})
    env, config = check_training(task, learner, seed=seed, holes=holes, reward=reward, **settings)
    begin = time.perf_counter()
    q = q_of(config, task, holes)
    rule, sentence = guide_for(config.guide, task, seed)

    def player_of(network: Any, margin: float = config.margin) -> Policy:
        guide = None if rule is None else Guide(rule, np.float32(margin))
        return greedy(q, network, guide=guide, foretells=task.foretell)

    def validate(player: Policy) -> float:
        return failed_share(player, validation, task)

    start, block = LEARNERS[learner][1](config, env, rule)
    key = jax.random.key(seed)
    # XLA compiles outside Python's lock: the programs of a run are compiled side by side.
    with ThreadPoolExecutor() as pool:
        drawing = pool.submit(task.requests, "validation", seed, VALIDATION_SEQUENCES)
        params = params_of(task, "train", seed, TRAINING_SEQUENCES, ages=env.needs_ages)
        validation = drawing.result()
        compiling = pool.submit(_compile, block, jax.eval_shape(start, key, params), params)
        starting = pool.submit(jax.jit(start), key, params)
        playing = pool.submit(lambda: validate(player_of(starting.result().parameters)))
        references = {name: validate(policy(name)) for name in CLASSICAL}
        go_on, state = compiling.result(), starting.result()
        playing.result()
    started(references, config.updates * config.steps_per_update)
    best, best_failed = jax.device_get(state.parameters), math.inf
    curve: list[Report] = []
    episodes, note = 0, ""
    try:
        for updates in _blocks(config.updates):
            before = time.perf_counter()
            state, progress = go_on(state, params, np.int32(updates))
            loss = float(progress.loss)
            seconds = time.perf_counter() - before
            parameters = jax.device_get(state.parameters)
            if not _finite(parameters) or not math.isfinite(loss):
                note = f"stopped at step {_steps(state, config):,}: the loss was no longer finite"
                break
            failed = validate(player_of(parameters))
            episodes += int(progress.episodes)
            if failed < best_failed:
                best, best_failed = parameters, failed
            curve.append(
                Report(
                    steps=_steps(state, config),
                    episodes=episodes,
                    seconds=time.perf_counter() - begin,
                    steps_per_second=updates * config.steps_per_update / seconds,
                    loss=loss,
                    exploring_failed=100 * float(progress.failed),
                    failed=failed,
                )
            )
            report(curve[-1])
    except KeyboardInterrupt:
        note = f"interrupted after {curve[-1].steps if curve else 0:,} steps"
    steps = curve[-1].steps if curve else 0
    margin = 0.0
    if rule is not None:
        margin = chosen_margin(functools.partial(player_of, best), task, seed)
    return TrainResult(
        policy=player_of(best, margin),
        card=Card(
            holes=holes,
            widths=config.widths,
            network=config.network,
            cells=q.arena,
            blind=config.blind,
            guide=rule.name if rule else None,
            choice=choice_of(rule),
            margin=margin,
            foretells=task.foretell,
            training={
                "workload": task.name,
                "cells": task.cells,
                "hinted": task.hinted,
                "learner": learner,
                "seed": seed,
                "reward": reward,
                "settings": dataclasses.asdict(config),
                "steps": steps,
                "validation_failed": best_failed if curve else None,
            },
        ),
        curve=tuple(curve),
        references=references,
        steps=steps,
        episodes=episodes,
        seconds=time.perf_counter() - begin,
        seed=seed,
        guide=told(sentence, margin) if rule else "",
        note=note,
    )


def check_training(
    task: Workload, learner: str, *, seed: int, holes: int, reward: str, **settings: Any
) -> tuple[Environment, Config]:
    """The game and the learner's settings; raises ValueError for what `train` would refuse."""
    if task.fixed:
        raise ValueError(f"workload {task.name} is one fixed sequence: nothing to train on")
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ValueError(f"seed is {seed!r}; it must be a whole number from 0 to 2^32 - 1")
    if str(learner) not in LEARNERS:
        raise ValueError(f"unknown learner {learner!r}{nearest(str(learner), LEARNERS)}")
    known = [field.name for field in dataclasses.fields(LEARNERS[learner][0])]
    for name in settings:
        if name not in known:
            raise ValueError(f"learner {learner} has no setting {name!r}{nearest(name, known)}")
    for name in ("widths", "blind"):
        if isinstance(settings.get(name), list):
            settings[name] = tuple(settings[name])
    config = LEARNERS[learner][0](**settings)
    q = q_of(config, task, holes)
    env = Environment(
        cells=task.cells,
        horizon=task.length,
        actions=q.actions,
        observation=q.observation,
        holes=holes,
        reward=reward,
        keep_last=False,
    )
    return env, config


def q_of(config: Config, task: Workload, holes: int) -> QFunction:
    """What a run trains."""
    return q_function(config.network, holes, task.cells, config.widths, config.blind)


def _compile(block: Callable, state: Any, params: Any) -> Callable:
    """A block of updates for a state and parameters of these shapes; the state is used up."""
    return jax.jit(block, donate_argnums=0).lower(state, params, np.int32(0)).compile()


def _blocks(updates: int) -> list[int]:
    """Updates before each validation."""
    size = -(-updates // VALIDATIONS)
    whole, rest = divmod(updates, size)
    return [size] * whole + [rest] * (rest > 0)


def _steps(state: Any, config: Config) -> int:
    return int(state.update) * config.steps_per_update


def _finite(parameters: Any) -> bool:
    return all(bool(np.isfinite(leaf).all()) for leaf in jax.tree.leaves(parameters))
