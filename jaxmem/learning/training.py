"""A group of members in training: jitted blocks of updates in an ordinary Python loop.

The loop is where progress is told, validation happens, checkpoints are written and a run can be
stopped: nothing inside a block waits for the host. Where a block is cut makes no difference to what
is learnt, so a run that goes on from a checkpoint comes to the same bits as one never stopped.
"""

import math
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import numpy as np

from jaxmem.evaluation.run import failed_share
from jaxmem.learning import hosts
from jaxmem.learning.blocks import Progress
from jaxmem.learning.checkpoint import Checkpoints
from jaxmem.learning.devices import Program
from jaxmem.learning.members import Group
from jaxmem.learning.standing import Report, Standing, standing_of
from jaxmem.learning.stopping import Stop, Terminated
from jaxmem.policies import CLASSICAL, Policy, policy
from jaxmem.workloads.registry import Workload

VALIDATION_SEQUENCES = 256
VALIDATIONS = 20  # in a run
# From here on the run is late: its networks are the best, and which of them fails least on so few
# sequences is partly luck, which the many before should not share in.
LATE = 0.75
PATIENCE = 4.0  # seconds of updates after which the loop looks up


class Listener(Protocol):
    """Who is told how a run goes: a display, a file of metrics."""

    def started(self, references: dict[str, float], steps: int, members: Sequence[int]) -> None:
        """Some members begin: the fits' failures on validation sequences (%), the steps of each."""

    def report(self, member: int, at: Report) -> None:
        """Where a member stands; of a run that goes on, what was reported before comes again."""


@dataclass(frozen=True)
class Keeping:
    """Where checkpoints are written, and how often; of several processes, by the first alone."""

    checkpoints: Checkpoints
    seconds: float = 60.0  # between two of them; 0: at every chance


@dataclass(frozen=True)
class Trained:
    """What a group comes to."""

    standings: list[Standing]  # of each member
    references: dict[str, float]  # % failed on the first seed's validation sequences, by fit
    seconds: float  # with those before the run was resumed


