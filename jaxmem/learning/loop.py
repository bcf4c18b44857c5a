"""The training loop: jitted blocks of updates in ordinary Python, for one run or many side by side.

Between two blocks progress is told, policies are validated, checkpoints are written, and a run can
be stopped: nothing inside a block waits for the host. Where a block is cut makes no difference to
what is learnt, so a run that goes on from a checkpoint comes to the same bits as one never stopped.
"""

import functools
import math
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
from jax.stages import Compiled

from jaxmem.checks import is_number, is_whole
from jaxmem.environment.environment import Params
from jaxmem.evaluation.run import failed_share
from jaxmem.learning import hosts
from jaxmem.learning.base_policies import BasePolicy
from jaxmem.learning.checkpoint import Checkpointing
from jaxmem.learning.learner import LearnerState, Metrics
from jaxmem.learning.member_state import MemberState, ValidationPoint
from jaxmem.learning.members import Members
from jaxmem.learning.program import Program
from jaxmem.learning.result import TrainResult, policy_of, result_of
from jaxmem.learning.stopping import Stop, Terminated
from jaxmem.policies import CLASSICAL, policy
from jaxmem.policies.networks import Weights
from jaxmem.workloads.requests import Requests

SECONDS_PER_CALL = 4.0  # of updates, after which the loop looks for signals and checkpoints


class Listener(Protocol):
    """Hears how a run goes: a display, a file of metrics."""

    def started(self, references: dict[str, float], steps: int, members: Sequence[int]) -> None:
        """Some members begin: the fits' failures on validation sequences (%), the steps of each."""

    def report(self, member: int, at: ValidationPoint) -> None:
        """A member was validated; of a run that goes on, what was reported before comes again."""


class RunSetup(NamedTuple):
    """What is fixed while a group of members trains."""

    members: Members
    base_policies: list[list[BasePolicy]]  # of each member, that of training first
    program: Program
    train_block: Compiled  # state, params, updates -> state, metrics
    params: Params  # training sequences, as the devices hold them
    validation: list[Requests]  # of each seed
    references: dict[str, float]  # % failed on the first seed's validation sequences, by fit


@dataclass
class RunState:
    """Where a group of members stands."""

    learner: LearnerState  # of all members, on the devices
    members: list[MemberState]
    episodes: np.ndarray  # int64[members]  finished
    began: float  # on the clock, less the seconds before the run was resumed
    updates: int = 0
    updates_per_call: int = 1
    block_updates: int = 0  # since the last validation
    block_seconds: float = 0.0
    saved_updates: int = 0  # in the last checkpoint
    saved_at: float = 0.0  # and when it was written, on the clock


def train_members(
    members: Members,
    base_policies: list[list[BasePolicy]],
    numbers: Sequence[int],
    listeners: Sequence[Listener] = (),
    checkpointing: Checkpointing | None = None,
) -> list[TrainResult]:
    """Trains members side by side, or one alone, until the end of the run or until it is stopped.

    Args:
        base_policies: of each member, the rules that its policy may follow, that of training first.
        numbers: by which listeners know the members.
        checkpointing: where checkpoints are kept; a run that finds some goes on from them.

    Ctrl-C ends the training; what was learnt so far is returned.

    Raises:
        Terminated: by SIGTERM; a checkpoint is written first, where there is a place for it.
    """
    config = members.config
    learner, evaluation = config.settings, config.evaluation
    setup, run = _compile(members, base_policies)
    _restore(run, setup, checkpointing)

    def report(place: int, point: ValidationPoint) -> None:
        for listener in listeners:
            listener.report(numbers[place], point)

    for listener in listeners:
        listener.started(setup.references, learner.updates * learner.steps_per_update, numbers)
    for place, point in _points_so_far(run):
        report(place, point)
    try:
        with Stop() as stop:
            for end in _validation_updates(learner.updates, evaluation.validations):
                if end <= run.updates:
                    continue
                metrics = _train_until(end, run, setup, stop, checkpointing)
                if metrics is None:
                    break
                _validate(run, setup, metrics, report)
                if not _handle_stop_and_checkpoint(run, setup, stop, checkpointing):
                    break
                if all(member.note for member in run.members):
                    break
    except KeyboardInterrupt:
        _interrupt(run)
    _save_checkpoint(run, setup, checkpointing)
    if checkpointing:
        checkpointing.checkpoints.wait()
    hosts.barrier("trained")
    seconds = time.perf_counter() - run.began
    return [
        result_of(member_config, rules, member, setup.references, seconds)
        for member_config, rules, member in zip(
            members.configs, base_policies, run.members, strict=True
        )
    ]


