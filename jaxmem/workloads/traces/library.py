"""The recordings that ship inside the package, by name."""

from importlib.resources import as_file, files
from importlib.resources.abc import Traversable

from jaxmem.names import nearest
from jaxmem.workloads.traces.formats import read_trace
from jaxmem.workloads.traces.recording import Recording

SUFFIX = ".csv.gz"


def library_names() -> tuple[str, ...]:
    """The names of the recordings in the library, sorted."""
    names = (file.name for file in _folder().iterdir())
    return tuple(sorted(name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)))


def load_library(name: str) -> Recording:
    """The recording `name` of the library; `library/README.md` says what each is.

    Raises ValueError, with the nearest names, for a name that is not in `library_names()`.
    """
    names = library_names()
    if name not in names:
        raise ValueError(f"no recording {name!r} in the trace library{nearest(str(name), names)}")
    with as_file(_folder() / f"{name}{SUFFIX}") as path:
        return read_trace(path)


def _folder() -> Traversable:
    return files("jaxmem.workloads.traces") / "library"