class Training:
    """One group on its way."""

    def __init__(
        self,
        group: Group,
        task: Workload,
        players: Sequence[Callable[[Any], Policy]],
        numbers: Sequence[int],
        listeners: Sequence[Listener],
        keeping: Keeping | None,
        devices: int,
    ) -> None:
        """Draws the requests and compiles what will run.

        Args:
            players: of each member, what makes a policy of the parameters of its network.
            numbers: by which listeners know the members.
            devices: that share the arenas.
        """
        self._begin = time.perf_counter()
        self._group, self._task, self._players = group, task, players
        self._numbers, self._listeners, self._keeping = numbers, listeners, keeping
        # XLA compiles outside Python's lock: the programs of a run are compiled side by side.
        with ThreadPoolExecutor() as pool:
            drawing = [
                pool.submit(task.requests, "validation", seed, VALIDATION_SEQUENCES)
                for seed in group.seeds
            ]
            self._params = group.params(task)
            self._program = Program(*group.program(), self._params, devices, group.axes)
            self._params = self._program.placed(self._params)
            self._validation = [drawn.result() for drawn in drawing]
            compiling = pool.submit(self._program.compiled, self._params)
            starting = pool.submit(self._program.start, self._params)
            playing = pool.submit(lambda: self._validated(0, starting.result()))
            self._references = {
                name: failed_share(policy(name), self._validation[0], task) for name in CLASSICAL
            }
            self._go_on, self._state = compiling.result(), starting.result()
            playing.result()
        self._standings = [Standing(network) for network in self._networks(self._state)]
        self._updates = 0
        self._episodes = np.zeros(len(group.members), np.int64)
        self._pace = 1  # updates before the loop looks up
        self._block = (0, 0.0)  # updates of the block that is being done, and their seconds
        self._saved = (0, time.perf_counter())  # updates in the last checkpoint, and when it was

    def run(self) -> Trained:
        """Goes on to the end of the run, or until it is stopped.

        Raises:
            Terminated: by SIGTERM; a checkpoint is written first, where there is a place for it.
        """
        config = self._group.config
        self._resume()
        for listener in self._listeners:
            listener.started(
                self._references, config.updates * config.steps_per_update, self._numbers
            )
        before = [
            (at, member) for member, standing in enumerate(self._standings) for at in standing.curve
        ]
        for at, member in sorted(before, key=lambda told: told[0].steps):
            self._report(member, at)
        try:
            with Stop() as stop:
                for end in _ends(config.updates):
                    if end > self._updates and not self._advance(end, stop):
                        break
        except KeyboardInterrupt:
            self._interrupted()
        self._save()
        if self._keeping:
            self._keeping.checkpoints.wait()
        hosts.together("trained")
        return Trained(self._standings, self._references, self._seconds)

    def _advance(self, end: int, stop: Stop) -> bool:
        """Updates up to `end` and a validation; whether the run goes on."""
        while True:
            progress = self._update(min(self._pace, end - self._updates))
            if self._updates == end:
                break
            if not self._look_up(stop):
                return False
        going = self._judge(progress)
        self._block = (0, 0.0)
        return self._look_up(stop) and going

    def _update(self, updates: int) -> Progress:
        before = time.perf_counter()
        state, progress = self._go_on(self._state, self._params, np.int32(updates))
        self._state, progress = state, jax.device_get(progress)
        seconds = time.perf_counter() - before
        self._updates += updates
        self._episodes += progress.episodes.reshape(-1)
        self._block = (self._block[0] + updates, self._block[1] + seconds)
        pace = max(1, int(updates * min(2.0, PATIENCE / max(seconds, 1e-9))))
        self._pace = int(hosts.gathered(pace)[hosts.FIRST, 0])
        return progress

    def _look_up(self, stop: Stop) -> bool:
        """Whether nobody has asked to stop; a checkpoint, where it is time for one."""
        seconds = time.perf_counter() - self._saved[1]
        due = self._keeping is not None and seconds >= self._keeping.seconds
        votes = hosts.gathered(stop.heard or 0, due)
        if signal.SIGTERM in votes[:, 0]:
            self._save()
            if self._keeping:
                self._keeping.checkpoints.close()
            raise Terminated(f"terminated after {self._steps:,} steps")
        if signal.SIGINT in votes[:, 0]:
            self._interrupted()
            return False
        if votes[hosts.FIRST, 1]:
            self._save()
        return True

    def _judge(self, progress: Progress) -> bool:
        """Validates every member that is still finite; whether there is one."""
        updates, seconds = self._block
        late = self._updates > LATE * self._group.config.updates
        losses, failed = progress.loss.reshape(-1), progress.failed.reshape(-1)
        for member, network in enumerate(self._networks(self._state)):
            standing = self._standings[member]
            if standing.note:
                continue
            if not _finite(network) or not math.isfinite(losses[member]):
                standing.note = f"stopped at step {self._steps:,}: the loss was no longer finite"
                continue
            found = self._failed(member, network)
            if found < standing.best_failed or late > standing.late:
                standing.best, standing.best_failed, standing.late = network, found, late
            report = Report(
                steps=self._steps,
                episodes=int(self._episodes[member]),
                seconds=self._seconds,
                steps_per_second=self._group.config.steps_per_update
                * len(self._standings)
                * updates
                / seconds,
                loss=float(losses[member]),
                exploring_failed=100 * float(failed[member]),
                failed=found,
            )
            standing.curve.append(report)
            self._report(member, report)
        return not all(standing.note for standing in self._standings)

    def _report(self, member: int, at: Report) -> None:
        for listener in self._listeners:
            listener.report(self._numbers[member], at)

    def _validated(self, member: int, state: Any) -> float:
        return self._failed(member, self._networks(state)[member])

    def _failed(self, member: int, network: Any) -> float:
        seed, _ = self._group.members[member]
        player = self._players[member](network)
        return failed_share(player, self._validation[seed], self._task)

    def _networks(self, state: Any) -> list[Any]:
        """The parameters of each member's network, on the host."""
        return self._group.each(jax.device_get(state.parameters))

    @property
    def _steps(self) -> int:
        """Environment steps of each member."""
        return self._updates * self._group.config.steps_per_update

    @property
    def _seconds(self) -> float:
        return time.perf_counter() - self._begin

    def _interrupted(self) -> None:
        for standing in self._standings:
            standing.interrupt()

    def _resume(self) -> None:
        """Goes back to the newest checkpoint, where there is one."""
        networks = [standing.best for standing in self._standings]
        like = {"state": self._program.shape, "best": jax.eval_shape(lambda: networks)}
        found = self._keeping.checkpoints.newest(like, self._check) if self._keeping else None
        arrays, about = hosts.from_first(found, like)
        if about is None:
            return
        self._state = self._program.laid_out(arrays["state"])
        self._updates = about["updates"]
        self._episodes = np.array(about["episodes"], np.int64)
        self._begin -= about["seconds"]
        self._saved = (self._updates, time.perf_counter())
        self._standings = [
            standing_of(best, kept)
            for best, kept in zip(arrays["best"], about["standings"], strict=True)
        ]

    def _check(self, about: dict[str, Any]) -> None:
        """Raises what a checkpoint makes of this run that says other things than `_save` does."""
        updates, episodes, seconds = (about[name] for name in ("updates", "episodes", "seconds"))
        members = len(self._standings)
        whole = type(updates) is int and 0 <= updates <= self._group.config.updates
        counted = isinstance(episodes, list) and all(type(count) is int for count in episodes)
        if not whole or not counted or type(seconds) not in (int, float):
            raise ValueError("what it says of the run is of other kinds")
        if len(episodes) != members or len(about["standings"]) != members:
            raise ValueError(f"it is of another number of members than {members}")
        np.array(episodes, np.int64)
        for kept in about["standings"]:
            standing_of(None, kept)

    def _save(self) -> None:
        """Writes a checkpoint of what is not in the last one."""
        wanted = self._keeping is not None or jax.process_count() > 1
        if not wanted or self._updates == self._saved[0] or _deleted(self._state):
            return
        state = hosts.whole(self._state)
        if self._keeping:
            latest = [at for standing in self._standings if (at := standing.latest) is not None]
            about = {
                "updates": self._updates,
                "episodes": self._episodes.tolist(),
                "seconds": self._seconds,
                "standings": [standing.about() for standing in self._standings],
            }
            arrays = {"state": state, "best": [standing.best for standing in self._standings]}
            self._keeping.checkpoints.save(
                self._updates, arrays, about, float(np.mean(latest)) if latest else 100.0
            )
        self._saved = (self._updates, time.perf_counter())


def _ends(updates: int) -> list[int]:
    """The updates done at each validation."""
    size = -(-updates // VALIDATIONS)
    return [*range(size, updates, size), updates]


def _deleted(state: Any) -> bool:
    """Whether an interrupted block has used a state up."""
    leaves = jax.tree.leaves(state)
    return any(isinstance(leaf, jax.Array) and leaf.is_deleted() for leaf in leaves)


def _finite(parameters: Any) -> bool:
    return all(bool(np.isfinite(leaf).all()) for leaf in jax.tree.leaves(parameters))
