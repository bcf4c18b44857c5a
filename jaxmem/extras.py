"""Packages that come with an extra of jaxmem, imported only when they are asked for."""

from importlib import import_module
from typing import Any


class MissingExtraError(ValueError):
    """What was asked for needs a package that is not there: the message says how to get it."""


def extra(module: str, name: str, asked: str) -> Any:
    """The module.

    Args:
        name: of the extra that brings it.
        asked: what needs it, as a user asked for it.

    Raises:
        MissingExtraError: it cannot be imported.
    """
    try:
        return import_module(module)
    except ImportError as error:
        reason = "" if isinstance(error, ModuleNotFoundError) and error.name == module else error
        raise MissingExtraError(
            f"{asked} needs {module}, which comes with pip install 'jaxmem[{name}]'"
            + (f": {reason}" if reason else "")
        ) from error
