"""The base of all settings: each field is checked against its annotation when they are made.

An annotation is bool, int, float, str, None or object; a tuple or mapping of them; `Literal` words;
other settings; or a union of these. `Annotated[int, whole(1, 8)]` says which values of a kind there
may be. In files a tuple is a list.
"""

import dataclasses
import functools
import reprlib
import types
from collections.abc import Callable, Mapping, Sequence
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    NamedTuple,
    Self,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from jaxmem.checks import is_number, is_whole
from jaxmem.names import nearest

LARGEST_WHOLE = 2**63 - 1
LARGEST_NUMBER = 2.0**128  # float32 goes up to it


class Limit(NamedTuple):
    """Which values of a kind there may be."""

    words: str
    holds: Callable[[Any], bool]


def whole(least: int, most: int = 2**31 - 1) -> Limit:
    """Allows whole numbers from `least` to `most`; without it, up to the largest int32."""
    words = f"of at least {least}, below 2^31" if most == 2**31 - 1 else f"from {least} to {most:,}"
    return Limit(f"a whole number {words}", lambda value: least <= value <= most)


def least(low: float) -> Limit:
    """Allows numbers of at least `low`."""
    return Limit(f"a number of at least {low:g}", lambda value: value >= low)


def above_0(most: float = LARGEST_NUMBER) -> Limit:
    """Allows numbers above 0."""
    upto = f", at most {most:g}" if most != LARGEST_NUMBER else ""
    return Limit(f"a number above 0{upto}", lambda value: 0.0 < value <= most)


def one_of(*words: str) -> Limit:
    """Allows some words."""
    return Limit(f"one of {', '.join(words)}", lambda value: value in words)


class OneOf(NamedTuple):
    """Allows the words of a table as it is when it is asked; a `Limit`."""

    allowed: Callable[[], tuple[str, ...]]

    @property
    def words(self) -> str:
        return f"one of {', '.join(self.allowed())}"

    def holds(self, value: object) -> bool:
        """Tells whether the value is one of them."""
        return value in self.allowed()


def some(words: str) -> Limit:
    """Allows lists of at least one element, described by `words`."""
    return Limit(words, lambda value: len(value) > 0)


def called(words: str) -> Limit:
    """Allows all values of the kind, and calls them `words`."""
    return Limit(words, lambda value: True)


Names = Annotated[tuple[str, ...], called("a list of names, as [a,b]")]
Folder = Annotated[str | None, called("a path, or null")]
Count = Annotated[int, whole(1)]
Index = Annotated[int, whole(0)]
Steps = Annotated[int, Limit("a whole number of at least 1", lambda value: value >= 1)]
Seed = Annotated[int, Limit("a whole number from 0 to 2^32 - 1", lambda value: 0 <= value < 2**32)]
Share = Annotated[float, Limit("a number from 0 to 1", lambda value: 0.0 <= value <= 1.0)]
Positive = Annotated[float, above_0()]
AtLeast0 = Annotated[float, least(0.0)]


class Settings:
    """Settings that stand together, under one name in a configuration or under none."""

    SECTION: ClassVar[str] = ""  # what stands before their names, as "evaluation"

    def __post_init__(self) -> None:
        for name, hint in hints_of(type(self)).items():
            check(self.key(name), getattr(self, name), hint)

    @classmethod
    def key(cls, name: str) -> str:
        """Writes the name of a field as a user sets it."""
        return f"{cls.SECTION}.{name}" if cls.SECTION else name

    @classmethod
    def read(cls, given: object) -> Self:
        """Makes them of what a configuration says, which must name each, and no other.

        Raises:
            ValueError: it does not, or a value cannot be; names what is allowed.
        """
        kind = cls.kind_of(given)
        hints = hints_of(kind)
        if not isinstance(given, Mapping) or set(given) != set(hints):
            raise ValueError(
                f"{cls.SECTION or 'the configuration'} is {shown(given)}; it has {', '.join(hints)}"
            )
        return kind(**{name: _read(given[name], hint) for name, hint in hints.items()})

    @classmethod
    def kind_of(cls, given: object) -> type[Self]:
        """Returns the class that `read` makes: this one, where there are no kinds of it."""
        del given
        return cls

    def plain(self) -> dict[str, Any]:
        """Writes them as a configuration file has them: mappings, lists, texts and numbers."""
        return {name: _plain(getattr(self, name)) for name in hints_of(type(self))}


