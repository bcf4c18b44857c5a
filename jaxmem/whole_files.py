"""Files that are written whole or not at all: a full disk or a kill leaves no half a file."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

Target = str | os.PathLike[str] | IO[bytes]  # where a picture goes: a path or an open file


@contextmanager
def written_whole(path: Path | str) -> Iterator[IO[bytes]]:
    """Opens a file that takes the place of `path` when the `with` block ends, if it ends well.

    Raises:
        OSError: it cannot be written; its filename is `path`.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        with suppress(OSError):
            partial.unlink()


def write_whole(path: Path | str, content: bytes | str) -> None:
    """Writes bytes, or text in UTF-8; raises OSError as `written_whole` does."""
    if isinstance(content, str):
        # Names of files may be no UTF-8, and stand in the text as lone surrogates.
        content = content.encode("utf-8", "backslashreplace")
    with written_whole(path) as file:
        file.write(content)


def write_to(target: Target, content: bytes) -> None:
    """Writes a whole file where `target` is its path, else into the open file."""
    if isinstance(target, str | os.PathLike):
        write_whole(Path(target), content)
    else:
        target.write(content)


def unwritable(error: OSError) -> str:
    """Writes the line for a user whose file could not be written."""
    where = f"{error.filename} cannot be written" if error.filename else "nothing can be written"
    return f"{where}: {error.strerror or error}"
