"""What the Train tab computes: a small training run that can be watched and stopped."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from jaxmem.app.asked import Begun, DrawnWorkload, Learned, Point
from jaxmem.app.judging import task_of
from jaxmem.app.worker import Watched
from jaxmem.evaluation.run import failed_share
from jaxmem.evaluation.tuning import least_failing
from jaxmem.learning.member_state import ValidationPoint
from jaxmem.learning.result import TrainResult
from jaxmem.learning.train import train
from jaxmem.policies import policy
from jaxmem.policies.policy_file import save_policy
from jaxmem.rules import CLASSICAL
from jaxmem.settings.learner import EvaluationConfig

TEST_SEQUENCES = 256  # that the policy is tested on
# A small run has few gradient steps: less averaging, or the average would lag behind. To choose the
# margin on the usual 1024 sequences would take longer than all the learning.
SMALL_RUN = {
    "arenas": 512,
    "ema_decay": 0.99,
    "evaluation": EvaluationConfig(selection_sequences=256),
}


class Teller:
    """Hears how a run goes, and tells the page."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._steps = 0  # environment steps of the whole run

    def started(self, references: dict[str, float], steps: int, members: Sequence[int]) -> None:
        """The fits' failures, and the steps to come."""
        del members  # there is one
        self._steps = steps
        self._watched.tell(Begun(references, steps))
        self._watched.report("compiled; learning …", 0.0)

    def report(self, member: int, at: ValidationPoint) -> None:
        """One more point of the curve."""
        del member
        self._watched.tell(Point(at.steps, at.failed))
        self._watched.report(
            f"{at.steps:,} of {self._steps:,} steps: {at.failed:.2f} % of the requests fail …",
            at.steps / max(self._steps, 1),
            keeps=True,
        )
        if self._watched.stopping:
            # As Ctrl-C does: the run ends, and what was learnt so far is kept.
            raise KeyboardInterrupt


def learn(watched: Watched, asked: DrawnWorkload, states: int, seed: int) -> Learned:
    """Trains a policy by branching on so many labelled states, and tests it.

    Args:
        watched: is told how far it is, and the curve; stopping it keeps the best policy so far.

    Raises:
        Unclear: the workload cannot be drawn in so many cells.
    """
    task = task_of(asked)
    watched.report("compiling (half a minute, or more) …", 0.0)
    teller = Teller(watched)
    result = train(task, "branching", seed=seed, states=states, listeners=[teller], **SMALL_RUN)
    watched.report("testing …", keeps=True)
    requests = task.requests("test", seed, TEST_SEQUENCES)
    fits = {name: failed_share(policy(name), requests, task) for name in CLASSICAL}
    best = least_failing(fits)
    return Learned(
        policy=_file(result),
        steps=result.steps,
        seconds=result.seconds,
        sentences=tuple(filter(None, (result.base_policy, result.note))),
        failed=failed_share(result.policy, requests, task),
        best=best,
        best_failed=fits[best],
        start=result.start,
        kept_at=result.kept_at,
    )


def _file(result: TrainResult) -> bytes:
    """The policy as a file that `jaxmem compare` takes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "policy.safetensors")
        save_policy(path, result.policy.parameters.network, result.card)
        return path.read_bytes()
