"""Logs of programs whose memory a policy places, as those are kept that CUDA's allocator writes."""

from dataclasses import replace

from jaxmem.recordings.about import About
from jaxmem.recordings.bounds import MOST_LOGGED
from jaxmem.recordings.formats.format import Format
from jaxmem.recordings.live_log import MAGIC, LiveLogError, live_run_of
from jaxmem.recordings.recording import Recording
from jaxmem.recordings.source import Source, TraceError, stem


def read_live_log(source: Source) -> Recording:
    """Reads a log; requests that found no hole are among the others."""
    data = source.whole(MOST_LOGGED, "a log of jaxmem's allocator")
    try:
        run = live_run_of(data, stem(source.name), "")
    except LiveLogError as error:
        raise TraceError(f"{source.where}: {error}") from None
    notes = (f"log that ended before the program did ({run.stopped}): 1",) if run.stopped else ()
    about = About("", source.format, file=source.name, notes=notes)
    return replace(run.recording, about=about)


# Of strangers' logs no bound is kept.
LIVE = Format("live", lambda head: head.startswith(MAGIC), read_live_log, from_strangers=False)
