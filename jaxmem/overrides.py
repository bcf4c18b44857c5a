"""Words of a command line, key=value, read as Hydra reads them; paths are taken as they stand."""

import os
import re
import shlex
from collections.abc import Iterator, Sequence

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from jaxmem import renamed

OPEN = ("grid", "space")  # under which any of the learner's settings may stand
# Settings that are text, whatever signs are in it, and what each must be.
AS_GIVEN = {
    "workload.path": "a file",
    "workload.name": "the name of a recording",
    "out": "a path",
    "resume": "a folder",
    "reference": "the name of a policy",
    "licence": "a text",
}
ONE = ("out", "resume")  # of these, which have one value also where others list several
NAME_LISTS = "policies"  # a list of names and paths
RULED = (NAME_LISTS, "reference", "base_policy")  # ends of keys whose values name rules
QUOTES = ("'", '"')
ELEMENT = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^,]*?)\s*(?:,|$)""", re.DOTALL)
FUNCTION = re.compile(r"\w+\(")  # as range(0,3), which lists values
PLAIN_NAME = re.compile(r"[\w-]*")


SHORT = 100  # characters of a word in a message


class UsageError(ValueError):
    """A user asks for what cannot be done: one line says what was given and what may be."""


def parsed(overrides: Sequence[str], loader: ConfigLoader | None = None) -> list[Override]:
    """Parses the overrides as Hydra reads them.

    Args:
        loader: knows the choices that learner=glob(*) stands for; with it, commas list values.

    Raises:
        UsageError: one that does not parse, or asks Hydra for more than a value.
    """
    parser = OverridesParser.create(config_loader=loader)
    found: list[Override] = []
    for text in overrides:
        line = _line(text, parser, several=loader is not None)
        override = _parse(parser, line)
        if override is None:
            raise UsageError(f"{brief(text)} is not an override; {_advice(text)}")
        _check_override(text, override)
        found.append(override)
    return found


def quoted(text: str) -> str:
    """Quotes the text as an override writes one in which nothing has a meaning of its own."""
    # Backslashes have one before a quote only, which the closing one is.
    escaped = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + found[2].replace("'", "\\'"), text)
    return f"'{escaped}'"


def _parse(parser: OverridesParser, line: str) -> Override | None:
    try:
        return parser.parse_overrides([line])[0]
    except (HydraException, ValueError, RecursionError):
        # ValueError: of Python, for a number of more than 4,300 digits.
        return None


def _line(text: str, parser: OverridesParser, several: bool) -> str:
    """Writes the override as Hydra is to read it."""
    key, _, value = text.partition("=")
    name = key.lstrip("+")
    if name in AS_GIVEN and value not in ("", "null"):
        return _as_given(text, parser, several and name not in ONE)
    if name == NAME_LISTS and value.startswith("["):
        return _as_names(text, parser)
    if name.startswith(tuple(f"{above}." for above in OPEN)):
        return f"+{text.lstrip('+')}"  # what is swept has no default to override: it is added
    return text


def _as_given(text: str, parser: OverridesParser, several: bool) -> str:
    """Writes an override whose value is taken as it stands, but for a text in quotes."""
    key, _, value = text.partition("=")
    override = _parse(parser, text)
    if override is not None and value.startswith(QUOTES):
        return text
    if several and override is not None and FUNCTION.match(value):
        return text
    if several and "," in value:
        return f"{key}={','.join(_elements(value))}"
    if override is not None and value[0] in "[{":
        name = key.lstrip("+")
        kind = "a list" if value[0] == "[" else "a dictionary"
        raise UsageError(
            f"{name} is {kind}; it must be {AS_GIVEN[name]} (one of that name is written "
            f"{_in_quotes(key, value)})"
        )
    return f"{key}={quoted(value)}"


def _as_names(text: str, parser: OverridesParser) -> str:
    """Writes an override that lists names and paths, each of which is taken as it stands."""
    key, _, value = text.partition("=")
    override = _parse(parser, text)
    if override is not None and override.is_sweep_override():
        return text
    names = override.value() if override is not None else None
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        _check_commas(text, [str(name) for name in names])
        return text
    if not value.endswith("]"):
        return text
    elements = _elements(value[1:-1])
    _check_commas(text, [element[1:-1] for element in elements])
    return f"{key}=[{','.join(elements)}]"


def _elements(listed: str) -> list[str]:
    """Splits at commas, but for those in quotes, which divide nothing."""
    # The pattern also matches nothing at the end, where no comma is left open.
    found = [match[1] for match in ELEMENT.finditer(f"{listed},") if match[0]]
    return [
        name if len(name) > 1 and name[0] in QUOTES and name[-1] == name[0] else quoted(name)
        for name in found
    ]


def _check_commas(text: str, names: list[str]) -> None:
    """Raises UsageError where neighbours in a list are the parts of one path that is there."""
    for first in range(len(names)):
        for end in range(first + 2, len(names) + 1):
            parts = names[first:end]
            path = ",".join(parts)
            if all(PLAIN_NAME.fullmatch(part) for part in parts) or not os.path.exists(path):
                continue
            key = text.partition("=")[0]
            listed = ",".join([*names[:first], f'"{path}"', *names[end:]])
            raise UsageError(
                f"{text!r}: a comma ends a name; a path that has one is quoted: "
                + shlex.quote(f"{key}=[{listed}]")
            )


def _advice(text: str) -> str:
    """Says how to write what Hydra cannot read."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        return "write key=value"
    if value.startswith(("[", "{")):
        return 'write key=value, and in a list quote what has signs in it, as key=[1,"a=b"]'
    if len(text) > SHORT:
        return "write key=value, and quote a value with signs in it"
    return f"write key=value, and quote a value with signs in it: {_in_quotes(key, value)}"


