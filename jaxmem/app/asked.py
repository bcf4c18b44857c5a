"""What the page asks of the process that works for it, and what it gets: plain data, no JAX."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class DrawnWorkload:
    """A workload that is drawn."""

    name: str
    cells: int | None = None  # None: its standard size


@dataclass(frozen=True)
class Recorded:
    """A recording of the library, whole."""

    name: str
    cells: int | None  # that it is cut into; None: as many as it needs
    slack: float  # memory / peak live bytes


@dataclass(frozen=True)
class Uploaded:
    """A trace that was uploaded, of any format that is safe to read."""

    data: bytes
    name: str
    cells: int | None  # that it is cut into; None: as many as it needs
    slack: float  # memory / peak live bytes


@dataclass(frozen=True)
class Judged:
    """What a comparison leaves on the page."""

    results: dict[str, Any]  # as in results.json
    comparison: bytes  # PNG
    memory: bytes  # PNG
    markdown: str  # the table as a Markdown page
    json: str  # the results as a file


@dataclass(frozen=True)
class JudgedInBytes:
    """What a recording in bytes leaves on the page."""

    table: str  # HTML
    memory: bytes  # PNG
    markdown: str  # the table as a Markdown page
    json: str  # the results as a file


@dataclass(frozen=True)
class Begun:
    """News of a run that has begun to learn."""

    references: dict[str, float]  # % failed on validation sequences, by fit
    steps: int  # that it will take


@dataclass(frozen=True)
class Point:
    """News of a run that learns: one more point of its curve."""

    steps: int
    failed: float  # % on validation sequences


@dataclass(frozen=True)
class Learned:
    """What a run comes to."""

    policy: bytes  # the file
    steps: int
    seconds: float
    sentences: tuple[str, ...]  # which rule it follows, and why it ended early
    failed: float  # % of the requests of test sequences
    best: str  # the fit that fails least on them
    best_failed: float  # %
    start: tuple[str, float] | None = None  # the rule that training starts from, and its failures
    kept_at: int | None = None  # steps after which the network was as it is kept
