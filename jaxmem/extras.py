"""Packages that come with an extra of jaxmem: imported only when asked for, and how to get them."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

PACKAGE = Path(__file__).resolve().parent


class MissingExtraError(ValueError):
    """A package that is needed is not there: the message says how to get it."""


def extra(module: str, name: str, asked: str) -> ModuleType:
    """Imports the module.

    Args:
        name: of the extra that brings it.
        asked: what needs it, as a user asked for it.

    Raises:
        MissingExtraError: it cannot be imported.
    """
    try:
        return import_module(module)
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == module
        reason = "" if missing else f" ({error})"
        raise MissingExtraError(f"{asked} needs {module}{reason}: {how_to_get(name)}") from error


def how_to_get(name: str, program: str = "jaxmem ...") -> str:
    """Says what to type for an extra, where this package was installed as it was.

    Args:
        program: what is run with it.
    """
    if is_clone():
        return f"uv run --extra {name} {program}, or pip install '.[{name}]', in the clone"
    pip = "pip" if find_spec("pip") else "uv pip"
    return f"{pip} install 'jaxmem[{name}]', or in a clone {pip} install '.[{name}]'"


def is_clone() -> bool:
    """Tells whether the package is used where its sources are, not as installed from a wheel."""
    return (PACKAGE.parent / "pyproject.toml").is_file()
