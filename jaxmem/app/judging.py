"""What the Compare tab computes: a comparison within bounds, and its pictures."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np

from jaxmem.app.typed import Unclear
from jaxmem.app.work import DRAWING, Job
from jaxmem.evaluation.compare import SHOWN, STRONGEST, check_comparison, compare
from jaxmem.evaluation.hindsight import check_searchable
from jaxmem.policies import Policy
from jaxmem.render import draw_memory_map, markdown_table
from jaxmem.render.comparison import draw_comparison
from jaxmem.render.palette import count
from jaxmem.workloads.registry import Workload, recorded, workload
from jaxmem.workloads.traces import load_library, read_trace_bytes

MOST_LINES = 200_000  # or events of an uploaded trace
MOST_REQUESTS = 50_000  # of a recording that is replayed here
MOST_CELLS = 4096
SEARCHED = 128  # sequences with hindsight: the search takes its time
PANELS, WINDOW = 6, 320  # policies and requests in the map


@dataclass(frozen=True)
class Judged:
    """What a comparison leaves on the page."""

    results: dict[str, Any]  # as in results.json
    comparison: bytes  # PNG
    memory: bytes  # PNG

    @property
    def markdown(self) -> str:
        """The table as a Markdown page."""
        return markdown_table(self.results)

    @property
    def json(self) -> str:
        """The results as a file."""
        return json.dumps(self.results, indent=1, allow_nan=False) + "\n"


def drawn_task(name: str, cells: int | None) -> Workload:
    """A workload; raises `Unclear` where it cannot be drawn in so many cells."""
    try:
        return workload(name, cells)
    except ValueError as error:
        raise Unclear(str(error)) from error


def recorded_task(name: str, cells: int | None, slack: float) -> Workload:
    """A recording of the library, whole; raises `Unclear`."""
    return _recorded(lambda: load_library(name), cells, slack)


def uploaded_task(data: bytes, name: str, cells: int | None, slack: float) -> Workload:
    """A trace that was uploaded, of any format that is safe to read; raises `Unclear`.

    It is read as data, and no more lines or events of it than `MOST_LINES`.
    """
    return _recorded(lambda: read_trace_bytes(data, name, MOST_LINES), cells, slack)


def _recorded(read: Any, cells: int | None, slack: float) -> Workload:
    try:
        recording = read()
        if recording.requests > MOST_REQUESTS:
            raise Unclear(
                f"{recording.name} has {recording.requests:,} requests; the page replays at most "
                f"{MOST_REQUESTS:,}. On the command line: jaxmem compare workload=trace "
                "workload.path=FILE"
            )
        return recorded(recording, cells, slack)
    except ValueError as error:
        raise Unclear(str(error)) from error


def judge(
    job: Job,
    task: Workload,
    policies: Sequence[str | Policy],
    sequences: int,
    seed: int,
    hindsight: bool,
) -> Judged:
    """Compares, and draws; raises ValueError for what cannot be compared.

    Args:
        job: is told what is being done, and may stop it between two policies.
    """
    sequences = min(sequences, SEARCHED) if hindsight else sequences
    check_comparison(policies, task, sequences, seed, STRONGEST, SHOWN)
    if hindsight:
        check_searchable(task)
    stages = len(policies) + 2 + (2 if hindsight else 0)
    told: list[str] = []

    def report(doing: str) -> None:
        told.append(doing)
        playing = sum(stage.startswith("playing") for stage in told)
        share = (len(told) if not doing.startswith("tuning") else playing) / (stages + 1)
        job.report(f"{doing} …", min(share, 0.95))

    found = compare(
        policies, task, sequences=sequences, seed=seed, hindsight=hindsight, report=report
    )
    job.report("drawing …", 0.97)
    shown = sorted(found.failed, key=lambda name: found.failed[name].mean())[:PANELS]
    last = min(task.length, WINDOW)
    chart, memory = BytesIO(), BytesIO()
    with DRAWING:
        draw_comparison(chart, found.results, found.failed)
        draw_memory_map(
            memory,
            {name: found.starts[name][0] for name in shown},
            np.asarray(found.requests.size[0]),
            np.asarray(found.requests.lifetime[0]),
            task.cells,
            layout=task.layout,
            last=last,
            title=f"{task.name}: {count(last, 'request')} in {count(task.cells, 'cell')}",
        )
    return Judged(found.results, chart.getvalue(), memory.getvalue())
