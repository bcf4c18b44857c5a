"""`jaxmem bench`."""

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from jaxmem.commands import check_list, check_switch, checked
from jaxmem.configuration import UsageError
from jaxmem.evaluation.throughput import Setting, measure_throughput
from jaxmem.policies import policy
from jaxmem.render.curves import short_count
from jaxmem.render.progress import StagesDisplay
from jaxmem.run_folder import RunFolder
from jaxmem.workloads.registry import MAX_CELLS

MAX_ARENAS = 65_536
THRESHOLD = 5  # cells, of two_ended: any value costs the same


def run(config: dict[str, Any], command: str) -> int:
    """Measures, prints the table, writes the run folder."""
    console = Console()
    settings = [
        Setting(cells, arenas)
        for cells in _wholes(config, "cells", MAX_CELLS)
        for arenas in _wholes(config, "arenas", MAX_ARENAS)
    ]
    rounds, seconds = config["rounds"], config["seconds"]
    if not _is_whole(rounds, 1000):
        raise UsageError(f"rounds is {rounds!r}; it must be a whole number from 1 to 1000")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= 60:
        raise UsageError(f"seconds is {seconds!r}; it must be a number above 0, at most 60")
    parameters = THRESHOLD if config["policy"] == "two_ended" else None
    player = checked(policy, str(config["policy"]), parameters)
    folder = checked(
        RunFolder, "bench", player.name, config["out"], check_switch(config, "overwrite")
    )
    folder.write_config(config)
    with StagesDisplay(console) as display:
        found = measure_throughput(player, settings, rounds, seconds, display.report)
    folder.write_results({"command": command, "rounds": rounds, **found})
    console.print(_table(found))
    console.print(f"\n[bold]{folder.path}[/bold]: results.json")
    return 0


def _table(found: dict[str, Any]) -> Table:
    player = found["environment"][0]["policy"]
    title = f"{player}: environment steps a second, median (middle half) on {found['device']}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for header in ("cells", "arenas", "a second", "a CPU second", "compile"):
        table.add_column(header, justify="right", no_wrap=True)
    for row in found["environment"]:
        table.add_row(
            str(row["cells"]),
            f"{row['arenas']:,}",
            _spread(row["steps_per_second"]),
            _spread(row["per_cpu_second"]),
            f"{row['compile_seconds']:.1f} s",
        )
    return table


def _spread(figure: dict[str, float]) -> str:
    low, high = short_count(figure["low"]), short_count(figure["high"])
    return f"{short_count(figure['median'])} ({low}, {high})"


def _wholes(config: dict[str, Any], name: str, most: int) -> list[int]:
    values = check_list(config, name)
    if not values or not all(_is_whole(value, most) for value in values):
        raise UsageError(f"{name} is {values}; it must be whole numbers from 1 to {most}")
    return values


def _is_whole(value: Any, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most
