"""What the Compare tab computes: a comparison within bounds, and its pictures."""

import json
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO

import numpy as np

from jaxmem.app.asked import DrawnWorkload, Judged, Recorded, Uploaded
from jaxmem.app.bounds import limited_memory
from jaxmem.app.games import player_of
from jaxmem.app.text_fields import Unclear
from jaxmem.app.worker import Watched
from jaxmem.evaluation.compare import answer
from jaxmem.evaluation.question import question_of
from jaxmem.recordings import load_library, read_trace_bytes
from jaxmem.recordings.recording import Recording
from jaxmem.render import draw_memory_map, markdown_table
from jaxmem.render.comparison import draw_comparison
from jaxmem.render.palette import count
from jaxmem.workloads.registry import WHOLE, Workload, recorded, workload

MOST_UPLOADED_LINES = 200_000  # or events of an uploaded trace
MOST_READING_MEMORY = 2**30  # bytes that reading one may take
MOST_SECONDS = 30.0  # likewise
MOST_REPLAYED = 50_000  # of a recording that is replayed here
SEARCHED = 128  # sequences with hindsight: the search takes its time
PANELS, WINDOW = 6, 320  # policies and requests in the map


def task_of(asked: DrawnWorkload | Recorded | Uploaded) -> Workload:
    """Makes the workload that is asked for; raises `Unclear` where there can be none.

    An upload is read as data, of at most `MOST_UPLOADED_LINES` lines or events, and in no more than
    `MOST_READING_MEMORY`.
    """
    try:
        if isinstance(asked, DrawnWorkload):
            return workload(asked.name, asked.cells)
        recording = judged_recording(asked, "jaxmem compare workload=trace workload.path=FILE")
        return recorded(recording, asked.cells, replace(WHOLE, slack=asked.slack))
    except ValueError as error:
        raise Unclear(str(error)) from error


def judged_recording(asked: Recorded | Uploaded, command: str) -> Recording:
    """Reads the recording that is asked for.

    Args:
        command: that plays what is too long for the page.

    Raises:
        ValueError: it cannot be read, or is too long.
    """
    recording = load_library(asked.name) if isinstance(asked, Recorded) else _read_upload(asked)
    if recording.requests > MOST_REPLAYED:
        raise Unclear(
            f"{recording.name} has {recording.requests:,} requests; the page replays at most "
            f"{MOST_REPLAYED:,}. On the command line: {command}"
        )
    return recording


def _read_upload(upload: Uploaded) -> Recording:
    try:
        with limited_memory(MOST_READING_MEMORY):
            return read_trace_bytes(upload.data, upload.name, MOST_UPLOADED_LINES)
    except MemoryError:
        raise Unclear(
            f"{upload.name}: too large once it is unpacked; to be read here it may take at most "
            f"{MOST_READING_MEMORY / 2**30:g} GiB. jaxmem trace import makes a smaller store of it"
        ) from None


def judge(
    watched: Watched,
    asked: DrawnWorkload | Recorded | Uploaded,
    policies: Sequence[str | bytes],
    sequences: int,
    seed: int,
    hindsight: bool,
) -> Judged:
    """Compares, and draws; raises ValueError for what cannot be compared.

    Args:
        watched: is told what is being done.
        policies: names, and the files of policies that were trained on the page.
    """
    watched.report("reading …", 0.0, within=MOST_SECONDS)
    task = task_of(asked)
    watched.report("drawing sequences …", 0.0)
    players = [each if isinstance(each, str) else player_of(each).policy for each in policies]
    sequences = min(sequences, SEARCHED) if hindsight else sequences
    question = question_of(players, task, sequences, seed, hindsight=hindsight)
    stages = len(players) + 2 + (2 if hindsight else 0)
    told: list[str] = []

    def report(doing: str) -> None:
        told.append(doing)
        playing = sum(stage.startswith("playing") for stage in told)
        share = (len(told) if not doing.startswith("tuning") else playing) / (stages + 1)
        watched.report(f"{doing} …", min(share, 0.95))

    found = answer(question, report)
    watched.report("drawing the pictures …", 0.97)
    shown = sorted(found.failed, key=lambda name: found.failed[name].mean())[:PANELS]
    last = min(task.length, WINDOW)
    chart, memory = BytesIO(), BytesIO()
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
    return Judged(
        found.results,
        chart.getvalue(),
        memory.getvalue(),
        markdown_table(found.results),
        json.dumps(found.results, indent=1, allow_nan=False) + "\n",
    )