def _compile(members: Members, base_policies: list[list[BasePolicy]]) -> tuple[RunSetup, RunState]:
    """Draws the requests and compiles what will run; XLA does so side by side, outside the GIL."""
    config, began = members.config, time.perf_counter()
    sequences = config.evaluation.validation_sequences
    with ThreadPoolExecutor() as pool:
        drawing = [
            pool.submit(config.task.requests, "validation", seed, sequences)
            for seed in members.seeds
        ]
        params = members.params()
        program = Program(members.programs(), members.begin(), params, config.device_count)
        params = program.placed(params)
        validation = [drawn.result() for drawn in drawing]
        compiling = pool.submit(program.compiled, params)
        starting = pool.submit(program.start, params)

        def play_first() -> None:  # so that its program is compiled, too
            network = members.unstack(jax.device_get(starting.result().parameters))[0]
            failed_share(policy_of(config, network, base_policies[0]), validation[0], config.task)

        playing = pool.submit(play_first)
        references = {
            name: failed_share(policy(name), validation[0], config.task) for name in CLASSICAL
        }
        train_block, learner = compiling.result(), starting.result()
        playing.result()
    networks = members.unstack(jax.device_get(learner.parameters))
    run = RunState(
        learner=learner,
        members=[MemberState(network) for network in networks],
        episodes=np.zeros(len(networks), np.int64),
        began=began,
        saved_at=time.perf_counter(),
    )
    return RunSetup(
        members, base_policies, program, train_block, params, validation, references
    ), run


def _train_until(
    end: int,
    run: RunState,
    setup: RunSetup,
    stop: Stop,
    checkpointing: Checkpointing | None,
) -> Metrics | None:
    """Updates until `end` updates are done, and returns the last metrics; None: it is stopped."""
    while True:
        metrics = _train_block(min(run.updates_per_call, end - run.updates), run, setup)
        if run.updates == end:
            return metrics
        if not _handle_stop_and_checkpoint(run, setup, stop, checkpointing):
            return None


def _train_block(updates: int, run: RunState, setup: RunSetup) -> Metrics:
    """Updates so many times in one call, and chooses how many updates the next call has."""
    before = time.perf_counter()
    state, metrics = setup.train_block(run.learner, setup.params, np.int32(updates))
    run.learner, metrics = state, jax.device_get(metrics)
    seconds = time.perf_counter() - before
    run.updates += updates
    run.episodes += metrics.episodes.reshape(-1)
    run.block_updates, run.block_seconds = run.block_updates + updates, run.block_seconds + seconds
    pace = max(1, int(updates * min(2.0, SECONDS_PER_CALL / max(seconds, 1e-9))))
    run.updates_per_call = int(hosts.gathered(pace)[hosts.FIRST, 0])
    return metrics


def _validate(
    run: RunState,
    setup: RunSetup,
    metrics: Metrics,
    report: Callable[[int, ValidationPoint], None],
) -> None:
    """Plays the policy of every member that is still finite on validation sequences."""
    members, config = setup.members, setup.members.config
    late = run.updates > config.evaluation.late * config.settings.updates
    steps = run.updates * config.settings.steps_per_update
    rate = run.block_updates * config.settings.steps_per_update / run.block_seconds
    losses, exploring = metrics.loss.reshape(-1), metrics.failed.reshape(-1)
    networks = members.unstack(jax.device_get(run.learner.parameters))
    for place, network in enumerate(networks):
        member = run.members[place]
        if member.note:
            continue
        if not _finite(network) or not math.isfinite(losses[place]):
            member.note = f"stopped at step {steps:,}: the loss was no longer finite"
            continue
        rules, seed = setup.base_policies[place], members.places[place][0]
        player = policy_of(members.configs[place], network, rules)
        point = ValidationPoint(
            steps=steps,
            episodes=int(run.episodes[place]),
            seconds=time.perf_counter() - run.began,
            steps_per_second=rate * len(networks),
            loss=float(losses[place]),
            exploring_failed=100 * float(exploring[place]),
            failed=failed_share(player, setup.validation[seed], config.task),
        )
        member.add(point, network, late)
        report(place, point)
    run.block_updates, run.block_seconds = 0, 0.0


