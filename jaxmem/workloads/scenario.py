"""Scenarios: an arena with blocks already in it, and the requests a user types."""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, TypeGuard

import numpy as np

from jaxmem.arena.arena import NEVER
from jaxmem.workloads.cells import MAX_CELLS, is_whole
from jaxmem.workloads.requests import Requests, requests_of


class Scenario(NamedTuple):
    """One sequence of requests and the blocks that lie in the arena before the first."""

    requests: Requests  # [1, R]
    layout: tuple[tuple[int, int], ...]  # (start, size) in cells, in the order given, never freed


def scenario_requests(layout: Sequence, sizes: Sequence, cells: int) -> Scenario:
    """Makes a scenario from what a user typed, checked before anything is compiled.

    layout: pairs [start, size] in cells; blocks that do not overlap, inside 0 .. cells.
    sizes: in order, a whole number of cells (1 .. cells) for a request, or the text "free:K" to
        free the K-th request, counted from 1, before the next one; "free:K" after the last request
        frees at the end. What is not freed stays for ever.
    cells: the size of the arena, 1 .. 2^31 - 1.

    Raises ValueError, in one line, for anything else.
    """
    if not is_whole(cells) or not 1 <= cells <= MAX_CELLS:
        raise ValueError(f"cells is {cells!r}; it must be a whole number from 1 to {MAX_CELLS}")
    blocks = tuple(
        _block(entry, number, cells) for number, entry in enumerate(_items(layout, "layout"), 1)
    )
    _check_apart(blocks)
    size: list[int] = []
    lifetime: list[int] = []
    for number, item in enumerate(_items(sizes, "sizes"), 1):
        if isinstance(item, str):
            request = _freed_request(item, number, lifetime)
            lifetime[request] = len(size) - request
        else:
            size.append(_request_size(item, number, cells))
            lifetime.append(NEVER)
    if not size:
        raise ValueError("sizes has no request; it needs at least one size, as in [8, 'free:1', 5]")
    return Scenario(requests_of(np.array([size]), np.array([lifetime])), blocks)


def _items(value: object, name: str) -> list:
    if not _is_list(value):
        example = "[[5, 10], [25, 5]]" if name == "layout" else "[8, 12, 'free:1', 5]"
        raise ValueError(f"{name} is {_quoted(value)}; it must be a list, as in {example}")
    return list(value)


def _block(entry: object, number: int, cells: int) -> tuple[int, int]:
    """Reads (start, size) from one layout entry."""
    pair = list(entry) if _is_list(entry) else []
    if len(pair) != 2 or not all(is_whole(value) for value in pair):
        raise ValueError(
            f"layout block {number} is {_quoted(entry)}; a block is [start, size] in whole cells"
        )
    start, size = int(pair[0]), int(pair[1])
    if size < 1:
        raise ValueError(f"layout block {number} is [{start}, {size}]; its size must be at least 1")
    if start < 0 or start + size > cells:
        raise ValueError(
            f"layout block {number}, [{start}, {size}], leaves the arena; "
            f"blocks must lie inside cells 0 to {cells - 1}"
        )
    return start, size


def _check_apart(blocks: tuple[tuple[int, int], ...]) -> None:
    """Raises ValueError if two blocks share a cell."""
    by_address = sorted(range(len(blocks)), key=lambda block: blocks[block])
    for left, right in pairwise(by_address):
        if sum(blocks[left]) > blocks[right][0]:
            first, second = sorted((left, right))
            raise ValueError(
                f"layout blocks {first + 1}, {list(blocks[first])}, and {second + 1}, "
                f"{list(blocks[second])}, overlap; blocks [start, size] may touch, not overlap"
            )


def _request_size(item: object, number: int, cells: int) -> int:
    if not is_whole(item) or not 1 <= item <= cells:
        raise ValueError(
            f"item {number} of sizes is {_quoted(item)}; "
            f"it must be a whole number from 1 to {cells} (cells), or 'free:K'"
        )
    return int(item)


def _freed_request(item: str, number: int, lifetime: list[int]) -> int:
    """Returns the request, from 0, that a `free:K` frees, given the lifetimes so far."""
    match = re.fullmatch(r"free:(-?[0-9]{1,18})", item)
    if match is None:
        raise ValueError(
            f"item {number} of sizes is {_quoted(item)}; text must be 'free:K', "
            "with K the number of an earlier request, and sizes are plain numbers"
        )
    request = int(match[1])
    if not 1 <= request <= len(lifetime):
        allowed = (
            f"K must be a request before it, 1 to {len(lifetime)}"
            if lifetime
            else "no request comes before it"
        )
        raise ValueError(f"item {number} of sizes is {_quoted(item)}; {allowed}")
    if lifetime[request - 1] != NEVER:
        raise ValueError(
            f"item {number} of sizes, {_quoted(item)}, is a double free; "
            f"request {request} is already free, and each is freed once"
        )
    return request - 1


def _is_list(value: object) -> TypeGuard[Sequence | np.ndarray]:
    if isinstance(value, np.ndarray):
        return value.ndim > 0
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _quoted(value: object) -> str:
    """Shows a value for a message: on one line and short."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 40 else text[:37] + "..."
