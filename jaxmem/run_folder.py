"""The folder that a command leaves its results in."""

import io
import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Self

import numpy as np
import yaml

from jaxmem.configuration import UsageError
from jaxmem.locks import Lock, TakenError
from jaxmem.read_back import read_mapping
from jaxmem.render.report import markdown_table
from jaxmem.whole_files import unwritable, write_whole

CONFIG, RESULTS, CHECKPOINTS = "config.yaml", "results.json", "checkpoints"
SEQUENCES, OFFSETS = "sequences.npz", "offsets.csv"
LOCK = ".lock"


class RunFolder:
    """One folder: config.yaml, results.json, table.md, and the pictures of a command.

    To be used in a `with` block: within it no other process writes there. An error takes the folder
    away again, if nothing is in it.
    """

    def __init__(self, verb: str, subject: str, out: str | None, overwrite: bool) -> None:
        """Makes the folder, or says why it cannot be used.

        Raises:
            UsageError: it holds results already and `overwrite` is false, it cannot be written, or
                another run is at work in it.
        """
        self._config: str | None = None
        self._deleted = False
        try:
            self._make(verb, subject, out)
        except (OSError, ValueError) as error:  # ValueError: a null character in the path
            reason = getattr(error, "strerror", None) or str(error)
            raise UsageError(f"out={out or 'runs'} cannot be written: {reason}") from None
        self._lock = self._locked()
        try:
            self._check(overwrite)
        except BaseException:
            self._let_go()
            raise

    def _make(self, verb: str, subject: str, out: str | None) -> None:
        while True:
            self.path = _named_after(verb, subject) if out is None else Path(out)
            self._new = [path for path in (self.path, *self.path.parents) if not path.exists()]
            try:
                # One that is named here is new, even where two runs begin in the same second.
                self.path.mkdir(parents=True, exist_ok=out is not None)
                return
            except FileExistsError:
                if out is not None:
                    raise

    def _locked(self) -> Lock:
        try:
            return Lock(self.path / LOCK)
        except TakenError as holder:
            raise UsageError(
                f"{self.path}: another run is at work there ({holder}); take another out=DIR, or "
                "wait for its end"
            ) from None

    def _check(self, overwrite: bool) -> None:
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
        try:
            probe = self.path / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            reason = error.strerror or str(error)
            raise UsageError(f"out={self.path} cannot be written: {reason}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        there = self._is_there()
        self._let_go()
        if isinstance(error, OSError):
            raise UsageError(unwritable(error)) from error
        if error is None and not there:
            raise UsageError(f"{self.path} was deleted while the run went on: nothing is kept")
        if error is None and self._deleted:
            raise UsageError(
                f"{self.path} was deleted while the run went on; what it came to is there again, "
                "what it had written before is lost"
            )

    def _let_go(self) -> None:
        self._lock.release()
        with suppress(OSError):
            for path in self._new:
                path.rmdir()  # which only an empty one can be

    def _is_there(self) -> bool:
        return self.path.is_dir() and not self._lock.lost

    def file(self, name: str) -> Path:
        """Returns the path of a file in the folder, made again if somebody has deleted it."""
        if not self._is_there():
            self._deleted = True
            self._lock.release()
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = self._locked()  # which a new run may have by now
            if self._config is not None:
                write_whole(self.path / CONFIG, self._config)
        return self.path / name

    def write_config(self, config: Mapping[str, object], command: str) -> None:
        """Writes config.yaml: what was asked for, with every default, below the command."""
        line = " ".join(command.splitlines())
        self._config = f"# {line}\n{yaml.safe_dump(dict(config), sort_keys=False)}"
        self.write(CONFIG, self._config)

    def write_results(self, results: Mapping[str, object]) -> None:
        """Writes results.json, and table.md if it compares policies."""
        if "policies" in results:
            self.write_table(markdown_table(results))
        self.write(RESULTS, json.dumps(results, indent=1, allow_nan=False) + "\n")

    def write_table(self, markdown: str) -> None:
        """Writes table.md; of a command that compares no policies by their failures, its own."""
        self.write("table.md", markdown)

    def write_packing(self, lines: Iterable[str]) -> None:
        """Writes offsets.csv: where each block of a recording lies in the best packing found."""
        self.write(OFFSETS, "\n".join(lines) + "\n")

    def write_sequences(self, failed: Mapping[str, np.ndarray]) -> None:
        """Writes sequences.npz: failed requests in % of each test sequence (float64[P]), by policy.

        In it are `policies` (str[K], their names) and `failed_requests` (float64[K, P]).
        """
        packed = io.BytesIO()
        columns = np.stack(list(failed.values()))
        np.savez_compressed(packed, policies=np.array(list(failed)), failed_requests=columns)
        self.write(SEQUENCES, packed.getvalue())

    def write(self, name: str, content: bytes | str) -> None:
        """Writes a file, whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        write_whole(self.file(name), content)


def is_finished(folder: Path) -> bool:
    """Tells whether the folder holds results of a whole run: of a training not stopped."""
    try:
        results = read_mapping(folder / RESULTS)
        return "training" not in results or bool(results["training"]["finished"])
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return False  # none, or broken ones: they are made again


def new_path(name: str) -> Path:
    """Names a folder under runs/ that does not exist yet: the name, and the time."""
    moment = datetime.now().strftime("%Y%m%d-%H%M%S")
    base = Path("runs") / f"{name}-{moment}"
    number, path = 1, base
    while path.exists():
        number += 1
        path = base.with_name(f"{base.name}-{number}")
    return path


def _named_after(verb: str, subject: str) -> Path:
    return new_path(f"{verb}-{re.sub(r'[^a-z0-9]+', '-', subject.lower())}")
