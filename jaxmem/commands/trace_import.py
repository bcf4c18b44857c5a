"""`jaxmem trace import FILE`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jaxmem.commands import check_switch, checked
from jaxmem.configuration import UsageError
from jaxmem.render.progress import ReadingDisplay


def run(config: dict[str, Any], command: str) -> int:
    """Reads the file, writes the store, prints what is in it and where it is."""
    del command
    # They bring JAX, which what fails before should not wait for.
    from jaxmem.workloads.traces import read_trace, write_store
    from jaxmem.workloads.traces.source import stem
    from jaxmem.workloads.traces.store import SUFFIX

    console = Console(highlight=False)
    file = Path(config["file"])
    out = Path(f"{stem(file.name)}{SUFFIX}" if config["out"] is None else str(config["out"]))
    _check_out(out, check_switch(config, "overwrite"))
    with ReadingDisplay(console, file.name) as display:
        recording = checked(read_trace, file, config["format"], display.report)
    if config["licence"] is not None:
        licence = " ".join(str(config["licence"]).split())
        recording = replace(recording, about=replace(recording.about, licence=licence))
    try:
        write_store(out, recording)
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"out={out} cannot be written: {reason}") from None
    console.print(_table(recording))
    console.print(Text.assemble("\n", (str(out), "bold")), soft_wrap=True)
    return 0


def _check_out(out: Path, overwrite: bool) -> None:
    try:
        taken, ordinary = out.exists(), out.is_file()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"out={out} cannot be written: {reason}") from None
    if taken and not ordinary:
        raise UsageError(f"out={out} is no ordinary file; take another")
    if taken and not overwrite:
        raise UsageError(f"{out} is there already; take another out=FILE, or overwrite=true")


def _table(recording: Any) -> Table:
    """What a recording holds, a line for each thing."""
    about = recording.about
    from jaxmem.workloads.traces.source import printable

    table = Table.grid(padding=(0, 2))
    sites = "" if recording.site is None else f"{len(set(recording.site.tolist())):,}"
    for name, value in (
        ("recording", recording.name),
        ("program", about.program),
        ("format", about.format),
        ("events", f"{recording.events:,}"),
        ("requests", f"{recording.requests:,}"),
        ("peak live", f"{recording.peak_live:,} {about.units}"),
        ("call sites", sites),
        *(("note", note) for note in about.notes),
        ("licence", about.licence),
    ):
        if value:
            table.add_row(name, Text(printable(value)))
    return table
