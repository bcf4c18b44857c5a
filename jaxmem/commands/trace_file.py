"""The store that a recording is kept in: where it may be, and what is said of it once it is."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jaxmem.configuration import UsageError
from jaxmem.settings.verbs import TraceImportSettings, TraceRecordSettings

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


def keep(out: Path, recording: "Recording", licence: str | None, console: Console) -> None:
    """Writes the store, with what may be done with it, and prints what is in it and where it is.

    Raises:
        UsageError: it cannot be written.
    """
    from jaxmem.recordings import write_store

    if licence is not None:
        licence = " ".join(licence.split())
        recording = replace(recording, about=replace(recording.about, licence=licence))
    try:
        write_store(out, recording)
    except (OSError, ValueError) as error:
        raise _unwritable(out, error) from None
    console.print(_table(recording))
    console.print(Text.assemble("\n", (str(out), "bold")), soft_wrap=True)


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
