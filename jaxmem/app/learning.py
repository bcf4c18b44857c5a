"""What the Train tab computes: a small training run that can be watched and stopped."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from jaxmem.app.games import Player
from jaxmem.app.typed import Unclear
from jaxmem.app.work import DRAWING, Job
from jaxmem.evaluation.run import failed_share
from jaxmem.evaluation.tuning import least_failing
from jaxmem.learning.train import TrainResult, train
from jaxmem.policies import CLASSICAL, policy
from jaxmem.policies.saved import save_policy
from jaxmem.render import draw_learning_curve
from jaxmem.workloads.registry import Workload, workload

SEQUENCES = 256  # that the policy is tested on
# A small run has few gradient steps: less averaging, or the average would lag behind.
SMALL = {"arenas": 512, "averaging": 0.99}


@dataclass
class Watching:
    """Hears how a run goes: its curve so far, for a page that looks on."""

    job: Job | None = None
    total: int = 0  # environment steps of the whole run
    references: dict[str, float] = field(default_factory=dict)  # % failed, by fit
    curve: list[Any] = field(default_factory=list)  # of `Report`

    def started(self, references: dict[str, float], steps: int, members: Sequence[int]) -> None:
        """The fits' failures, and the steps to come."""
        del members  # there is one
        self.references, self.total = references, steps
        self._tell("compiled; learning …", 0.0)

    def report(self, member: int, at: Any) -> None:
        """One more point of the curve."""
        del member
        self.curve.append(at)
        self._tell(
            f"{at.steps:,} of {self.total:,} steps: {at.failed:.2f} % of the requests fail …",
            at.steps / max(self.total, 1),
        )

    def _tell(self, doing: str, share: float) -> None:
        if self.job is None:
            return
        self.job.doing, self.job.share = doing, share
        if self.job.stopping:
            # As Ctrl-C does: the run ends, and what was learnt so far is kept.
            raise KeyboardInterrupt


def task_of(name: str, cells: int | None) -> Workload:
    """The workload to learn; raises `Unclear`."""
    try:
        return workload(name, cells)
    except ValueError as error:
        raise Unclear(str(error)) from error


@dataclass(frozen=True)
class Learned:
    """What a run comes to."""

    result: TrainResult
    failed: float  # % of the requests of test sequences
    best: str  # the fit that fails least on them
    best_failed: float  # %


def learn(job: Job, watching: Watching, task: Workload, states: int, seed: int) -> Learned:
    """Trains a policy by branching on so many labelled states, and tests it.

    Args:
        job: is told how far it is; stopping it keeps the best policy so far.
        watching: hears the curve.
    """
    watching.job = job
    job.report("compiling (half a minute, or more) …", 0.0)
    result = train(task, "branching", seed=seed, states=states, listeners=[watching], **SMALL)
    job.doing = "testing …"
    requests = task.requests("test", seed, SEQUENCES)
    fits = {name: failed_share(policy(name), requests, task) for name in CLASSICAL}
    best = least_failing(fits)
    return Learned(result, failed_share(result.policy, requests, task), best, fits[best])


def player_of(result: TrainResult) -> Player:
    """The policy that was trained, for the other tabs."""
    return Player(result.policy, result.card)


def curve_picture(watching: Watching) -> bytes:
    """The curve so far, beside the fits: PNG."""
    points = list(watching.curve)  # the run adds to it meanwhile
    picture = BytesIO()
    with DRAWING:
        draw_learning_curve(
            picture,
            [point.steps for point in points],
            [point.failed for point in points],
            dict(watching.references),
            ylabel="failed requests, validation (%)",
        )
    return picture.getvalue()


def policy_file(result: TrainResult, folder: Any) -> bytes:
    """The policy as a file that `jaxmem compare` takes, written in a folder of its own."""
    path = folder / "policy.safetensors"
    save_policy(path, result.policy.parameters.network, result.card)
    return path.read_bytes()
