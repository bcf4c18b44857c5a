"""The run folder of a training command while it trains: metrics, checkpoints, and how it ends."""

import shlex
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.text import Text

from jaxmem.carded_file import POLICY_FILE
from jaxmem.commands import checked
from jaxmem.learning.checkpoint import Checkpointing, Checkpoints
from jaxmem.learning.loop import Listener
from jaxmem.learning.result import TrainResult
from jaxmem.learning.stopping import Terminated
from jaxmem.loggers import Logger, MemberConfigs, loggers_of
from jaxmem.metrics import FILE, MetricsFile
from jaxmem.policies.policy_file import save_policy
from jaxmem.run_folder import CHECKPOINTS, RunFolder
from jaxmem.settings.verbs import SearchSettings, TrainSettings

TERMINATED = 143  # exit status after SIGTERM, as a shell has it


class TrainingRun:
    """What is kept of a run as it goes on, so that it can be killed at any time."""

    def __init__(
        self,
        settings: TrainSettings | SearchSettings,
        command: str,
        verb: str,
        subject: str,
        console: Console,
        *,
        anew: bool,
    ) -> None:
        """Makes the run folder.

        Args:
            subject: what is trained on, by which a folder is named where none is given.
            anew: what an earlier run left there is not gone on with.

        Raises:
            UsageError: a folder that cannot be used.
        """
        self._verb = verb
        self._seconds = settings.checkpoint.seconds
        self._keep = settings.checkpoint.keep
        self.folder = checked(RunFolder, verb, subject, settings.out, settings.overwrite)
        self._console = console
        self._opened: list[Checkpoints] = []
        self._loggers: list[Logger] = []
        self._anew = anew
        with ExitStack() as failing:
            failing.push(self.folder)
            self.folder.write_config(settings.plain(), command)
            if anew:
                self._checkpoints().remove()
            failing.pop_all()
        self.listeners: list[Listener] = [MetricsFile(self.folder.file(FILE), self.tell)]

    def __enter__(self) -> Self:
        self.folder.__enter__()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.folder.__exit__(kind, error, trace)

    def log(self, names: Sequence[str], members: MemberConfigs) -> None:
        """Adds loggers, checked before, which listen until the run ends."""
        self._loggers = loggers_of(names, self.folder.path, members, self.tell, anew=self._anew)
        self.listeners += self._loggers

    def checkpointing(self, program: int | str | None = None) -> Checkpointing:
        """Opens the checkpoints of one program of several, or of a run that is one."""
        self._opened.append(self._checkpoints(program))
        return Checkpointing(self._opened[-1], self._seconds)

    def tell(self, sentence: str) -> None:
        """A line that must not be missed."""
        self._console.print(Text(sentence, style="bold"))

    @property
    def how_to_go_on(self) -> str:
        """The command that does."""
        return shlex.join(["jaxmem", self._verb, f"resume={self.folder.path}"])

    def terminated(self, stopped: Terminated) -> int:
        """Says what SIGTERM left; the exit status."""
        self._close_loggers()
        self.tell(f"{stopped}; {self.how_to_go_on} goes on")
        return TERMINATED

    def end(self, finished: bool) -> None:
        """Lets go of the checkpoints, once the results are written; those of a whole run go."""
        self._close_loggers()
        for checkpoints in self._opened:
            checkpoints.close()
        self._opened.clear()
        if finished and not self._keep:
            self._checkpoints().remove()

    def _close_loggers(self) -> None:
        for logger in self._loggers:
            logger.close()

    def _checkpoints(self, program: int | str | None = None) -> Checkpoints:
        every = self.folder.file(CHECKPOINTS)
        return Checkpoints(every if program is None else every / f"program-{program}", self.tell)


def save_learned(folder: Path, learned: TrainResult) -> None:
    """Writes what one run has learnt into a folder, as `jaxmem compare` takes it."""
    folder.mkdir(parents=True, exist_ok=True)
    network = learned.policy.parameters.network
    save_policy(folder / POLICY_FILE, network, learned.card)