def _handle_stop_and_checkpoint(
    run: RunState, setup: RunSetup, stop: Stop, checkpointing: Checkpointing | None
) -> bool:
    """Tells whether the run goes on; writes a checkpoint where it is time for one.

    Raises:
        Terminated: SIGTERM was heard.
    """
    seconds = time.perf_counter() - run.saved_at
    due = checkpointing is not None and seconds >= checkpointing.seconds
    votes = hosts.gathered(stop.heard or 0, due)
    if signal.SIGTERM in votes[:, 0]:
        _save_checkpoint(run, setup, checkpointing)
        if checkpointing:
            checkpointing.checkpoints.close()
        steps = run.updates * setup.members.config.settings.steps_per_update
        raise Terminated(f"terminated after {steps:,} steps")
    if signal.SIGINT in votes[:, 0]:
        _interrupt(run)
        return False
    if votes[hosts.FIRST, 1]:
        _save_checkpoint(run, setup, checkpointing)
    return True


def _interrupt(run: RunState) -> None:
    for member in run.members:
        member.interrupt()


def _restore(run: RunState, setup: RunSetup, checkpointing: Checkpointing | None) -> None:
    """Goes back to the newest checkpoint, where there is one."""
    networks = [member.best for member in run.members]
    like = {"state": setup.program.shape, "best": jax.eval_shape(lambda: networks)}
    check = functools.partial(_check_progress, members=setup.members)
    found = checkpointing.checkpoints.newest(like, check) if checkpointing else None
    arrays, known = hosts.broadcast_from_first(found, like)
    if arrays is None or known is None:
        return
    run.learner = setup.program.laid_out(arrays["state"])
    run.updates = run.saved_updates = known["updates"]
    run.episodes = np.array(known["episodes"], np.int64)
    run.began -= known["seconds"]
    run.saved_at = time.perf_counter()
    run.members = [
        MemberState.from_json(best, member)
        for best, member in zip(arrays["best"], known["standings"], strict=True)
    ]


def _check_progress(known: dict[str, Any], members: Members) -> None:
    """Raises what a checkpoint makes of a run that says other things than `_save_checkpoint`."""
    updates, episodes, seconds = (known[name] for name in ("updates", "episodes", "seconds"))
    if not is_whole(updates) or not 0 <= updates <= members.config.settings.updates:
        raise ValueError(f"updates is {updates!r}")
    if not isinstance(episodes, list) or not all(map(is_whole, episodes)) or not is_number(seconds):
        raise ValueError("what it says of the run is of other kinds")
    if {len(episodes), len(known["standings"])} != {len(members.places)}:
        raise ValueError(f"it is of another number of members than {len(members.places)}")
    np.array(episodes, np.int64)
    for member in known["standings"]:
        MemberState.from_json({}, member)


def _save_checkpoint(run: RunState, setup: RunSetup, checkpointing: Checkpointing | None) -> None:
    """Writes a checkpoint of what is not in the last one; of several processes, the first does."""
    wanted = checkpointing is not None or jax.process_count() > 1
    if not wanted or run.updates == run.saved_updates or _deleted(run.learner):
        return
    state = hosts.gather_to_host(run.learner)
    if checkpointing:
        latest = [at for member in run.members if (at := member.latest) is not None]
        known = {
            "updates": run.updates,
            "episodes": run.episodes.tolist(),
            "seconds": time.perf_counter() - run.began,
            "standings": [member.as_json() for member in run.members],
        }
        arrays = {"state": state, "best": [member.best for member in run.members]}
        failed = float(np.mean(latest)) if latest else 100.0
        checkpointing.checkpoints.save(run.updates, arrays, known, failed)
    run.saved_updates, run.saved_at = run.updates, time.perf_counter()


def _points_so_far(run: RunState) -> list[tuple[int, ValidationPoint]]:
    """Returns the points of all curves with the places of their members, in order of steps."""
    points = [(place, point) for place, member in enumerate(run.members) for point in member.curve]
    return sorted(points, key=lambda pair: pair[1].steps)


def _validation_updates(updates: int, validations: int) -> list[int]:
    """Returns the updates done at each validation."""
    size = -(-updates // validations)
    return [*range(size, updates, size), updates]


def _deleted(state: LearnerState) -> bool:
    """Tells whether an interrupted block has used a state up."""
    leaves = jax.tree.leaves(state)
    return any(isinstance(leaf, jax.Array) and leaf.is_deleted() for leaf in leaves)


def _finite(parameters: Weights) -> bool:
    return all(bool(np.isfinite(leaf).all()) for leaf in jax.tree.leaves(parameters))
