"""Effects of C's allocator calls on the blocks, for logs that have a line for each call."""

from collections.abc import Hashable, Sequence
from math import prod

from jaxmem.recordings.events import FAILED_ALLOCATIONS, Events

NULL = 0
# Which arguments of a call, counted from 0, make its size when they are multiplied.
SIZE_OF = {
    "malloc": (0,),
    "valloc": (0,),
    "pvalloc": (0,),
    "calloc": (0, 1),
    "memalign": (1,),
    "aligned_alloc": (1,),
    "posix_memalign": (1,),
    "realloc": (1,),
    "reallocarray": (1, 2),
}
REALLOCATIONS = ("realloc", "reallocarray")  # their first argument is the block that is given up
CALL_NAMES = (*SIZE_OF, "free")


def arguments_of(name: str) -> int:
    """Tells how many arguments a call has at least."""
    return 1 if name == "free" else max(SIZE_OF[name]) + 1


def take(
    events: Events,
    name: str,
    arguments: Sequence[int],
    result: int,
    site: Hashable | None = None,
) -> None:
    """Takes one call: an allocation, a free, both, or one that failed.

    Args:
        name: one of CALL_NAMES.
        arguments: at least `arguments_of(name)`; of posix_memalign without the pointer.
        result: the address of the new block, NULL where there is none; of no meaning for free.

    realloc(p, 0) that gives no block is a free of p. Raises TraceError as `Events.allocate`.
    """
    if name == "free":
        if arguments[0] != NULL:
            events.free(arguments[0])
        return
    size = prod(arguments[place] for place in SIZE_OF[name])
    old = arguments[0] if name in REALLOCATIONS else NULL
    if result != NULL and old != NULL:
        events.reallocate(old, result, size, site)
    elif result != NULL:
        events.allocate(result, size, site)
    elif old != NULL and size == 0:
        events.free(old)
    else:
        events.counted[FAILED_ALLOCATIONS] += 1
