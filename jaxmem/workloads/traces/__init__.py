"""Recorded traces: read from a file or from the library, cut into cells, served as requests."""

from jaxmem.workloads.traces.formats import TraceError, read_trace, read_trace_bytes
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

__all__ = [
    "QuantisedRecording",
    "Recording",
    "TraceError",
    "library_names",
    "load_library",
    "quantise",
    "read_trace",
    "read_trace_bytes",
    "split_range",
    "whole",
    "window_requests",
    "window_starts",
]
