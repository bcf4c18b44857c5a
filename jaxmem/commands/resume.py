"""Going on with a run that was stopped: its own settings, from its own folder."""

from pathlib import Path
from typing import Any

import yaml

from jaxmem.configuration import UsageError, configure
from jaxmem.run_folder import CONFIG, is_finished

MACHINE = ("devices", "hosts")  # what a run may have other than before: where it goes on


def resumed(config: dict[str, Any], command: str) -> tuple[dict[str, Any], str]:
    """What was asked for and how, of the run that `config` goes on with; else as given.

    Raises:
        UsageError: there is no such run, it is finished, or it is asked to change.
    """
    if config["resume"] is None:
        return config, command
    folder = Path(str(config["resume"]))
    defaults = configure("train", [])
    free = ("resume", *MACHINE)
    changed = sorted(key for key in config if key not in free and config[key] != defaults[key])
    if changed:
        raise UsageError(
            f"resume={folder} goes on with the settings of that run; {', '.join(changed)} cannot "
            "be set beside it"
        )
    file = folder / CONFIG
    try:
        text = file.read_text(encoding="utf-8")
        found = yaml.safe_load(text)
    except FileNotFoundError:
        raise UsageError(f"resume={folder}: no run to go on with; {file} is not there") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"resume={folder}: {file} cannot be read: {reason}") from None
    if not isinstance(found, dict) or set(found) != set(defaults):
        differing = sorted(set(found) ^ set(defaults)) if isinstance(found, dict) else ["all of it"]
        raise UsageError(
            f"resume={folder}: {file} is of another version of jaxmem; differing: "
            f"{', '.join(map(str, differing))}"
        )
    if is_finished(folder):
        raise UsageError(f"resume={folder}: that run is finished; its results are in {folder}")
    first = text.splitlines()[0]
    # An interrupted run has results, which those of the whole run replace.
    here = {name: config[name] for name in MACHINE}
    again = {**found, **here, "out": str(folder), "overwrite": True}
    return again, first.removeprefix("# ") if first.startswith("# ") else command
