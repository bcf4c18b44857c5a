"""What a person types, as numbers; or a sentence that says what is wrong and what would be right.

Nothing here knows JAX or Streamlit: a page can ask before either has woken up.
"""

import random
import re
from collections.abc import Sequence

SHOWN_CELLS = 4096  # of a memory that fits on a screen
MOST_BLOCKS = 256  # that are there before
MOST_STEPPED = 512  # of a sequence that one steps through
LONGEST_FIELD = 20_000  # characters of a field that are read at all

Layout = tuple[tuple[int, int], ...]  # (start, size) of each block, in cells
Sizes = tuple[int | str, ...]  # cells of each request, or "free:K"


class Unclear(ValueError):  # noqa: N818 (a sentence for a person, and no defect)
    """What was typed cannot be used: one friendly sentence."""


def cells_of(text: str) -> int:
    """The size of the memory, 1 .. `SHOWN_CELLS` cells; raises `Unclear`."""
    text = _clean(text, "The memory size")
    if not text:
        raise Unclear(f"The memory size is empty: type a number from 1 to {SHOWN_CELLS:,}.")
    number = _integer(text)
    if number is None or not 1 <= number <= SHOWN_CELLS:
        raise Unclear(
            f"The memory size is {_shown(text)}: type a whole number from 1 to {SHOWN_CELLS:,}. "
            "(Larger memories, to 2^31 cells: jaxmem compare on the command line.)"
        )
    return number


def layout_of(text: str, cells: int) -> Layout:
    """The blocks that are there before, from "5:10, 25:5" or [[5, 10], [25, 5]].

    Each is start:size in cells; they may touch and not overlap. Nothing typed: none.

    Raises:
        Unclear: it is not that, a block leaves the memory, or two overlap.
    """
    text = _clean(text, "The blocks already there")
    if text.count("[") != text.count("]"):
        raise Unclear("A bracket is left over in the blocks: write start:size, as in 5:10, 25:5.")
    pairs = re.sub(r"\[\s*(-?\d+)\s*,\s*(-?\d+)\s*\]", r"\1:\2", text).strip("[] ")
    words = [word for word in re.split(r"[\s,;]+", re.sub(r"\s*:\s*", ":", pairs)) if word]
    if len(words) > MOST_BLOCKS:
        raise Unclear(f"These are {len(words):,} blocks; the page shows at most {MOST_BLOCKS}.")
    blocks = [_layout_block(word, number, cells) for number, word in enumerate(words, 1)]
    for (low, size), (start, other) in zip(sorted(blocks), sorted(blocks)[1:], strict=False):
        if low + size > start:
            raise Unclear(
                f"The blocks {low}:{size} and {start}:{other} overlap: the first ends at cell "
                f"{low + size}, so the next can start there or later."
            )
    return tuple(blocks)


def _layout_block(word: str, number: int, cells: int) -> tuple[int, int]:
    match = re.fullmatch(r"(-?[0-9]+):(-?[0-9]+)", word)
    start, size = (_integer(part) for part in match.groups()) if match else (None, None)
    if start is None or size is None:
        raise Unclear(
            f"Block {number} is {_shown(word)}: write start:size, as in 5:10 for ten cells from "
            "cell 5 on."
        )
    if size < 1:
        raise Unclear(f"Block {number} is {start}:{size}: a block has at least one cell.")
    if start < 0 or start + size > cells:
        raise Unclear(
            f"Block {number}, {start}:{size}, does not lie inside the memory: its cells are 0 to "
            f"{cells - 1}."
        )
    return start, size


def sizes_of(text: str, cells: int) -> Sizes:
    """Reads what is asked for, from "8, 12, free:1, 5": sizes in cells, and requests to be freed.

    "free:K" frees the K-th request, counted from 1.

    Raises:
        Unclear: it is not that, or has no request, or too many.
    """
    text = _clean(text, "The list of sizes")
    words = [word for word in re.split(r"[\s,;\[\]'\"]+", re.sub(r"\s*:\s*", ":", text)) if word]
    if not words:
        raise Unclear("No sizes yet: type some numbers of cells, as in 8, 12, 5.")
    found: list[int | str] = []
    freed: set[int] = set()
    for word in words:
        requests = sum(isinstance(entry, int) for entry in found)
        found.append(_entry(word, cells, requests, freed))
    asked = sum(isinstance(entry, int) for entry in found)
    if not asked:
        raise Unclear("Nothing is asked for: type at least one size, as in 8, 12, 5.")
    if asked > MOST_STEPPED:
        raise Unclear(
            f"These are {asked:,} sizes; one can step through at most {MOST_STEPPED} here. Longer "
            "sequences are for the Compare tab, or for jaxmem compare on the command line."
        )
    return tuple(found)


def _entry(word: str, cells: int, requests: int, freed: set[int]) -> int | str:
    """A size, or "free:K"; `requests` came before, of which `freed` are free already."""
    if word.lower().startswith("free"):
        request = _integer(word[5:])
        if word[4:5] != ":" or request is None:
            raise Unclear(f"{_shown(word)}: write free:K to free the K-th request, as in free:1.")
        if not 1 <= request <= requests:
            allowed = f"1 to {requests}" if requests else "none yet"
            raise Unclear(f"free:{request}: only a request before it can be freed ({allowed}).")
        if request in freed:
            raise Unclear(f"free:{request}: request {request} is free already.")
        freed.add(request)
        return f"free:{request}"
    size = _integer(word)
    if size is None:
        raise Unclear(f"{_shown(word)} is no size: type whole numbers of cells, as in 8, 12, 5.")
    if size < 1:
        raise Unclear(f"A size of {size} cells: a request asks for at least one cell.")
    if size > cells:
        raise Unclear(
            f"A size of {size:,} cells does not fit into a memory of {cells:,}; the largest "
            f"is {cells:,}."
        )
    return size


def random_layout(cells: int, seed: int) -> Layout:
    """Blocks with random holes between them, about half of the memory; the same for each seed."""
    draw = random.Random(seed)
    longest = max(2, cells // 7)
    blocks: list[tuple[int, int]] = []
    at = draw.randint(0, longest // 2)
    while at < cells and len(blocks) < MOST_BLOCKS:
        size = min(draw.randint(1, longest), cells - at)
        blocks.append((at, size))
        at += size + draw.randint(1, longest)
    return tuple(blocks)


def layout_text(layout: Sequence[Sequence[int]]) -> str:
    """A layout as it is typed: "5:10, 25:5"."""
    return ", ".join(f"{start}:{size}" for start, size in layout)


def sizes_text(sizes: Sequence[int | str]) -> str:
    """Sizes as they are typed: "8, 12, free:1"."""
    return ", ".join(str(size) for size in sizes)


def _clean(text: str, what: str) -> str:
    if len(text) > LONGEST_FIELD:
        raise Unclear(f"{what} has {len(text):,} characters; at most {LONGEST_FIELD:,} are read.")
    return text.strip()


def _integer(text: str) -> int | None:
    """The integer that the text is; int() alone takes 1_0 and digits of other scripts."""
    text = text.strip()
    return int(text) if re.fullmatch(r"[-+]?[0-9]{1,18}", text) else None


def _shown(text: str) -> str:
    """Text for a message: quoted, short, on one line."""
    text = " ".join(text.split())
    return repr(text if len(text) <= 30 else text[:29] + "…")
