"""Runs of one program on other inputs, six of each, and which of them are learned from.

They ship inside the package, beside the library of single recordings. A run is a `Recording` whose
call sites compare with those of the others.
"""

import json
from importlib.resources import as_file, files
from importlib.resources.abc import Traversable
from typing import NamedTuple

from jaxmem.names import nearest
from jaxmem.recordings.formats import read_trace
from jaxmem.recordings.recording import Recording
from jaxmem.recordings.store import SUFFIX

RUNS_A_FAMILY = 6  # of a family


class Split(NamedTuple):
    """Numbers of runs, 1 to RUNS_A_FAMILY, none of them twice."""

    learn: tuple[int, ...]
    choose: tuple[int, ...]  # between what was learned
    test: tuple[int, ...]


def family_names() -> tuple[str, ...]:
    """Lists the names of the families, sorted."""
    return tuple(sorted(entry.name for entry in _folder().iterdir() if entry.is_dir()))


def family(name: str) -> tuple[Recording, ...]:
    """Loads the runs 1 to RUNS_A_FAMILY of a family; `library/README.md` says what each is.

    Raises ValueError, with the nearest names, for a name that is not in `family_names()`.
    """
    if name not in family_names():
        raise ValueError(f"no family of runs {name!r}{nearest(str(name), family_names())}")
    runs = []
    for number in range(1, RUNS_A_FAMILY + 1):
        with as_file(_folder() / name / f"{number}{SUFFIX}") as path:
            runs.append(read_trace(path))
    return tuple(runs)


def splits() -> dict[str, Split]:
    """Returns the splits by name, fixed before anything was learned.

    `few` has one run to learn from, as a user has at first; `some` has three, which is enough to
    foretell runs from each other; `many` has all but the last two. What is learned is chosen by
    runs that it has not seen, and judged by runs that neither has.
    """
    stored = json.loads((_folder() / "splits.json").read_text(encoding="utf-8"))
    return {
        name: Split(*(tuple(split[part]) for part in Split._fields))
        for name, split in stored.items()
    }


def _folder() -> Traversable:
    return files("jaxmem.recordings") / "library" / "families"
