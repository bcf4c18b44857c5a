"""The folder that a command leaves its results in."""

import io
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from jaxmem.configuration import UsageError
from jaxmem.render.report import markdown_table

CONFIG, RESULTS, CHECKPOINTS = "config.yaml", "results.json", "checkpoints"
SEQUENCES, OFFSETS = "sequences.npz", "offsets.csv"


class RunFolder:
    """One folder: config.yaml, results.json, table.md, and the pictures of a command."""

    def __init__(self, verb: str, subject: str, out: str | None, overwrite: bool) -> None:
        """Makes the folder, or says why it cannot be used.

        Raises:
            UsageError: it holds results already and `overwrite` is false, or it cannot be written.
        """
        self.path = Path(out) if out is not None else _named_after(verb, subject)
        if (self.path / RESULTS).exists() and not overwrite:
            raise UsageError(
                f"{self.path} already holds results, which are kept; take another out=DIR, or "
                "overwrite=true"
            )
        if (self.path / CHECKPOINTS).exists() and not overwrite:
            raise UsageError(
                f"{self.path} holds a run that was stopped; resume={self.path} goes on with it, "
                "overwrite=true begins anew"
            )
        self._new = [path for path in (self.path, *self.path.parents) if not path.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            reason = error.strerror or str(error)
            raise UsageError(f"out={self.path} cannot be written: {reason}") from None

    def file(self, name: str) -> Path:
        """The path of a file in the folder."""
        return self.path / name

    @contextmanager
    def kept_if_whole(self) -> Iterator[None]:
        """Within it, an error or an interruption takes the folder away again, if nothing is in it.

        For commands that write all they have at the end.
        """
        try:
            yield
        except BaseException:
            for path in self._new:
                if not any(path.iterdir()):
                    path.rmdir()
            raise

    def write_config(self, config: dict[str, Any], command: str) -> None:
        """config.yaml: what was asked for, with every default, below the command."""
        line = " ".join(command.splitlines())
        self._write(CONFIG, f"# {line}\n{yaml.safe_dump(config, sort_keys=False)}")

    def write_results(self, results: dict[str, Any]) -> None:
        """results.json, and table.md if it compares policies."""
        if "policies" in results:
            self._write("table.md", markdown_table(results))
        self._write(RESULTS, json.dumps(results, indent=1, allow_nan=False) + "\n")

    def write_table(self, markdown: str) -> None:
        """table.md, of a command that compares no policies by their failures."""
        self._write("table.md", markdown)

    def write_packing(self, lines: Iterable[str]) -> None:
        """offsets.csv: where each block of a recording lies in the best packing found."""
        self._write(OFFSETS, "\n".join(lines) + "\n")

    def write_sequences(self, failed: Mapping[str, np.ndarray]) -> None:
        """sequences.npz: failed requests in % of each test sequence (float64[P]), by policy.

        In it are `policies` (str[K], their names) and `failed_requests` (float64[K, P]).
        """
        packed = io.BytesIO()
        columns = np.stack(list(failed.values()))
        np.savez_compressed(packed, policies=np.array(list(failed)), failed_requests=columns)
        self._replace(SEQUENCES, packed.getvalue())

    def _write(self, name: str, text: str) -> None:
        self._replace(name, text.encode())

    def _replace(self, name: str, content: bytes) -> None:
        # Whole or not at all: a run killed here leaves no half a file.
        partial = self.file(f".{name}.partial")
        partial.write_bytes(content)
        os.replace(partial, self.file(name))


def is_finished(folder: Path) -> bool:
    """Whether the folder holds the results of a whole run: of a training that was not stopped."""
    try:
        results = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
        return "training" not in results or bool(results["training"]["finished"])
    except (OSError, ValueError, KeyError, TypeError):
        return False  # none, or broken ones: they are made again


def new_path(name: str) -> Path:
    """A folder under runs/ that does not exist yet: the name, and the time."""
    moment = datetime.now().strftime("%Y%m%d-%H%M%S")
    base = Path("runs") / f"{name}-{moment}"
    number, path = 1, base
    while path.exists():
        number += 1
        path = base.with_name(f"{base.name}-{number}")
    return path


def _named_after(verb: str, subject: str) -> Path:
    return new_path(f"{verb}-{re.sub(r'[^a-z0-9]+', '-', subject.lower())}")
