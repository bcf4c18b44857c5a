"""Recordings of programs, in bytes: read, replayed in arenas of any size, packed, learned from."""

from jaxmem.recordings.about import About
from jaxmem.recordings.families import Split, family, family_names, splits
from jaxmem.recordings.formats import (
    FORMATS,
    TraceError,
    alignment_of,
    read_trace,
    read_trace_bytes,
)
from jaxmem.recordings.library import library_names, load_library
from jaxmem.recordings.recording import Recording
from jaxmem.recordings.store import write_store
from jaxmem.recordings.torch_recording import record_torch

__all__ = [
    "FORMATS",
    "About",
    "Recording",
    "Split",
    "TraceError",
    "alignment_of",
    "family",
    "family_names",
    "library_names",
    "load_library",
    "read_trace",
    "read_trace_bytes",
    "record_torch",
    "splits",
    "write_store",
]
