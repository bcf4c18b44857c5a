"""TensorBoard and Weights & Biases: what a training run reports, where its user looks at it.

Both listen to a run as `metrics.jsonl` does, and neither may end it: a logger that fails says so
once, and is heard no more.
"""

import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypedDict

import yaml

from jaxmem.extras import extra
from jaxmem.names import nearest
from jaxmem.whole_files import write_whole

if TYPE_CHECKING:
    import wandb
    from tensorboardX import SummaryWriter

    from jaxmem.learning.member_state import ValidationPoint

LOGGER_PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb"}  # what brings each logger
PROJECT = "jaxmem"  # of Weights & Biases, where WANDB_PROJECT names no other
RULES_FOLDER = "fits"  # above the sub-runs of what a policy is compared with

MemberConfigs = Mapping[
    str, dict[str, object]
]  # of each, by name, its configuration; in their order


class Logger(Protocol):
    """A listener of a training run that must be closed."""

    def started(self, references: dict[str, float], steps: int, members: Sequence[int]) -> None: ...
    def report(self, member: int, at: "ValidationPoint") -> None: ...
    def close(self) -> None: ...


def check_loggers(names: Sequence[str]) -> None:
    """Checks that all of these can be made.

    Raises:
        ValueError: an unknown name, or one twice.
        MissingExtraError: a package is not installed.
    """
    for name in names:
        if not isinstance(name, str) or name not in LOGGER_PACKAGES:
            raise ValueError(f"unknown logger {name!r}{nearest(str(name), LOGGER_PACKAGES)}")
        extra(LOGGER_PACKAGES[name], name, f"loggers=[{name}]")
    if len(set(names)) < len(names):
        raise ValueError(f"loggers has a name twice: {list(names)}")


def loggers_of(
    names: Sequence[str],
    folder: Path,
    members: MemberConfigs,
    tell: Callable[[str], None],
    *,
    anew: bool,
) -> list[Logger]:
    """Makes the loggers with these names, checked by `check_loggers`.

    Args:
        folder: of the run.
        tell: is told where to look, and if one fails.
        anew: no earlier run is gone on with.
    """
    made: dict[str, Callable[[], Logger]] = {
        "tensorboard": lambda: TensorBoard(folder, members),
        "wandb": lambda: WeightsAndBiases(folder, members, tell, anew=anew),
    }
    return [_Careful(name, made[name](), tell) for name in names]


class TensorBoard:
    """Event files in FOLDER/tensorboard: a sub-run for each member, and for each fit a line."""

    def __init__(self, folder: Path, members: MemberConfigs) -> None:
        self._folder, self._members = folder / "tensorboard", members
        self._writers: dict[int, SummaryWriter] = {}
        self._began = time.time()
        self._begun = False

    def started(self, references: dict[str, float], steps: int, members: Sequence[int]) -> None:
        """Opens the files of the members."""
        from tensorboardX import SummaryWriter

        if not self._begun:
            # What a run that goes on has reported before, it reports again.
            shutil.rmtree(self._folder, ignore_errors=True)
            for name, failed in references.items():
                with SummaryWriter(str(self._folder / RULES_FOLDER / name)) as writer:
                    for at in (0, steps):
                        writer.add_scalar("failed_requests/validation", failed, at)
            self._begun = True
        for member in members:
            name, config = list(self._members.items())[member]
            writer = self._writers[member] = SummaryWriter(str(self._folder / name))
            text = yaml.safe_dump(config, sort_keys=False)
            writer.add_text("config", f"```yaml\n{text}```", 0)

    def report(self, member: int, at: "ValidationPoint") -> None:
        """Adds a point to each curve of the member."""
        writer = self._writers[member]
        for name, value in _metrics(at).items():
            writer.add_scalar(name, value, at.steps, walltime=self._began + at.seconds)
        writer.flush()

    def close(self) -> None:
        """Closes the files."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()


class _Known(TypedDict):
    """The run of a member at Weights & Biases."""

    id: str
    steps: int  # up to which it has been told


class WeightsAndBiases:
    """A run of Weights & Biases for each member; a run that goes on keeps its id.

    Its files are in FOLDER/wandb. With WANDB_MODE=offline nothing leaves the machine.
    """

    def __init__(
        self, folder: Path, members: MemberConfigs, tell: Callable[[str], None], *, anew: bool
    ) -> None:
        self._folder, self._members, self._tell = folder, members, tell
        self._runs: dict[int, wandb.Run] = {}
        self._file = folder / "wandb" / "jaxmem.json"
        self._known: dict[str, _Known] = {}  # by the member's name
        if not anew and self._file.exists():
            self._known = json.loads(self._file.read_text(encoding="utf-8"))

    def started(self, references: dict[str, float], steps: int, members: Sequence[int]) -> None:
        """Begins the runs of the members, or goes on with them."""
        import wandb

        for member in members:
            name, config = list(self._members.items())[member]
            known = self._known.setdefault(name, {"id": secrets.token_hex(4), "steps": -1})
            alone = len(self._members) == 1
            run = self._runs[member] = wandb.init(
                project=None if "WANDB_PROJECT" in os.environ else PROJECT,
                dir=str(self._folder),
                id=known["id"],
                resume="allow",
                reinit="create_new",
                name=self._folder.name if alone else f"{self._folder.name}/{name}",
                group=None if alone else self._folder.name,
                config={**config, "fits_failed": references},
                # Its own words, and what it does to the terminal, would tear the progress bar.
                settings=wandb.Settings(silent=True, console="off"),
            )
            if len(self._runs) == 1:
                here = f"offline, in {self._file.parent}; wandb sync sends it"
                self._tell(f"wandb: {here if run.offline else run.url}")
        self._keep()

    def report(self, member: int, at: "ValidationPoint") -> None:
        """Reports what has not been told before: a run that goes on reports it again."""
        known = self._known[list(self._members)[member]]
        if at.steps <= known["steps"]:
            return
        self._runs[member].log({**_metrics(at), "steps": at.steps}, step=at.steps)
        known["steps"] = at.steps
        self._keep()

    def close(self) -> None:
        """Waits until all is written, or sent."""
        for run in self._runs.values():
            run.finish()
        self._runs.clear()

    def _keep(self) -> None:
        self._file.parent.mkdir(exist_ok=True)
        write_whole(self._file, json.dumps(self._known))


class _Careful:
    """A logger that the run does not depend on."""

    def __init__(self, name: str, logger: Logger, tell: Callable[[str], None]) -> None:
        self._name, self._logger, self._tell = name, logger, tell
        self._failed = False

    def started(self, references: dict[str, float], steps: int, members: Sequence[int]) -> None:
        self._do(lambda: self._logger.started(references, steps, members))

    def report(self, member: int, at: "ValidationPoint") -> None:
        self._do(lambda: self._logger.report(member, at))

    def close(self) -> None:
        self._do(self._logger.close)

    def _do(self, work: Callable[[], None]) -> None:
        if self._failed:
            return
        try:
            work()
        except Exception as error:  # whatever a full disk or a network makes of it
            self._failed = True
            reason = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
            self._tell(f"logger {self._name} has failed: {reason}; training goes on without it")


def _metrics(at: "ValidationPoint") -> dict[str, float]:
    """Names the figures of a report as curves have them."""
    return {
        "failed_requests/validation": at.failed,
        "failed_requests/exploring": at.exploring_failed,
        "loss": at.loss,
        "episodes": at.episodes,
        "steps_per_second": at.steps_per_second,
    }
