"""What tests of generators share: drawing, accounts in NumPy, and what holds for all of them."""

from functools import cache, partial

import jax
import numpy as np

from jaxmem.arena.arena import NEVER
from jaxmem.workloads.requests import Requests

UNCAPPED = 10**6  # a capacity that no sequence here reaches


@cache
def _compiled(generator, sequences: int, length: int, options):
    draw_all = partial(generator, sequences=sequences, length=length, **dict(options))
    # Drawing so few sequences takes milliseconds; optimizing the code would take seconds.
    return jax.jit(draw_all, compiler_options={"xla_backend_optimization_level": 0})


def draw(generator, sequences: int, length: int, seed: int = 0, **options) -> Requests:
    """Requests as NumPy arrays; one compilation for each generator, shape and set of options."""
    compiled = _compiled(generator, sequences, length, tuple(sorted(options.items())))
    return jax.tree.map(np.asarray, compiled(jax.random.key(seed)))


def live_cells(requests: Requests) -> np.ndarray:
    """Live cells when each request has been placed: int64[P, T]."""
    sequences, length = requests.size.shape
    change = np.zeros((sequences, length + 1), np.int64)
    change[:, :length] = requests.size
    death = np.minimum(np.arange(length) + requests.lifetime, length)
    np.add.at(change, (np.arange(sequences)[:, None], death), -requests.size)
    return change[:, :length].cumsum(axis=1)


def exponential_mean(mean: float) -> float:
    """The mean of max(1, round(exponential)) = 1 + sum over k >= 2 of P(exponential > k - 1/2)."""
    return 1 + np.exp(-(np.arange(2, 4000) - 0.5) / mean).sum()


def assert_mean(values: np.ndarray, expected: float) -> None:
    """The mean of independent `values` is within five of its standard errors of `expected`."""
    error = values.std() / np.sqrt(values.size)
    assert abs(values.mean() - expected) < 5 * error, (values.mean(), expected, error)


def check_generator(generator, largest: int, sequences: int, length: int, **options) -> None:
    """What holds for every generator: shapes, ranges, determinism, and independent sequences."""
    requests = draw(generator, sequences, length, **options)
    for array, dtype in zip(
        (requests.size, requests.lifetime, requests.hint, requests.kind),
        ("int32", "int32", "float32", "int32"),
        strict=True,
    ):
        assert (array.shape, array.dtype) == ((sequences, length), dtype)
    assert 1 <= requests.size.min() <= requests.size.max() <= largest
    assert 1 <= requests.lifetime.min() <= requests.lifetime.max() <= NEVER
    again = draw(generator, sequences, length, **options)
    jax.tree.map(np.testing.assert_array_equal, requests, again)
    other = draw(generator, sequences, length, seed=1, **options)
    rows = np.concatenate([np.stack([both.size, both.lifetime], 1) for both in (requests, other)])
    assert len({row.tobytes() for row in rows}) == 2 * sequences
