"""One job of a multirun, wherever it was started: an ordinary run in a folder of its own."""

import os
import shlex
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.text import Text

from jaxmem.commands import terminal
from jaxmem.configuration import UsageError, composed, settings_of
from jaxmem.run_folder import CHECKPOINTS, RESULTS, is_finished

OUTPUT = "output.txt"  # in a job's folder: what it says where nobody listens
HERE = "basic"  # the launcher that runs the jobs in this process, one after the other


class JobStopped(BaseException):  # Hydra would take an Exception for the failure of one job
    """The user stopped a job, and with it those after it."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def work(config: DictConfig) -> str | None:
    """Runs the verb with `config`, or goes on with what its folder holds.

    Returns:
        None when the run is finished, else a line that says why it is not.
    Raises:
        JobStopped: it was interrupted, and the jobs after it would run in this process.
    """
    hydra = HydraConfig.get()
    verb, folder = str(hydra.job.config_name), Path(hydra.sweep.dir) / hydra.sweep.subdir
    overrides = [text.lstrip("+") for text in hydra.overrides.task]
    words = ["jaxmem", verb, *overrides, f"out={folder}"]
    given = {**_plain_config(config), "out": str(folder)}
    if (folder / CHECKPOINTS).exists() and not given["overwrite"]:
        given = {**composed(verb, []), "resume": str(folder)}
    elif (folder / RESULTS).exists():  # of a run that was not finished, or is asked for again
        given["overwrite"] = True
    here = hydra.runtime.choices["hydra/launcher"] == HERE
    if here:
        terminal().rule(Text(str(hydra.sweep.subdir)), align="left")
    with _own_output(folder / OUTPUT, here), _requeued():
        try:
            status = import_module(f"jaxmem.commands.{verb}").run(
                settings_of(verb, given), shlex.join(words)
            )
        except UsageError as error:
            line = " ".join(str(error).split())
            print(f"jaxmem: {line}", file=sys.stderr)
            return line
        except OSError as error:
            line = f"{error.filename or 'files'}: {error.strerror or error}"
            print(f"jaxmem: {line}", file=sys.stderr)
            return line
        except Exception as error:  # the other jobs are not to be lost with it
            traceback.print_exc()
            return " ".join([f"{type(error).__name__}:", *str(error).split()])
    if status == 0 and is_finished(folder):
        return None
    if here:
        raise JobStopped(status or 130)
    return "it was stopped"


def _plain_config(config: DictConfig) -> dict:
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    return plain


@contextmanager
def _own_output(file: Path, here: bool) -> Iterator[None]:
    """Sends a job's output to a file: several at once would overwrite each other on a terminal."""
    if here:
        yield
        return
    # Below Python, where the compiler writes, and for loggers that outlive the job.
    streams = {1: sys.stdout, 2: sys.stderr}
    kept = {number: os.dup(number) for number in streams}
    try:
        with file.open("ab") as page:
            for number, stream in streams.items():
                stream.flush()
                os.dup2(page.fileno(), number)
        yield
    finally:
        for number, stream in streams.items():
            stream.flush()
            os.dup2(kept[number], number)
            os.close(kept[number])


@contextmanager
def _requeued() -> Iterator[None]:
    """Ignores SIGTERM in a job of submitit's: SLURM sends it with the signal to requeue."""
    if "SUBMITIT_EXECUTOR" not in os.environ:
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
