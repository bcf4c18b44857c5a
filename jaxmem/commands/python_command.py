"""Command lines of Python: the interpreter, its own options, and what it is to run."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

INTERPRETER = re.compile(r"python(\d+(\.\d+)*)?(\.exe)?")
RUNS = ("-c", "-m")  # options whose value is what is run
# Letters of options, the first of them that takes a value, and what stands behind it.
VALUED = re.compile(r"-([^-cmXW]*)([cmXW])(.*)", re.DOTALL)
LONG_VALUED = "--check-hash-based-pycs"


class PythonCommand(NamedTuple):
    """A command line of Python."""

    interpreter: str
    options: tuple[str, ...]  # of the interpreter itself
    target: tuple[str, ...]  # FILE, -m MODULE or -c CODE, with arguments; empty: an open prompt

    @property
    def command(self) -> list[str]:
        """The words as a shell runs them."""
        return [self.interpreter, *self.options, *self.target]

    @property
    def name(self) -> str:
        """The name of the command: that of the file or module that is run."""
        if not self.target or self.target[0] == "-c":
            return "python"
        if self.target[0] == "-m":
            return "".join(self.target[1:2])
        return Path(self.target[0]).name.removesuffix(".py")


def python_command(command: Sequence[str]) -> PythonCommand | None:
    """Reads the command as one of Python; None where it is another program.

    `FILE.py ...` and `-m MODULE ...` stand for this interpreter with these words.
    """
    first = command[0]
    if first == "-m" or first.endswith(".py"):
        return PythonCommand(sys.executable, (), tuple(command))
    if first == sys.executable or INTERPRETER.fullmatch(Path(first).name):
        return PythonCommand(first, *_split(list(command[1:])))
    return None


def _split(words: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Splits the interpreter's own options off: -Wd -Im a b is -Wd -I, and -m a b."""
    options: list[str] = []
    while words and words[0].startswith("-") and words[0] != "-":
        word = words.pop(0)
        valued = VALUED.fullmatch(word)
        if valued is None:
            options += [word, *_first(words)] if word == LONG_VALUED else [word]
            continue
        letters, letter, value = valued.groups()
        values = [value] if value else _first(words)
        if f"-{letter}" in RUNS:
            return (*options, *([f"-{letters}"] if letters else [])), (
                f"-{letter}",
                *values,
                *words,
            )
        options += [word] if value else [word, *values]
    return tuple(options), () if words[:1] == ["-"] else tuple(words)


def _first(words: list[str]) -> list[str]:
    """Takes the first word from the others, where there is one."""
    return [words.pop(0)] if words else []
