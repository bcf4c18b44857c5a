"""`jaxmem.train`: one training run from Python."""

from collections.abc import Sequence
from typing import Any

from jaxmem.learning.checkpoint import Checkpointing
from jaxmem.learning.config import TrainConfig, train_config
from jaxmem.learning.grid import train_programs
from jaxmem.learning.loop import Listener
from jaxmem.learning.result import TrainResult
from jaxmem.workloads.registry import Workload


def train(
    on: str | Workload | TrainConfig,
    learner: str = "branching",
    *,
    listeners: Sequence[Listener] = (),
    checkpointing: Checkpointing | None = None,
    **settings: Any,
) -> TrainResult:
    """Trains a Q-network to place the requests of a workload.

    Args:
        on: a workload or its name; or a whole configuration, beside which nothing else is set.
        learner: "pqn", "dqn" or "branching".
        listeners: are told how the run goes; this one is member 0.
        checkpointing: where checkpoints are kept; a run that finds some goes on from them.
        settings: of the learner, as `steps=2_000_000` (see `PQNConfig`, `DQNConfig`,
            `BranchingConfig`), and the other arguments of `train_config`.

    Ctrl-C ends the training; what was learnt so far is returned.

    Raises:
        ValueError: an unknown name or a value out of range, before anything is compiled; before
            the first step, that best-fit fails nothing, so that there is nothing to learn.
        Terminated: by SIGTERM, after a checkpoint.
    """
    config = on if isinstance(on, TrainConfig) else train_config(on, learner, **settings)
    [results] = train_programs(
        config, [config.seed], [config.settings], listeners, lambda numbers: checkpointing
    )
    return results[0]