def changed(
    settings: Settings, given: Mapping[str, object], what: str, fixed: Sequence[str] = ()
) -> dict[str, Any]:
    """Returns all fields, with other values for those that are given, as a file or Python has them.

    Args:
        what: is set, for messages.
        fixed: fields that cannot be.

    Raises:
        ValueError: there is no such field, with the nearest names.
    """
    hints = hints_of(type(settings))
    known = [name for name in hints if name not in fixed]
    for name in given:
        if name not in known:
            raise ValueError(f"{what} {name!r}{nearest(str(name), known)}")
    fields = {name: getattr(settings, name) for name in hints}
    return {**fields, **{name: _read(value, hints[name]) for name, value in given.items()}}


def check(name: str, value: object, hint: object) -> None:
    """Raises ValueError where the annotation `hint` does not allow the value, called `name`."""
    if not _fits(value, hint):
        raise ValueError(f"{name} is {shown(value)}; {_words(hint)}")


def shown(value: object) -> str:
    """Shows a value as it is written on a command line, in short."""
    if is_whole(value) and abs(value) > LARGEST_WHOLE:  # Python writes no number of 5,000 digits
        return f"a whole number of {value.bit_length():,} bits"
    return reprlib.repr(list(value) if isinstance(value, tuple) else value)


@functools.cache
def hints_of(kind: type[Settings]) -> dict[str, object]:
    """Returns the annotations of the fields, by name."""
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}  # pyright: ignore[reportArgumentType]


def _fits(value: object, hint: object) -> bool:
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _fits(value, inner[0]) and all(limit.holds(value) for limit in inner[1:])
    if origin in (Union, types.UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is Literal:
        return isinstance(value, str) and value in inner
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(element, inner[0]) for element in value)
    if origin is Mapping:
        return isinstance(value, dict) and all(isinstance(name, str) for name in value)
    if hint is int:
        return is_whole(value) and abs(value) <= LARGEST_WHOLE
    if hint is float:
        return is_number(value) and abs(value) < LARGEST_NUMBER  # which NaN is not
    return isinstance(hint, type) and isinstance(value, hint)


def _words(hint: object) -> str:
    """Says what an annotation allows."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return inner[1].words
    if origin in (Union, types.UnionType, Literal):
        words = _alternatives(hint)
        return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
    if origin is tuple:
        return f"a list, as [a,b], each {_words(inner[0])}"
    if origin is Mapping:
        return "a mapping, as {name: value}"
    named: dict[object, str]
    named = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    return named.get(hint, "null")


def _alternatives(hint: object) -> list[str]:
    """Says what each part of a union allows, and each word of `Literal`s in it."""
    if get_origin(hint) is Literal:
        return [str(word) for word in get_args(hint)]
    if get_origin(hint) in (Union, types.UnionType):
        return [words for one in get_args(hint) for words in _alternatives(one)]
    return [_words(hint)]


def _read(value: object, hint: object) -> object:
    """Makes the value of a field of what a configuration says of it."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _read(value, inner[0])
    if origin in (Union, types.UnionType):
        kinds = [one for one in inner if get_origin(bare(one)) is tuple]
        return _read(value, kinds[0]) if kinds else value
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_read(element, inner[0]) for element in value)
    if isinstance(hint, type) and issubclass(hint, Settings):
        return hint.read(value)
    return value


def bare(hint: object) -> object:
    """Returns the kind that an annotation is of, without its limits."""
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _plain(value: object) -> object:
    if isinstance(value, Settings):
        return value.plain()
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value
