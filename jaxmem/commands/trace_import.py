"""`jaxmem trace import FILE`."""

from pathlib import Path
from typing import Any

from jaxmem.commands import checked, terminal
from jaxmem.commands.stores import check_device, check_out, keep
from jaxmem.render.progress import ReadingDisplay


def run(config: dict[str, Any], command: str) -> int:
    """Reads the file, writes the store, prints what is in it and where it is."""
    del command
    # They bring JAX, which what fails before should not wait for.
    from jaxmem.recordings import read_trace
    from jaxmem.recordings.source import stem

    console = terminal()
    file, device = Path(config["file"]), check_device(config)
    out = check_out(config, stem(file.name))
    with ReadingDisplay(console, file.name) as display:
        recording = checked(read_trace, file, config["format"], display.report, device)
    keep(out, recording, config, console)
    return 0
