"""Going on with a run that was stopped: its own settings, from its own folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jaxmem.configuration import UsageError, configure
from jaxmem.read_back import BrokenFileError, read_mapping
from jaxmem.run_folder import CONFIG, is_finished

MACHINE = ("devices", "hosts")  # what a run may have other than before: where it goes on
SHOWN = 8  # keys in a message
# What checks make of values of other kinds, which only a file can hold.
READ_BACK = (
    *(ArithmeticError, AttributeError, LookupError),
    *(RecursionError, TypeError, ValueError),
)


def resumed(verb: str, config: dict[str, Any], command: str) -> tuple[dict[str, Any], str]:
    """Returns what the run that `config` goes on with was asked for, and how; else as given.

    Raises:
        UsageError: there is no such run, it is finished, or it is asked to change.
    """
    if config["resume"] is None:
        return config, command
    folder = Path(str(config["resume"]))
    defaults = configure(verb, [])
    free = ("resume", *MACHINE)
    changed = sorted(key for key in config if key not in free and config[key] != defaults[key])
    if changed:
        raise UsageError(
            f"resume={folder} goes on with the settings of that run; {', '.join(changed)} cannot "
            "be set beside it"
        )
    file = folder / CONFIG
    try:
        found = read_mapping(file)
        first = file.read_text(encoding="utf-8").partition("\n")[0]
    except FileNotFoundError:
        raise UsageError(f"resume={folder}: no run to go on with; {file} is not there") from None
    except (OSError, BrokenFileError) as error:
        raise UsageError(f"resume={folder}: {file} cannot be read: {error}") from None
    if differing := sorted(set(found) ^ set(defaults)):
        more = ", and more" if len(differing) > SHOWN else ""
        raise UsageError(
            f"resume={folder}: {file} is of another version of jaxmem; differing: "
            f"{', '.join(name[:40] for name in differing[:SHOWN])}{more}"
        )
    if is_finished(folder):
        raise UsageError(f"resume={folder}: that run is finished; its results are in {folder}")
    # An interrupted run has results, which those of the whole run replace.
    here = {name: config[name] for name in MACHINE if name in config}
    again = {**found, **here, "out": str(folder), "overwrite": True}
    return again, first.removeprefix("# ") if first.startswith("# ") else command


@contextmanager
def read_from(resume: Any) -> Iterator[None]:
    """Guards checks of a configuration; one of a run that goes on may hold anything.

    Args:
        resume: the folder of that run; None: what is checked comes from the command line.

    Raises:
        UsageError: it is not as jaxmem writes it.
    """
    try:
        yield
    except UsageError:
        raise
    except READ_BACK as error:
        if resume is None:
            raise
        what = " ".join(str(error).split())[:200]
        raise UsageError(
            f"resume={resume}: {Path(resume) / CONFIG} is not as jaxmem writes it: "
            f"{type(error).__name__} {what}"
        ) from error
