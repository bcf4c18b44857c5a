"""Windows of a recording: its parts, and what is live when a window begins."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.arena.arena import NEVER
from jaxmem.recordings.recording import Recording
from jaxmem.workloads.cells import QuantisedRecording, is_whole
from jaxmem.workloads.requests import Requests, requests_of

SPLITS = {"train": (0, 60), "validation": (60, 75), "test": (75, 100)}  # % of the requests


def split_range(requests: int, split: str) -> range:
    """Returns the request numbers of one part of a recording of `requests` requests.

    train: the first 60 %; validation: the next 15 %; test: the last 25 %. The parts follow each
    other in time and share no request. Raises ValueError for another name.
    """
    if split not in SPLITS:
        raise ValueError(f"split {split!r}; a split is one of {', '.join(SPLITS)}")
    first, end = SPLITS[split]
    return range(requests * first // 100, requests * end // 100)


def window_starts(quantised: QuantisedRecording, split: str, length: int) -> range:
    """Returns all requests at which a window of `length` requests can start, inside its part.

    Windows that share requests are not independent: a part of n requests holds n // length
    windows apart. Raises ValueError for an unknown split and if the part is too short.
    """
    part = split_range(quantised.requests, split)
    if not is_whole(length) or length < 1:
        raise ValueError(f"length {length!r}; a window has a whole number of requests, at least 1")
    if length > len(part):
        allowed = (
            f"at most {len(part)} are allowed"
            if part
            else "it is too short for windows: use the whole recording"
        )
        raise ValueError(
            f"windows of {length} requests; the {split} part of {quantised.recording.name} "
            f"has {len(part)} of its {quantised.requests} requests: {allowed}"
        )
    return range(part.start, part.stop - int(length) + 1)


def most_before(recording: Recording) -> int:
    """Finds the most blocks of earlier requests live at any request, once the dead are freed."""
    number = np.arange(recording.requests)
    ends = np.minimum(number + recording.lifetime, recording.requests)
    freed = np.cumsum(np.bincount(ends, minlength=recording.requests + 1))[:-1]
    return int((number - freed).max())


def window_requests(
    quantised: QuantisedRecording,
    split: str,
    key: jax.Array,
    sequences: int,
    length: int,
    before: int = 0,
) -> Requests:
    """Windows of one part of a recording: Requests [P, B + T], of which the last T are the window.

    P = sequences, T = length, B = before. `train`: starts drawn uniformly and independently.
    `validation` and `test`: the possible starts are cut into P equal runs and one is drawn from
    each, so windows are spread over the whole part and none comes twice; when there are fewer
    starts than P, all are used, equally often as far as possible. A lifetime that outlasts its
    window is kept.

    The first B requests are for the blocks that are live when the window begins: the latest B of
    them, in the order of birth, each with the lifetime that it has left. Where there are fewer than
    B, requests of one cell that die at once come first; they find the arena empty and leave it so.
    With B = 0 a window starts with nothing live.

    A pure function of `key`, to be jitted or mapped over it. Raises ValueError as `window_starts`,
    and for sequences < 1.
    """
    starts = window_starts(quantised, split, length)
    if not is_whole(sequences) or sequences < 1:
        raise ValueError(f"sequences {sequences!r}; it is a whole number, at least 1")
    if split == "train":
        low, high = starts.start, starts.stop
    else:
        edges = np.arange(sequences + 1, dtype=np.int64) * len(starts) // sequences + starts.start
        low = edges[:-1].astype(np.int32)
        high = np.maximum(edges[1:], edges[:-1] + 1).astype(np.int32)
    first = jax.random.randint(key, (sequences,), low, high, dtype=jnp.int32)
    lifetime = quantised.recording.lifetime.astype(np.int32)
    return requests_of(*_windows(quantised.size, lifetime, first, int(length), before))


@partial(jax.jit, static_argnames=("length", "before"))
def _windows(
    size: jax.Array, lifetime: jax.Array, first: jax.Array, length: int, before: int
) -> tuple[jax.Array, jax.Array]:
    """Cuts sizes and lifetimes int32[P, B + T] of the windows that start at `first` (int32[P])."""
    window = first[:, None] + jnp.arange(length, dtype=jnp.int32)
    if not before:
        return size[window], lifetime[window]
    number = jnp.arange(size.shape[0], dtype=jnp.int32)
    dies = jnp.minimum(number + lifetime, NEVER)  # NEVER is beyond the end of any recording
    place = jnp.arange(before, dtype=jnp.int32)

    def live_at(start: jax.Array) -> tuple[jax.Array, jax.Array]:
        is_live = (number < start) & (dies > start)
        count = jnp.sum(is_live, dtype=jnp.int32)
        # The number of each live block among them, shifted so that the latest comes last.
        at = jnp.cumsum(is_live, dtype=jnp.int32) - 1 + before - count
        at = jnp.where(is_live & (at >= 0), at, before)
        left = jnp.where(lifetime >= NEVER, NEVER, dies - start)
        sizes = jnp.ones(before, jnp.int32).at[at].set(size, mode="drop")
        # It must live until the window begins, and then for what is left.
        lives = jnp.zeros(before, jnp.int32).at[at].set(left, mode="drop")
        rest = jnp.minimum(before - place + lives, NEVER)
        return sizes, jnp.where(lives > 0, rest, 1)

    sizes, lives = jax.lax.map(live_at, first)
    return (
        jnp.concatenate([sizes, size[window]], axis=1),
        jnp.concatenate([lives, lifetime[window]], axis=1),
    )
