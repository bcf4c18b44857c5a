"""Limits to how much of a trace is read, so that no file takes the machine for itself.

A recording of ten million events keeps far below all of these, in every format. Where traces come
from strangers, callers pass less: `read_trace_bytes(..., most_lines, most_bytes)`.
"""

MOST_BYTES = 2**34  # that a packed file is unpacked into, and that a pickle becomes in memory
MOST_BYTES_OF_STRANGERS = 2**28  # the same
MOST_REQUESTS = 2**28
LONGEST_LINE = 4096  # bytes of a line that are looked at
LONGEST_PASSED = 2**26  # bytes of a line in a log, where what is too long is passed over

# A pickle is a program: so many instructions of it are run.
MOST_STEPS = 2**30
STEPS_EACH, PICKLED_EACH = 64, 512  # instructions and bytes for each event of a stranger's

MOST_STORED = 2**33  # bytes of a store, as it lies on disk
STORED_EACH = 64  # the same for each request of a stranger's
MOST_ABOUT = 2**20  # bytes that a store says of itself
MOST_NAMES = 2**28  # bytes of the names of its call sites
NAMED_EACH = 64  # the same for each request of a stranger's

MOST_LOGGED = 2**36  # bytes of a log of our own recorder
LOGGED_EACH = 128  # the same for each request of a stranger's
