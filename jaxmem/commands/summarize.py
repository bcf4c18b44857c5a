"""`jaxmem summarize DIR`."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console

from jaxmem.configuration import UsageError
from jaxmem.evaluation.summary import summary_of
from jaxmem.render.summary import draw_summary, summary_markdown, summary_table
from jaxmem.runs import runs_below


def run(config: dict[str, Any], command: str) -> int:
    """Reads the run folders, prints the table, writes summary.json, summary.md and summary.png."""
    console = Console(highlight=False)
    folder = Path(config["folder"])
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
    out = folder if config["out"] is None else Path(str(config["out"]))
    try:
        out.mkdir(parents=True, exist_ok=True)
        text = json.dumps(summary, indent=1, allow_nan=False)
        (out / "summary.json").write_text(f"{text}\n", encoding="utf-8")
        (out / "summary.md").write_text(summary_markdown(summary), encoding="utf-8")
        draw_summary(out / "summary.png", rows)
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror or error}") from None
    console.print(summary_table(summary, console.width))
    console.print(f"\n[bold]{out}[/bold]: summary.json, summary.md, summary.png")
    return 0
