"""The recordings that ship inside the package, by name."""

from importlib.resources import as_file, files
from importlib.resources.abc import Traversable

from jaxmem.names import nearest
from jaxmem.recordings.formats import read_trace
from jaxmem.recordings.recording import Recording

LIBRARY_SUFFIXES = (".csv.gz", ".npz")


def library_names() -> tuple[str, ...]:
    """Lists the names of the recordings in the library, sorted."""
    return tuple(sorted(_files()))


def load_library(name: str) -> Recording:
    """Loads the recording `name` of the library; `library/README.md` says what each is.

    Raises ValueError, with the nearest names, for a name that is not in `library_names()`.
    """
    known = _files()
    if name not in known:
        near = nearest(str(name), sorted(known))
        raise ValueError(f"no recording {name!r} in the trace library{near}")
    with as_file(known[name]) as path:
        return read_trace(path)


def _files() -> dict[str, Traversable]:
    """Finds the file of each recording, by name."""
    folder = files("jaxmem.recordings") / "library"
    return {
        file.name.removesuffix(suffix): file
        for file in folder.iterdir()
        for suffix in LIBRARY_SUFFIXES
        if file.name.endswith(suffix)
    }
