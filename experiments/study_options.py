"""The options of an experiment: the fields of a dataclass, as `name=value` on the command line."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TypeVar, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

Options = TypeVar("Options")


def read_options(kind: type[Options], words: Sequence[str]) -> Options:
    """Reads the options, each of which has a default; SystemExit for others, with those there are.

    Args:
        kind: a dataclass.
    """
    usual = OmegaConf.structured(kind)
    try:
        given = OmegaConf.merge(usual, OmegaConf.from_dotlist(list(words)))
        return cast(Options, OmegaConf.to_object(given))
    except OmegaConfBaseException as error:
        known = ", ".join(f"{name}={value}" for name, value in asdict(kind()).items())  # pyright: ignore
        reason = str(error).splitlines()[0]
        raise SystemExit(f"{' '.join(words)}: {reason}; options: {known}") from None
