"""Recorded traces: read from a file or from the library, cut into cells, served as requests."""

from jaxmem.workloads.traces.about import About
from jaxmem.workloads.traces.cells import QuantisedRecording, quantise, whole
from jaxmem.workloads.traces.formats import (
    FORMATS,
    TraceError,
    alignment_of,
    read_trace,
    read_trace_bytes,
)
from jaxmem.workloads.traces.library import library_names, load_library
from jaxmem.workloads.traces.recording import Recording
from jaxmem.workloads.traces.store import write_store
from jaxmem.workloads.traces.torch_recording import record_torch
from jaxmem.workloads.traces.windows import (
    SPLITS,
    most_before,
    split_range,
    window_requests,
    window_starts,
)

__all__ = [
    "FORMATS",
    "SPLITS",
    "About",
    "QuantisedRecording",
    "Recording",
    "TraceError",
    "alignment_of",
    "library_names",
    "load_library",
    "most_before",
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
