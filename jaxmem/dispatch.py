"""What the words of a command line ask for, and the one line where that cannot be."""

import os
import re
import shlex
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import yaml

from jaxmem import interruption, renamed
from jaxmem.configuration import UsageError, configure, file_of
from jaxmem.extensions import LeftOut
from jaxmem.foreign import ForeignError
from jaxmem.settings.fields import Settings
from jaxmem.standard_streams import is_lost, lenient_streams
from jaxmem.usage import HELP, help_of, help_of_all, help_of_many
from jaxmem.verbs import FLAGS, VERBS

LEARN_FROM_RUNS = "workload=runs"  # what `train` learns from, with settings of its own
SHOW_FLAG = "--cfg"  # as Hydra has it: the configuration, and no run
OVERRIDE = re.compile("=|^[-+~]")  # what is no file, but a setting or a flag
AS_PYTHON_SAYS = warnings.formatwarning
MANY = ("-m", "--multirun")  # as Hydra has it: a run for every combination of the values


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command, as `jaxmem.cli.main` has it."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if arguments is None:
        warnings.formatwarning = _as_line
    with lenient_streams() as output:
        status = _status(words)
        output.flush()
        if is_lost(output.fault):
            print(f"jaxmem: what was printed is lost: {output.fault}", file=sys.stderr)
            status = status or 2
    return status


def _as_line(message, category, filename, lineno, line=None) -> str:
    """Formats what was left out as the program says things; other warnings as Python does."""
    if issubclass(category, LeftOut):
        return f"jaxmem: {message}\n"
    return AS_PYTHON_SAYS(message, category, filename, lineno, line)


def _status(words: list[str]) -> int:
    try:
        return _dispatch(words)
    except (UsageError, ForeignError) as error:
        print(f"jaxmem: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except OSError as error:  # a full disk, or what somebody else does to files meanwhile
        where = f"{error.filename}: " if error.filename else ""
        print(f"jaxmem: {where}{error.strerror or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("jaxmem: interrupted", file=sys.stderr)
        return 130


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in (*HELP, "help"):
        print(help_of_all())
        return 0
    if words[0] == "--version":
        print(f"jaxmem {version('jaxmem')}")
        return 0
    if len(words) > 1 and words[1] in HELP and words[0] not in VERBS and _below(words[0]):
        print(help_of_many(words[0], _below(words[0])))
        return 0
    verb, rest = _verb(words)
    # A program of the user's has words of its own, which are none of ours.
    at = rest.index("--") if VERBS[verb].command and "--" in rest else len(rest)
    overrides, program = [FLAGS.get(word, word) for word in rest[:at]], rest[at + 1 :]
    if any(word in HELP for word in overrides):
        print(help_of(verb, [word for word in overrides if not word.startswith("-")]))
        return 0
    if SHOW_FLAG in overrides:
        print(_configuration(verb, overrides))
        return 0
    command = shlex.join(["jaxmem", *words])
    if VERBS[verb].command:
        return _run_with_program(verb, overrides, program, command)
    _keep_compiled_programs()
    if any(word in MANY for word in overrides):
        single = [word for word in overrides if word not in MANY]
        run_all = import_module("jaxmem.commands.multirun").run
        interruption.hear_again()
        return run_all(verb, single, command)
    given = _command_words(verb, overrides)
    return _run(verb, configure(verb, overrides, **given), command)


def _run_with_program(verb: str, overrides: list[str], program: list[str], command: str) -> int:
    """Runs a verb on a program, which sees the environment as it is."""
    if any(word in MANY for word in overrides):
        raise UsageError(f"jaxmem {verb} takes no -m ahead of --")
    if not program:
        raise UsageError(f"{verb}: which program? it stands after --; usage: {VERBS[verb].usage}")
    given = {**_command_words(verb, overrides), VERBS[verb].command: program}
    return _run(verb, configure(verb, overrides, **given), command)


def _run(verb: str, settings: Settings, command: str) -> int:
    # JAX takes a second to import: nothing that fails before should wait for it.
    run: Callable[[Settings, str], int] = import_module(_module(verb)).run
    interruption.hear_again()
    return run(settings, command)


def _configuration(verb: str, words: list[str]) -> str:
    """Shows the whole configuration of a verb, as YAML.

    Args:
        words: with `--cfg job` among them.
    """
    at = words.index(SHOW_FLAG)
    if words[at + 1 : at + 2] != ["job"]:
        raise UsageError(
            f"{SHOW_FLAG} shows one thing: {SHOW_FLAG} job, the configuration of the run"
        )
    rest = words[:at] + words[at + 2 :]
    if any(word in MANY for word in rest):
        raise UsageError(f"{SHOW_FLAG} job shows one configuration; leave {MANY[0]} and lists away")
    given, kind = _files(verb, rest), VERBS[verb]
    shown = configure(verb, rest, **given).plain()
    for missing in {kind.argument, kind.ahead, kind.command} - {"", *given}:
        del shown[missing]
    return yaml.safe_dump(shown, sort_keys=False, allow_unicode=True).rstrip()


def _command_words(verb: str, overrides: list[str]) -> dict[str, str]:
    """Takes the words that are no overrides, of which there has to be one where a verb has any."""
    argument = VERBS[verb].argument
    if argument and not overrides:
        raise UsageError(f"{verb}: which {argument}? usage: {VERBS[verb].usage}")
    return _files(verb, overrides)


def _files(verb: str, words: list[str]) -> dict[str, str]:
    """Takes the words from these that are no overrides: the first, and with it one more or none."""
    kind = VERBS[verb]
    if not kind.argument or not words:
        return {}
    more = [word for word in words[1:] if kind.ahead and not OVERRIDE.search(word)]
    if len(more) > 1:
        raise UsageError(
            f"{verb}: {words[0]} {' '.join(more)} are {len(more) + 1} files; usage: {kind.usage}"
        )
    given = [words[0], *more]
    words[:] = [word for word in words[1:] if word not in more]
    return dict(zip((kind.argument, kind.ahead), reversed(given), strict=False))


def _verb(words: list[str]) -> tuple[str, list[str]]:
    """Splits the words into the verb, which may be of two words, and the others."""
    for many in (1, 2):
        if (verb := " ".join(words[:many])) in VERBS:
            return _of_runs(verb, words[many:])
    first = words[0]
    if first in renamed.RENAMED_VERBS:
        raise UsageError(f"{first} is called {renamed.RENAMED_VERBS[first]} now: see jaxmem help")
    if below := _below(first):
        raise UsageError(f"{first}: one of {', '.join(below)}")
    raise UsageError(f"unknown command {first!r}; one of {', '.join(VERBS)}")


def _of_runs(verb: str, words: list[str]) -> tuple[str, list[str]]:
    """Returns `train runs` in place of `train` where it is asked for, by `workload=runs`."""
    if verb == "train" and words[:1] == ["runs"]:
        raise UsageError(f"train runs: write jaxmem train {LEARN_FROM_RUNS}")
    if verb == "train" and LEARN_FROM_RUNS in words:
        return "train runs", [word for word in words if word != LEARN_FROM_RUNS]
    return verb, words


def _below(first: str) -> list[str]:
    """Lists the verbs of two words that begin with this one."""
    return [verb for verb in VERBS if verb.startswith(f"{first} ")]


def _module(verb: str) -> str:
    """Names the module that runs a verb."""
    return f"jaxmem.commands.{file_of(verb).removesuffix('.yaml')}"


def _keep_compiled_programs() -> None:
    """Lets JAX keep what it compiles in the user's cache folder, for the next command."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = home / "jaxmem" / "compiled"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # no cache: every command compiles anew
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
