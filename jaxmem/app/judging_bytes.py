"""What the Compare tab computes of a recording in bytes: figures, and a picture of the memory."""

import json
from collections.abc import Sequence
from io import BytesIO

from jaxmem.app.asked import JudgedInBytes, Recorded, Uploaded
from jaxmem.app.judging import MOST_SECONDS, judged_recording
from jaxmem.app.worker import Watched
from jaxmem.recordings.byte_play import byte_results, events_in_bytes, play_in_bytes
from jaxmem.render import web_table
from jaxmem.render.byte_play import (
    BYTE_HEADER,
    ByteResults,
    byte_markdown,
    byte_rows,
    byte_subject,
    draw_byte_map,
)

SHOWN_IN_BYTES = 1200  # requests in the map
COMMAND = "jaxmem trace info FILE"


def judge_in_bytes(
    watched: Watched, asked: Recorded | Uploaded, policies: Sequence[str]
) -> JudgedInBytes:
    """Plays a recording whole, in bytes; raises ValueError for what cannot be played.

    Args:
        watched: is told what is being done.
        policies: names, and paths of those that the owner of the server has named.
    """
    watched.report("reading …", 0.0, within=MOST_SECONDS)
    events, notes = events_in_bytes(judged_recording(asked, COMMAND), None)
    played = play_in_bytes(
        events, policies, asked.slack, lambda doing: watched.report(f"{doing} …")
    )
    watched.report("drawing …", 0.97)
    results = byte_results(played, events.alignment, COMMAND, notes)
    memory = BytesIO()
    draw_byte_map(memory, played.shown(SHOWN_IN_BYTES))
    return JudgedInBytes(
        _table(results),
        memory.getvalue(),
        byte_markdown(results),
        json.dumps(results, indent=1, allow_nan=False) + "\n",
    )


def _table(results: ByteResults) -> str:
    """Writes the figures as HTML, the least of each column in bold."""
    rows = byte_rows(results)
    columns = list(zip(*(cells for _, cells in rows), strict=True))
    least = [min(map(float, column)) for column in columns]
    alike = [len(set(column)) == 1 for column in columns]
    looked = [
        (
            name,
            [
                web_table.WebCell(text, "best" if float(text) == low and not same else "")
                for text, low, same in zip(cells, least, alike, strict=True)
            ],
        )
        for name, cells in rows
    ]
    return web_table.table(BYTE_HEADER, looked, [f"{byte_subject(results)}.", *results["notes"]])