def brief(text: str) -> str:
    """Quotes a word for a message; of a long one, its beginning."""
    return repr(shortened(text))


def shortened(text: str) -> str:
    """Returns a word for a message; of a long one, its beginning."""
    return text if len(text) <= SHORT else f"{text[:SHORT]}..."


def _in_quotes(key: str, value: str) -> str:
    """Writes the override as a shell takes it, with a value that Hydra takes as text."""
    inner = f'"{value}"' if '"' not in value and not value.endswith("\\") else quoted(value)
    return shlex.quote(f"{key}={inner}")


def _check_override(text: str, override: Override) -> None:
    """Raises UsageError where an override asks for more than a value."""
    if override.is_delete():
        raise UsageError(f"{text!r} takes a setting away, and each must be there; write key=value")
    if override.package is not None:
        raise UsageError(f"{text!r}: no other place can be named with @; write key=value")
    value = None if override.is_sweep_override() else override.value()
    key = str(override.key_or_group)
    if (new := renamed.new_key(key)) is not None:
        raise UsageError(f"{text!r}: {key} is called {new} now")
    if key.endswith(RULED) and (
        old := [rule for rule in _texts(value) if rule in renamed.RENAMED_RULES]
    ):
        raise UsageError(f"{text!r}: {old[0]} is called {renamed.RENAMED_RULES[old[0]]} now")
    # Words between underscores are orders to Hydra: _target_ names what is to be called.
    words = [*re.split(r"[./]", key), *_inner_keys(value)]
    if orders := [word for word in words if re.fullmatch(r"_\w+_", word)]:
        raise UsageError(f"{text!r}: {orders[0]} cannot be set on the command line")
    # It would fetch secrets of the environment into messages and results.
    if any("${" in inner for inner in (*_texts(value), *words)):
        raise UsageError(
            f"{text!r}: ${{...}} is not filled in; write the value itself, or have the shell do so"
        )


def _inner_keys(value: object) -> Iterator[str]:
    """Yields the keys of all dictionaries in a value."""
    if isinstance(value, dict):
        yield from map(str, value)
    for inner in _inner(value):
        yield from _inner_keys(inner)


def _texts(value: object) -> Iterator[str]:
    """Yields all texts in a value but keys."""
    if isinstance(value, str):
        yield value
    for inner in _inner(value):
        yield from _texts(inner)


def _inner(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
