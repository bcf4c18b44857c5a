"""metrics.jsonl: where a training run stood, a line for each validation of each member."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxmem.learning.member_state import ValidationPoint

FILE = "metrics.jsonl"
# Of a report, what depends on nothing but the run: a run made again has the same lines.
_TIMES = ("seconds", "steps_per_second")


class MetricsFile:
    """Listens to a run and appends what it hears; a run that goes on begins the file anew."""

    def __init__(self, path: Path, tell: Callable[[str], None]) -> None:
        """
        Args:
            tell: is told if the file cannot be written; the run goes on.
        """
        self._path, self._tell = path, tell
        self._lines: list[str] = []
        self._whole = False  # the file holds these lines and no others

    def started(self, references: dict[str, float], steps: int, members: Sequence[int]) -> None:
        """Writes nothing: nothing is reported yet."""

    def report(self, member: int, at: "ValidationPoint") -> None:
        """Adds a line, or all of them, if the last could not be written."""
        known = {
            name: value for name, value in dataclasses.asdict(at).items() if name not in _TIMES
        }
        self._lines.append(json.dumps({"member": member, **known}) + "\n")
        try:
            with self._path.open("a" if self._whole else "w", encoding="utf-8") as file:
                file.writelines(self._lines[-1:] if self._whole else self._lines)
        except OSError as error:
            self._whole = False
            self._tell(f"{self._path} cannot be written: {error.strerror}; training goes on")
        else:
            self._whole = True
