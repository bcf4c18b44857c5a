"""Going on with a run that was stopped: its own settings, from its own folder."""

from pathlib import Path
from typing import TypeVar

from jaxmem import renamed
from jaxmem.configuration import UsageError, configure
from jaxmem.read_back import BrokenFileError, read_mapping
from jaxmem.run_folder import CONFIG, is_finished
from jaxmem.settings.verbs import SearchSettings, TrainSettings

MACHINE = ("devices", "hosts")  # what a run may have other than before: where it goes on
SHOWN_KEYS = 8  # keys in a message

Asked = TypeVar("Asked", TrainSettings, SearchSettings)


def resumed(verb: str, settings: Asked, command: str) -> tuple[Asked, str]:
    """Returns what the run that `settings` go on with was asked for, and how; else as given.

    Raises:
        UsageError: there is no such run, it is finished, or it is asked to change.
    """
    if settings.resume is None:
        return settings, command
    folder = Path(settings.resume)
    given, defaults = settings.plain(), configure(verb, []).plain()
    free = ("resume", *MACHINE)
    changed = sorted(key for key in given if key not in free and given[key] != defaults[key])
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
    if renamed.new_config(found) != found:
        raise UsageError(
            f"resume={folder}: {file} is of an earlier version of jaxmem, whose settings had other "
            "names: that run cannot go on, but what it has learnt can be compared"
        )
    if differing := sorted(set(found) ^ set(defaults)):
        more = ", and more" if len(differing) > SHOWN_KEYS else ""
        raise UsageError(
            f"resume={folder}: {file} is of another version of jaxmem; differing: "
            f"{', '.join(name[:40] for name in differing[:SHOWN_KEYS])}{more}"
        )
    if is_finished(folder):
        raise UsageError(f"resume={folder}: that run is finished; its results are in {folder}")
    # An interrupted run has results, which those of the whole run replace.
    here = {name: given[name] for name in MACHINE if name in given}
    try:
        again = type(settings).read({**found, **here, "out": str(folder), "overwrite": True})
    except ValueError as error:
        raise UsageError(f"resume={folder}: {file} is not as jaxmem writes it: {error}") from None
    return again, first.removeprefix("# ") if first.startswith("# ") else command
