"""`jaxmem trace import FILE`."""

from pathlib import Path

from jaxmem.commands import checked, terminal
from jaxmem.commands.trace_file import check_out, keep
from jaxmem.render.progress import ReadingDisplay
from jaxmem.settings.recordings import TraceImportSettings


def run(settings: TraceImportSettings, command: str) -> int:
    """Reads the file, writes the store, prints what is in it and where it is."""
    del command
    # They bring JAX, which what fails before should not wait for.
    from jaxmem.recordings import read_trace
    from jaxmem.recordings.source import stem

    console = terminal()
    file = Path(settings.file)
    out = check_out(settings, stem(file.name))
    with ReadingDisplay(console, file.name) as display:
        recording = checked(read_trace, file, settings.format, display.report, settings.device)
    keep(out, recording, settings.licence, console)
    return 0
