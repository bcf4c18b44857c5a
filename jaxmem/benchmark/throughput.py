"""Everything that `jaxmem bench` times, in turn, and what comes of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from jaxmem.benchmark import yardsticks
from jaxmem.benchmark.learning import LEARNER, TRAINED_WORKLOAD, Evaluation, Training, evaluated
from jaxmem.benchmark.rollouts import Rollout, Setting
from jaxmem.benchmark.timing import Rate, Timed, interrupts_held, rates, time_for
from jaxmem.benchmark.yardsticks import Key, Yardstick
from jaxmem.evaluation.provenance import provenance
from jaxmem.policies import Policy

Say = Callable[[str], None]
TimedProgram = TypeVar("TimedProgram", bound=Timed)


@dataclass(frozen=True)
class Plan:
    """The settings to measure, and for how long."""

    player: Policy
    settings: tuple[Setting, ...]
    rounds: int
    seconds: float  # of each timing in each round, about
    representation: str = "auto"  # of the arenas
    references: bool = True
    training: bool = True  # of the learner, and of evaluation


def measure_throughput(plan: Plan, report: Say = lambda doing: None) -> dict[str, object]:
    """Measures what results.json holds: steps a second of everything, and what it was measured on.

    In each round everything is timed once, so that a machine that is slow for a while is slow for
    all, and ratios are taken within a round.
    """
    rollouts = [
        _ready(
            lambda setting=setting: Rollout(plan.player, setting, plan.representation),
            f"compiling {yardsticks.described(setting)}",
            report,
        )
        for setting in plan.settings
    ]
    references, reasons = _references(plan, report)
    training: list[Training] = []
    evaluations: list[Evaluation] = []
    if plan.training:
        training = [_ready(Training, "compiling the learner", report)]
        evaluations = [
            _ready(
                lambda player=player: Evaluation(player),
                f"compiling the evaluation of {player.name}",
                report,
            )
            for player in evaluated()
        ]
    else:
        reasons["training"] = "not asked for: training is false"
    samples = _rounds([*rollouts, *references.values(), *training, *evaluations], plan, report)
    beside = {key: samples[yardstick] for key, yardstick in references.items()}
    learner = [_training(program, samples[program]) for program in training]
    return {
        **provenance(),
        "rounds": plan.rounds,
        "seconds": plan.seconds,
        "environment": [_environment(rollout, samples[rollout], beside) for rollout in rollouts],
        "references": [{**key._asdict(), **rates(found)} for key, found in beside.items()],
        "reasons": reasons,
        "training": learner[0] if learner else None,
        "evaluation": [_evaluation(program, samples[program]) for program in evaluations],
    }


def _ready(build: Callable[[], TimedProgram], doing: str, report: Say) -> TimedProgram:
    report(doing)
    with interrupts_held():
        return build()


def _references(plan: Plan, report: Say) -> tuple[dict[Key, Yardstick], dict[str, str]]:
    """Builds the yardsticks of all settings, and says why some have none."""
    if not plan.references:
        return {}, {"references": "not asked for: references is false"}
    observations = [setting.observation for setting in plan.settings]
    missing = yardsticks.without(plan.player.name, observations)
    if plan.player.name in missing:
        return {}, missing
    found, unavailable = yardsticks.built(plan.settings, plan.seconds, report)
    return found, {**missing, **unavailable}


def _rounds(programs: Sequence[Timed], plan: Plan, report: Say) -> dict[Timed, list[Rate]]:
    samples: dict[Timed, list[Rate]] = {program: [] for program in programs}
    for number in range(plan.rounds):
        for place, program in enumerate(programs):
            report(f"round {number + 1} of {plan.rounds}, program {place + 1} of {len(programs)}")
            samples[program].append(time_for(program, plan.seconds))
    return samples


def _environment(
    rollout: Rollout, ours: Sequence[Rate], beside: Mapping[Key, Sequence[Rate]]
) -> dict[str, object]:
    setting = rollout.setting
    return {
        "cells": setting.cells,
        "arenas": setting.arenas,
        "policy": rollout.policy,
        "observation": setting.observation,
        "representation": rollout.representation,
        **rates(ours),
        "compile_seconds": rollout.compile_seconds,
        "bytes_per_arena": rollout.bytes_per_arena,
        "ratio": yardsticks.ratios(setting, ours, beside),
    }


def _training(program: Training, samples: Sequence[Rate]) -> dict[str, object]:
    return {
        "learner": LEARNER,
        "workload": TRAINED_WORKLOAD,
        "arenas": program.config.arenas,
        "rollout": program.config.rollout,
        **rates(samples),
        "compile_seconds": program.compile_seconds,
    }


def _evaluation(program: Evaluation, samples: Sequence[Rate]) -> dict[str, object]:
    return {
        "policy": program.policy.name,
        "workload": TRAINED_WORKLOAD,
        "sequences": program.sequences,
        **rates(samples),
    }
