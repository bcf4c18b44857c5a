"""The store that a recording is kept in: where it may be, and what is said of it once it is."""

import glob
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jaxmem.configuration import UsageError
from jaxmem.settings.recordings import TraceImportSettings, TraceRecordSettings

if TYPE_CHECKING:
    from jaxmem.recordings import Recording


def check_out(settings: TraceImportSettings | TraceRecordSettings, name: str) -> Path:
    """Checks that the file can be written, and returns its path.

    Args:
        name: of the recording, by which the file is called where no `out` is given.

    Raises:
        UsageError: it is there already, or cannot be written.
    """
    from jaxmem.recordings.store import SUFFIX

    out = Path(f"{name}{SUFFIX}" if settings.out is None else settings.out)
    try:
        if out.exists():
            if not out.is_file():
                raise UsageError(f"out={out} is no ordinary file; take another")
            if not settings.overwrite:
                raise UsageError(
                    f"{out} is there already; take another out=FILE, or overwrite=true"
                )
        # Whether a file can be made there is known once one has been.
        probe = out.with_name(f".{out.name}.{os.getpid()}.probe")
        probe.touch()
        probe.unlink()
    except UsageError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise _unwritable(out, error) from None
    return out


def check_children(settings: TraceRecordSettings, out: Path) -> None:
    """Checks that no file of a child's recording is there already, where children are recorded.

    Raises:
        UsageError: one is, and may not be replaced.
    """
    from jaxmem.recordings.source import stem
    from jaxmem.recordings.store import SUFFIX

    if not settings.children or settings.overwrite:
        return
    pattern = f"{glob.escape(stem(out.name))}.[0-9][0-9][0-9]*{SUFFIX}"
    for taken in sorted(out.parent.glob(pattern)):
        raise UsageError(f"{taken} is there already; take another out=FILE, or overwrite=true")


def keep(out: Path, recording: "Recording", licence: str | None, console: Console) -> None:
    """Writes the store, with what may be done with it, and prints what is in it and where it is.

    Raises:
        UsageError: it cannot be written.
    """
    console.print(_table(_written(out, recording, licence)))
    console.print(Text.assemble("\n", (str(out), "bold")), soft_wrap=True)


def keep_children(
    out: Path, children: "Iterable[Recording | str]", licence: str | None, console: Console
) -> None:
    """Writes the recordings of child processes beside that of the first, and prints what they are.

    That of NAME.npz's first child is NAME.001.npz, and so on.

    Args:
        children: in their order; a text says why there is nothing to keep.

    Raises:
        UsageError: one cannot be written.
    """
    from jaxmem.recordings.source import printable, stem
    from jaxmem.recordings.store import SUFFIX

    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("child", "program", "requests", "peak live"):
        table.add_column(title, overflow="fold")
    nothing: Counter[str] = Counter()
    for child in children:
        if isinstance(child, str):
            nothing[child] += 1
            continue
        path = out.with_name(f"{stem(out.name)}.{table.row_count + 1:03}{SUFFIX}")
        child = _written(path, replace(child, name=stem(path.name)), licence)
        requests, peak = f"{child.requests:,}", f"{child.peak_live:,} {child.about.units}"
        table.add_row(str(path), Text(printable(child.about.program)), requests, peak)
    console.print("", table if table.row_count else "no child process was recorded")
    for reason, many in nothing.items():
        console.print(f"child processes without a recording: {many:,} ({reason})")


def _written(out: Path, recording: "Recording", licence: str | None) -> "Recording":
    """Writes the store, and returns the recording with its licence."""
    from jaxmem.recordings import write_store

    if licence is not None:
        licence = " ".join(licence.split())
        recording = replace(recording, about=replace(recording.about, licence=licence))
    try:
        write_store(out, recording)
    except (OSError, ValueError) as error:
        raise _unwritable(out, error) from None
    return recording


def _unwritable(out: Path, error: Exception) -> UsageError:
    return UsageError(f"out={out} cannot be written: {getattr(error, 'strerror', None) or error}")


def _table(recording: "Recording") -> Table:
    """Lists what a recording holds, a line for each thing."""
    from jaxmem.recordings.source import printable

    about = recording.about
    table = Table.grid(padding=(0, 2))
    for name, value in (
        ("recording", recording.name),
        ("program", about.program),
        ("format", about.format),
        ("events", f"{recording.events:,}"),
        ("requests", f"{recording.requests:,}"),
        ("peak live", f"{recording.peak_live:,} {about.units}"),
        ("call sites", f"{recording.sites:,}" if recording.sites else ""),
        ("reserved", f"{about.reserved:,} bytes by its own allocator" if about.reserved else ""),
        *(("note", note) for note in about.notes),
        ("licence", about.licence),
    ):
        if value:
            table.add_row(name, Text(printable(value)))
    return table
