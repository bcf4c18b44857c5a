"""The program: `jaxmem VERB [override ...]`."""

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

from jaxmem.configuration import (
    GROUPS,
    UsageError,
    choices_of,
    configuration_folder,
    configure,
)
from jaxmem.standard_streams import is_lost, lenient_streams
from jaxmem.verbs import FLAGS, VERBS, Verb

MANY = ("-m", "--multirun")  # as Hydra has it: a run for every combination of the values


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the exit status is 0, 2 for bad input, 130 after an interruption.

    After `trace record` it is that of the program.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    with lenient_streams() as output:
        status = _status(words)
        output.flush()
        if is_lost(output.fault):
            print(f"jaxmem: what was printed is lost: {output.fault}", file=sys.stderr)
            status = status or 2
    return status


def _status(words: list[str]) -> int:
    try:
        return _dispatch(words)
    except UsageError as error:
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
    if not words or words[0] in ("--help", "-h", "help"):
        print(_help())
        return 0
    if words[0] == "--version":
        print(f"jaxmem {version('jaxmem')}")
        return 0
    verb, rest = _verb(words)
    # A program of the user's has words of its own, which are none of ours.
    at = rest.index("--") if VERBS[verb].command and "--" in rest else len(rest)
    overrides, program = [FLAGS.get(word, word) for word in rest[:at]], rest[at + 1 :]
    if any(word in ("--help", "-h") for word in overrides):
        print(_verb_help(verb, VERBS[verb]))
        return 0
    command = shlex.join(["jaxmem", *words])
    if VERBS[verb].command:
        return _run_with_program(verb, overrides, program, command)
    _keep_compiled_programs()
    if any(word in MANY for word in overrides):
        single = [word for word in overrides if word not in MANY]
        return import_module("jaxmem.commands.multirun").run(verb, single, command)
    # JAX takes a second to import: nothing that fails before should wait for it.
    run: Callable[..., int] = import_module(f"jaxmem.commands.{_file(verb)}").run
    argument = VERBS[verb].argument
    if not argument:
        return run(configure(verb, overrides), command)
    if not overrides:
        raise UsageError(f"{verb}: which {argument}? usage: {VERBS[verb].usage}")
    return run({**configure(verb, overrides[1:]), argument: overrides[0]}, command)


def _run_with_program(verb: str, overrides: list[str], program: list[str], command: str) -> int:
    """Runs a verb on a program, which sees the environment as it is."""
    if any(word in MANY for word in overrides):
        raise UsageError(f"jaxmem {verb} takes no -m ahead of --")
    if not program:
        raise UsageError(f"{verb}: which program? it stands after --; usage: {VERBS[verb].usage}")
    run: Callable[..., int] = import_module(f"jaxmem.commands.{_file(verb)}").run
    return run({**configure(verb, overrides), VERBS[verb].command: program}, command)


def _verb(words: list[str]) -> tuple[str, list[str]]:
    """The verb that the words begin with, which may be of two words, and the others."""
    for many in (1, 2):
        if (verb := " ".join(words[:many])) in VERBS:
            return verb, words[many:]
    first = words[0]
    below = [verb for verb in VERBS if verb.startswith(f"{first} ")]
    if below:
        raise UsageError(f"{first}: one of {', '.join(below)}")
    raise UsageError(f"unknown command {first!r}; one of {', '.join(VERBS)}")


def _file(verb: str) -> str:
    """What the files of a verb are called."""
    return verb.replace(" ", "_")


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


def _help() -> str:
    longest = max(map(len, VERBS))
    verbs = "\n".join(f"  {name:{longest}}  {verb.summary}" for name, verb in VERBS.items())
    return (
        "jaxmem: learn where in memory a block should go\n\n"
        f"usage: jaxmem VERB [key=value ...]\n\n{verbs}\n\n"
        "jaxmem VERB --help shows what can be set, and examples."
    )


def _verb_help(name: str, verb: Verb) -> str:
    folder = configuration_folder()
    settings = (folder / f"{_file(name)}.yaml").read_text(encoding="utf-8").strip()
    parts = [
        f"jaxmem {name}: {verb.summary}",
        f"usage: {verb.usage}",
        "\n".join(["examples:", *(f"  {example}" for example in verb.examples)]),
    ]
    groups = [group for group in GROUPS if f"- {group}:" in settings]
    if groups:
        parts.append("choices, each with settings of its own, set as GROUP.key=value:")
    for group in groups:
        choices = choices_of(folder, group)
        abouts = (f"    {choice:22} {_about(folder / group, choice)}" for choice in choices)
        parts.append("\n".join([f"  {group}:", *abouts]))
    return "\n\n".join([*parts, f"settings and their defaults:\n\n{settings}"])


def _about(group: Path, choice: str) -> str:
    """The comment that the file of a choice begins with, after Hydra's own."""
    lines = (group / f"{choice}.yaml").read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if not line.startswith("# @")).removeprefix("# ")
