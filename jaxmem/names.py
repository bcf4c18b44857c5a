"""Names that every room knows, and what to say about one that is not known."""

import difflib
from collections.abc import Iterable, Sequence

# What is counted in training, said wherever it first appears.
TRAINING_WORDS = (
    "step: one request answered in one arena; all arenas' steps are counted together",
    "state: the memory of an arena and the request that comes, as a policy sees them before a step",
    "episode: one whole sequence of requests in one arena",
)


def nearest(given: str, known: Iterable[str]) -> str:
    """Ends a message: what may have been meant, or all there is."""
    known = list(known)
    near = difflib.get_close_matches(given, known, n=3, cutoff=0.5)
    if near:
        return f"; did you mean {' or '.join(near)}?"
    return f"; known: {', '.join(known) or 'none'}"


def listed(names: Sequence[str]) -> str:
    """Joins names to "a, b and c"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
