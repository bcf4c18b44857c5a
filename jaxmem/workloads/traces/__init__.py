"""Recorded traces: read from a file or from the library, cut into cells, served as requests."""

from jaxmem.workloads.traces.about import About
from jaxmem.workloads.traces.formats import (
    FORMATS,
    TraceError,
    alignment_of,
    read_trace,
    read_trace_bytes,
)
from jaxmem.workloads.traces.library import library_names, load_library
from jaxmem.workloads.traces.recording import (
    QuantisedRecording,
    Recording,
    quantise,
    split_range,
    whole,
    window_requests,
    window_starts,
)
from jaxmem.workloads.traces.store import write_store
from jaxmem.workloads.traces.torch_recording import record_torch

__all__ = [
    "FORMATS",
    "About",
    "QuantisedRecording",
    "Recording",
    "TraceError",
    "alignment_of",
    "library_names",
    "load_library",
    "quantise",
    "read_trace",
    "read_trace_bytes",
    "record_torch",
    "split_range",
    "whole",
    "window_requests",
    "window_starts",
    "write_store",
]
