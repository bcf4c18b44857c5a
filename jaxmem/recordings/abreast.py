"""Work that is done by as many threads as there are cores: JAX and C let others go on meanwhile."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Each = TypeVar("Each")
Found = TypeVar("Found")


def abreast(
    find: Callable[[Each], Found],
    items: Sequence[Each],
    report: Callable[[float], None] = lambda done: None,
) -> list[Found]:
    """Returns what `find` returns for each of the items, in their order.

    Args:
        report: told by this thread what share of the items is done, 0 .. 1; what it raises ends
            the work, as does what `find` raises.
    """
    found = [find(item) for item in items[:1]]  # which compiles what all of them run
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        pending = [pool.submit(find, item) for item in items[1:]]
        try:
            for future in pending:
                found.append(future.result())
                report(len(found) / len(items))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return found
