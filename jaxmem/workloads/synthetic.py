"""Random request streams: sizes and lifetimes drawn from named distributions.

Each generator is a pure function `(key, sequences, length, **options) -> Requests`. Definitions:
U(a, b) is uniform with both ends, Exp(m) is max(1, round(exponential with mean m)) requests.
`capacity` is the live cap in cells (see `live_cap`).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmem.arena.arena import NEVER
from jaxmem.workloads.live_cap import cap_sequences
from jaxmem.workloads.parts import (
    each_sequence,
    empty_list,
    exponential,
    lifetimes_of,
    operate,
    random_place,
    uniform,
)
from jaxmem.workloads.requests import Requests, requests_of


def classic(
    key: jax.Array, sequences: int, length: int, *, free_probability: float = 0.0
) -> Requests:
    """Draws the student project's task: size U(1, 10), never freed.

    With `free_probability` in 0..1, a random live block is freed with that probability before
    each request. There is no live cap: the environment ends the episode.
    """
    if not 0.0 <= free_probability <= 1.0:
        raise ValueError(f"free_probability is {free_probability}; it must be in 0..1")

    def sequence(key):
        size_key, free_key, place_key = jax.random.split(key, 3)
        size = uniform(size_key, (length,), 1, 10)
        if free_probability == 0.0:
            return size, jnp.full_like(size, NEVER)

        def step(live, draw):
            frees, fraction = draw
            frees = frees & (live.count > 0)
            return operate(live, frees, random_place(live, fraction), requests=True)

        frees = jax.random.bernoulli(free_key, free_probability, (length,))
        fraction = jax.random.uniform(place_key, (length,))
        _, ends = jax.lax.scan(step, empty_list(length), (frees, fraction))
        return size, lifetimes_of(*ends, length)

    return requests_of(*each_sequence(sequence, key, sequences, length))


def memoryless(key: jax.Array, sequences: int, length: int, *, capacity: int = 100) -> Requests:
    """Draws size U(1, 10), lifetime Exp(18): age tells nothing about what is left."""

    def sequence(key):
        size_key, lifetime_key = jax.random.split(key)
        return uniform(size_key, (length,), 1, 10), exponential(lifetime_key, (length,), 18)

    size, lifetime = each_sequence(sequence, key, sequences, length)
    return requests_of(size, cap_sequences(size, lifetime, capacity))


def geometric(key: jax.Array, sequences: int, length: int, *, capacity: int = 100) -> Requests:
    """Draws size min(24, geometric with mean 5), lifetime Exp(18): many small blocks, few large."""

    def sequence(key):
        size_key, lifetime_key = jax.random.split(key)
        size = jax.random.geometric(size_key, 1 / 5, (length,), jnp.int32)
        return jnp.minimum(24, size), exponential(lifetime_key, (length,), 18)

    size, lifetime = each_sequence(sequence, key, sequences, length)
    return requests_of(size, cap_sequences(size, lifetime, capacity))


class _Class(NamedTuple):
    smallest: int  # cells
    largest: int  # cells
    mean: float  # mean lifetime in requests


def _two_classes(key, length: int, common: _Class, rare: _Class, rare_share: float):
    """Draws (is rare bool[T], size int32[T], lifetime int32[T]) of a mixture of two classes."""
    class_key, common_key, rare_key, lifetime_key = jax.random.split(key, 4)
    is_rare = jax.random.bernoulli(class_key, rare_share, (length,))
    size = jnp.where(
        is_rare,
        uniform(rare_key, (length,), rare.smallest, rare.largest),
        uniform(common_key, (length,), common.smallest, common.largest),
    )
    mean = jnp.where(is_rare, rare.mean, common.mean)
    return is_rare, size, exponential(lifetime_key, (length,), mean)


def small_short_lived(
    key: jax.Array, sequences: int, length: int, *, capacity: int = 100
) -> Requests:
    """Draws, of 80 %, size U(1, 3), Exp(8); of 20 %, U(6, 12), Exp(40)."""

    def sequence(key):
        return _two_classes(key, length, _Class(1, 3, 8.0), _Class(6, 12, 40.0), 0.2)

    _, size, lifetime = each_sequence(sequence, key, sequences, length)
    return requests_of(size, cap_sequences(size, lifetime, capacity))


def large_short_lived(
    key: jax.Array, sequences: int, length: int, *, capacity: int = 100
) -> Requests:
    """Draws, of 70 %, size U(8, 16), Exp(7); of 30 %, U(1, 2), Exp(60): these pin large holes."""

    def sequence(key):
        return _two_classes(key, length, _Class(8, 16, 7.0), _Class(1, 2, 60.0), 0.3)

    _, size, lifetime = each_sequence(sequence, key, sequences, length)
    return requests_of(size, cap_sequences(size, lifetime, capacity))


def size_classes(key: jax.Array, sequences: int, length: int, *, capacity: int = 100) -> Requests:
    """Draws size 2, 5 or 11 (40, 35, 25 %), lifetime Exp(17): three kinds of object."""

    def sequence(key):
        size_key, lifetime_key = jax.random.split(key)
        sizes, shares = jnp.array([2, 5, 11], jnp.int32), jnp.array([0.40, 0.35, 0.25])
        size = jax.random.choice(size_key, sizes, (length,), p=shares)
        return size, exponential(lifetime_key, (length,), 17)

    size, lifetime = each_sequence(sequence, key, sequences, length)
    return requests_of(size, cap_sequences(size, lifetime, capacity))


def call_sites(
    key: jax.Array, sequences: int, length: int, *, capacity: int = 100, hints: bool = False
) -> Requests:
    """Draws size U(1, 10), of 75 % Exp(6), of 25 % Exp(50): it tells nothing about lifetime.

    With `hints`, a profiler guesses the class of each request and is right 90 % of the time:
    `kind` is the class guessed (0 short, 1 long), `hint` its mean lifetime (6 or 50).
    """
    short, long = _Class(1, 10, 6.0), _Class(1, 10, 50.0)

    def sequence(key):
        request_key, error_key = jax.random.split(key)
        is_long, size, lifetime = _two_classes(request_key, length, short, long, 0.25)
        return size, lifetime, is_long ^ jax.random.bernoulli(error_key, 0.1, (length,))

    size, lifetime, guess = each_sequence(sequence, key, sequences, length)
    lifetime = cap_sequences(size, lifetime, capacity)
    if not hints:
        return requests_of(size, lifetime)
    return requests_of(size, lifetime, hint=jnp.where(guess, long.mean, short.mean), kind=guess)


def generational(key: jax.Array, sequences: int, length: int, *, capacity: int = 100) -> Requests:
    """Draws phases of U(12, 24) requests, most blocks of which die together at the phase's end.

    Each request is a survivor with probability 0.15 (size U(1, 3), Exp(60)), else size U(2, 8),
    dying at the end of its phase plus U(0, 2) requests.
    """
    phases = -(-length // 12)

    def sequence(key):
        keys = jax.random.split(key, 6)
        ends = jnp.cumsum(uniform(keys[0], (phases,), 12, 24))
        request = jnp.arange(length, dtype=jnp.int32)
        left = ends[jnp.searchsorted(ends, request, side="right")] - request
        survives = jax.random.bernoulli(keys[1], 0.15, (length,))
        size = jnp.where(
            survives, uniform(keys[2], (length,), 1, 3), uniform(keys[3], (length,), 2, 8)
        )
        lifetime = jnp.where(
            survives,
            exponential(keys[4], (length,), 60),
            left + uniform(keys[5], (length,), 0, 2),
        )
        return size, lifetime

    size, lifetime = each_sequence(sequence, key, sequences, length)
    return requests_of(size, cap_sequences(size, lifetime, capacity))
