"""Functions of others, called: what one raises, or returns amiss, is told in one line."""

import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jax


class ForeignError(ValueError):
    """A function from outside the package raises, or returns what it must not."""


def call(what: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls a function that somebody else may have written.

    Args:
        what: whose it is, as "rule apart".

    Raises:
        ForeignError: it raises; says what, and where in its file.
    """
    try:
        return function(*arguments)
    except ForeignError:
        raise
    except Exception as error:
        first = (str(error).splitlines() or [""])[0].rstrip(":")
        said = f"{type(error).__name__}: {first}"
        raise ForeignError(f"{what} raises {said}{_line_of(function, error)}") from error


def array_of(
    what: str, found: Any, wanted: str, *, shape: tuple | None = (), whole: bool = False
) -> "jax.Array":
    """Returns what a function of somebody else's gave, as an array.

    Args:
        wanted: what it should be, in words.
        shape: None: any.
        whole: of whole numbers.

    Raises:
        ForeignError: it is no array, or one of another kind or shape.
    """
    # The program knows the error above, and should not wait for JAX.
    import jax
    import jax.numpy as jnp
    import numpy as np

    if not isinstance(found, (jax.Array, np.ndarray, np.generic, int, float)):
        raise ForeignError(f"{what} returns {type(found).__name__}; it must be {wanted}")
    array = jnp.asarray(found)
    good = not whole or jnp.issubdtype(array.dtype, jnp.integer)
    if not good or shape not in (None, array.shape):
        given = f"{array.dtype}[{', '.join(map(str, array.shape))}]"
        raise ForeignError(f"{what} returns {given}; it must be {wanted}")
    return array


def _line_of(function: Callable[..., Any], error: Exception) -> str:
    """Says the last line of the function's file that the error passed through, if any."""
    code = getattr(function, "__code__", None)
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if code is not None and frame.filename == code.co_filename
    ]
    return f" ({code.co_filename}, line {lines[-1]})" if code is not None and lines else ""
