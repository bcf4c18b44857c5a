"""Names that every room knows, and what to say about one that is not known."""

import difflib
from collections.abc import Iterable

CLASSICAL = ("first", "second", "best", "worst")  # the four fits that every textbook has


def nearest(given: str, known: Iterable[str]) -> str:
    """The end of a message: what may have been meant, or all there is."""
    known = list(known)
    near = difflib.get_close_matches(given, known, n=3, cutoff=0.5)
    if near:
        return f"; did you mean {' or '.join(near)}?"
    return f"; known: {', '.join(known) or 'none'}"
