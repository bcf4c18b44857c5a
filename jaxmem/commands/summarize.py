"""`jaxmem summarize DIR`."""

import json
from pathlib import Path

from jaxmem.commands import tell_where, terminal
from jaxmem.configuration import UsageError
from jaxmem.evaluation.summary import summary_of
from jaxmem.render.summary import draw_summary, summary_markdown, summary_table
from jaxmem.runs import runs_below
from jaxmem.settings.verbs import SummarizeSettings
from jaxmem.whole_files import unwritable, write_whole


def run(settings: SummarizeSettings, command: str) -> int:
    """Reads the run folders, prints the table, writes summary.json, summary.md and summary.png."""
    console = terminal()
    folder = Path(settings.folder)
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder; usage: jaxmem summarize DIR [key=value ...]")
    runs, left_out = runs_below(folder)
    rows, twins = summary_of(runs)
    left_out |= twins
    if not rows:
        reasons = [f"{name}: {reason}" for name, reason in left_out.items()]
        found = f"; left out: {'; '.join(reasons)}" if reasons else ""
        raise UsageError(f"no finished run below {folder}{found}")
    summary = {"command": command, "folder": str(folder), "rows": rows, "left_out": left_out}
    # Shown first: a full disk is no reason to lose what was computed.
    console.print(summary_table(summary, console.width), "")
    out = folder if settings.out is None else Path(settings.out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        text = json.dumps(summary, indent=1, allow_nan=False)
        write_whole(out / "summary.json", f"{text}\n")
        write_whole(out / "summary.md", summary_markdown(summary))
        draw_summary(out / "summary.png", rows)
    except OSError as error:
        raise UsageError(unwritable(error)) from None
    tell_where(console, out, "summary.json, summary.md, summary.png")
    return 0
