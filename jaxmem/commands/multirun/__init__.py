"""`jaxmem train -m` and `jaxmem compare -m`: many runs of a verb, by one of Hydra's launchers."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from hydra.plugins.launcher import Launcher
from rich.console import Console

from jaxmem.commands import terminal
from jaxmem.commands.multirun.jobs import Multirun, MultirunJob, multirun_of, progress
from jaxmem.commands.multirun.launching import launch, launcher_of
from jaxmem.commands.multirun.work import HERE, OUTPUT, JobStopped, work
from jaxmem.configuration import UsageError
from jaxmem.locks import Lock, TakenError
from jaxmem.run_folder import LOCK, RESULTS, is_finished, new_path
from jaxmem.whole_files import unwritable, write_whole

MULTIRUN_VERBS = ("train", "compare")
MULTIRUN_FILE = "multirun.yaml"
JOB_STATES = {"finished": "finished before, and kept", "stopped": "was stopped, and goes on"}


def run(verb: str, words: Sequence[str], command: str) -> int:
    """Runs every job that is not finished yet; the exit status is 0 when all of them are.

    Args:
        words: the overrides, without the flag.
        command: as it was given, for the record.
    """
    console = terminal()
    if verb not in MULTIRUN_VERBS:
        raise UsageError(f"jaxmem {verb} takes no -m; {' and '.join(MULTIRUN_VERBS)} do")
    multirun = multirun_of(verb, words)
    folder = Path(multirun.out) if multirun.out is not None else new_path(f"multirun-{verb}")
    if (folder / RESULTS).exists():
        raise UsageError(f"out={folder} holds a run; a multirun needs a folder of its own")
    name, launcher = launcher_of(verb, multirun.launcher, folder, work)
    lock = _made(folder)
    try:
        states = {job.name: _state(multirun, job, folder) for job in multirun.jobs}
        _record(folder, command, name, multirun.jobs)
        for job, state in states.items():
            if told := JOB_STATES.get(state):
                console.print(f"{job}: {told}")
        missing = [job for job in multirun.jobs if states[job.name] != "finished"]
        if missing:
            where = f", by {name}; what they say is in {folder}/JOB/{OUTPUT}"
            told = "" if name == HERE else where
            console.print(f"{_jobs(len(missing))} to run in {folder}{told}")
        return _launched(multirun, missing, folder, name, launcher, console)
    finally:
        lock.release()


def _made(folder: Path) -> Lock:
    """Makes the folder; the lock keeps a second multirun from it, each job has its own."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return Lock(folder / LOCK)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"out={folder} cannot be written: {reason}") from None
    except TakenError as holder:
        raise UsageError(
            f"{folder}: another multirun is at work there ({holder}); take another out=DIR, or "
            "wait "
            "for its end"
        ) from None


def _launched(
    multirun: Multirun,
    missing: Sequence[MultirunJob],
    folder: Path,
    name: str,
    launcher: Launcher,
    console: Console,
) -> int:
    """Starts the jobs that are missing, waits for them, and returns the exit status."""
    reasons: dict[str, str] = {}
    if missing:
        try:
            returned = launch(launcher, missing)
        except (JobStopped, KeyboardInterrupt) as stop:
            _say(f"stopped; the same command with out={folder} goes on")
            return stop.status if isinstance(stop, JobStopped) else 130
        except Exception as error:  # of the launcher: it does not say how the jobs stand
            _say(f"{name} ended early: {' '.join(str(error).split()) or type(error).__name__}")
        else:
            reasons = {j.name: why for j, why in zip(missing, returned, strict=True) if why}
    return _report(multirun, folder, reasons, console)


def _state(multirun: Multirun, job: MultirunJob, folder: Path) -> str:
    return "new" if multirun.overwrite else progress(job, folder / job.name)


def _record(folder: Path, command: str, launcher: str, jobs: Sequence[MultirunJob]) -> None:
    """Writes multirun.yaml: what was asked for, below the command."""
    asked = {"launcher": launcher, "jobs": {job.name: list(job.overrides) for job in jobs}}
    line = " ".join(command.splitlines())
    try:
        write_whole(folder / MULTIRUN_FILE, f"# {line}\n{yaml.safe_dump(asked, sort_keys=False)}")
    except OSError as error:
        raise UsageError(unwritable(error)) from None


def _report(multirun: Multirun, folder: Path, reasons: Mapping[str, str], console: Console) -> int:
    """Says what has come of the jobs, as their folders have it: whatever became of a process."""
    failed = [job.name for job in multirun.jobs if not is_finished(folder / job.name)]
    for name, reason in reasons.items():
        _say(f"{name} failed: {reason}")
    if failed:
        _say(
            f"{len(failed)} of {_jobs(len(multirun.jobs))} failed: {', '.join(failed)}; the same "
            f"command with out={folder} runs them again"
        )
        return 1
    told = shlex.quote(str(folder))
    console.print(f"{_jobs(len(multirun.jobs))} finished; jaxmem summarize {told} compares them")
    return 0


def _jobs(count: int) -> str:
    return f"{count} job" if count == 1 else f"{count} jobs"


def _say(line: str) -> None:
    print(f"jaxmem: {line}", file=sys.stderr)
