"""`jaxmem compare`."""

from collections.abc import Mapping, Sequence

import numpy as np
from rich.console import Console

from jaxmem.commands import checked, tell_where, terminal, workload_of
from jaxmem.commands.shadowed import tell_shadowed
from jaxmem.evaluation.compare import Comparison, answer
from jaxmem.evaluation.question import question_of
from jaxmem.policies.policy_file import SHIPPED
from jaxmem.render import draw_memory_map, rich_table
from jaxmem.render.comparison import draw_comparison
from jaxmem.render.fragmentation import draw_fragmentation
from jaxmem.render.palette import count
from jaxmem.render.progress import StagesDisplay
from jaxmem.render.terminal import placements_text
from jaxmem.rules import default_rules
from jaxmem.run_folder import RunFolder
from jaxmem.settings.verbs import CompareSettings
from jaxmem.workloads.registry import Workload

MEMORY_PANELS = 8  # policies in memory.png: more are not readable at a glance
AT_HOME = range(64, 257)  # cells of the arenas that the generalist was trained in
REQUESTS = 320  # shown of a long sequence, likewise


def run(settings: CompareSettings, command: str) -> int:
    """Compares, prints the table, writes the run folder."""
    console = terminal()
    tell_shadowed(console, settings.policies)
    task = workload_of(settings)
    # The generalist is at home in the sizes that it was trained in.
    by_default = settings.policies is None and task.cells in AT_HOME
    learned = [name for name in SHIPPED if name == "generalist" and by_default]
    question = checked(
        question_of,
        [*compared_policies(settings.policies, task), *learned],
        task,
        settings.sequences,
        settings.seed,
        settings.reference,
        settings.measures,
        settings.hindsight,
        settings.hindsight_width,
        settings.tuning_sequences,
    )
    out, overwrite = settings.out, settings.overwrite
    with checked(RunFolder, "compare", task.name, out, overwrite) as folder:
        folder.write_config(settings.plain(), command)
        with StagesDisplay(console) as display:
            comparison = checked(answer, question, display.report)
        results = {**comparison.results, "command": command}
        # Shown first: a full disk is no reason to lose what was computed.
        if task.name == "scenario":
            show_memory(console, comparison)
        show(console, results)
        with StagesDisplay(console) as display:
            display.report("drawing")
            draw_pictures(comparison, folder)
        folder.write_sequences(comparison.failed)
        folder.write_results(results)
    tell_where(console, folder.path, "results.json, table.md, pictures")
    return 0


def compared_policies(policies: Sequence[str] | None, task: Workload) -> Sequence[str]:
    """Returns the policies asked for; by default every rule that applies."""
    if policies is not None:
        return policies
    return [rule.name for rule in default_rules(task.has_hints)]


def draw_pictures(comparison: Comparison, folder: RunFolder) -> None:
    """Draws every picture that a comparison leaves."""
    draw_memory(comparison, folder)
    draw_comparison(folder.file("comparison.png"), comparison.results, comparison.failed)
    draw_fragments(comparison, folder)


def draw_fragments(comparison: Comparison, folder: RunFolder) -> None:
    """Draws fragmentation.png: fragmentation and failures as time goes on."""
    shown, sequences = most_telling(comparison), comparison.requests.sequences
    draw_fragmentation(
        folder.file("fragmentation.png"),
        {name: comparison.fragmentation[name] for name in shown},
        {name: comparison.failed_so_far[name] for name in shown},
        title=f"{comparison.workload.name}, {count(comparison.workload.cells, 'cell')}: "
        + ("one request sequence" if sequences == 1 else f"mean of {sequences:,} sequences"),
    )


def most_telling(comparison: Comparison) -> list[str]:
    """Chooses the policies for a picture with room for `MEMORY_PANELS`, fewest failures first."""
    policies = comparison.results["policies"]
    failed = {name: row["failed_requests"]["mean"] for name, row in policies.items()}
    reference = comparison.results["reference"]
    shown = sorted(failed, key=lambda name: failed[name])
    if len(shown) > MEMORY_PANELS:
        kept = [name for name in ("learned", reference, "best", "first") if name in shown]
        kept += [name for name in shown if name not in kept]
        shown = [name for name in shown if name in kept[:MEMORY_PANELS]]
    return shown


def draw_memory(comparison: Comparison, folder: RunFolder, most: int = REQUESTS) -> None:
    """Draws memory.png: the first test sequence, as the policies that fail least placed it."""
    shown = most_telling(comparison)
    requests, task = comparison.requests, comparison.workload
    last = min(task.length, most)
    draw_memory_map(
        folder.file("memory.png"),
        {name: comparison.starts[name][0] for name in shown},
        np.asarray(requests.size[0]),
        np.asarray(requests.lifetime[0]),
        task.cells,
        layout=task.layout,
        last=last,
        title=f"{task.name}: {last:,} requests in {task.cells:,} cells",
    )


def show_memory(console: Console, comparison: Comparison) -> None:
    """Shows the memory that each policy leaves behind, in characters."""
    requests, task = comparison.requests, comparison.workload
    text = placements_text(
        {name: start[0] for name, start in comparison.starts.items()},
        np.asarray(requests.size[0]),
        np.asarray(requests.lifetime[0]),
        task.cells,
        task.layout,
        width=console.width,
    )
    console.print(text, "")


def show(console: Console, results: Mapping[str, object]) -> None:
    """Shows the table."""
    console.print(rich_table(results, width=console.width), "")
