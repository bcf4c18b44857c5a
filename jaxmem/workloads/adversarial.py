"""Request streams built to defeat a fit: Robson's, the comb, and Lim & Maddukuri's generators.

Each generator is a pure function `(key, sequences, length, **options) -> Requests`. Most play
rounds one after another; the blocks of a round fit `capacity` or `page` cells and die with it.
"""

from functools import partial

import jax
import jax.numpy as jnp

from jaxmem.workloads.parts import (
    LiveList,
    Round,
    each_sequence,
    empty_list,
    lifetimes_of,
    one_after_another,
    operate,
    random_place,
    uniform,
)
from jaxmem.workloads.requests import Requests, requests_of

FREE_PROBABILITY = 0.4  # of an operation of Lim & Maddukuri's random program


def _draw_rounds(one_round, key, sequences: int, length: int, shortest: int) -> Requests:
    """Draws sequences of independent rounds, each of at least `shortest` requests."""
    rounds = -(-length // shortest)

    def sequence(key):
        return one_after_another(jax.vmap(one_round)(jax.random.split(key, rounds)), length)

    return requests_of(*each_sequence(sequence, key, sequences, length))


def robson(key: jax.Array, sequences: int, length: int, *, capacity: int = 100) -> Requests:
    """Draws ever larger blocks in a memory that small survivors have cut up.

    Fill the free part of `capacity` cells with 2s, each dies with probability 0.5; fill what is
    free with 4s, each live block dies with probability 0.5; fill with 8s; all die; again. Filling
    counts live cells, not holes. After Robson, "Bounds for some functions concerning dynamic
    storage allocation", JACM 21(3), 1974.
    """
    if capacity < 2:
        raise ValueError(f"capacity is {capacity}; robson needs at least 2 cells")
    twos = capacity // 2
    step = jnp.arange(twos + capacity // 4 + capacity // 8, dtype=jnp.int32)

    def one_round(key):
        dies = jax.random.bernoulli(key, 0.5, (2, *step.shape))
        dies_first = dies[0] & (step < twos)
        live = 2 * jnp.sum((step < twos) & ~dies_first)
        second = twos + (capacity - live) // 4
        size = jnp.where(step < twos, 2, jnp.where(step < second, 4, 8))
        survives = (step < second) & ~dies_first & ~dies[1]
        count = second + (capacity - jnp.sum(size * survives)) // 8
        death = jnp.where(dies_first, twos, jnp.where((step < second) & ~survives, second, count))
        return Round(size=size, death=death, count=count)

    return _draw_rounds(one_round, key, sequences, length, shortest=twos)


def comb(key: jax.Array, sequences: int, length: int, *, capacity: int = 100) -> Requests:
    """Leaves small blocks standing between holes too short for the large blocks that follow.

    A round draws a medium size U(5, 7), a small one U(1, 3) and a large one U(11, 14), and asks for
    floor(capacity / (medium + small)) pairs of a medium and a small block; all mediums die; as
    many large blocks as `capacity` has cells for; all die.
    """
    if capacity < 10:
        raise ValueError(f"capacity is {capacity}; comb needs at least 10 cells")
    step = jnp.arange(2 * (capacity // 6) + capacity // 11, dtype=jnp.int32)

    def one_round(key):
        keys = jax.random.split(key, 3)
        medium, small, large = (
            uniform(key, (), *ends)
            for key, ends in zip(keys, [(5, 7), (1, 3), (11, 14)], strict=True)
        )
        pairs = capacity // (medium + small)
        count = 2 * pairs + (capacity - pairs * small) // large
        is_medium = (step < 2 * pairs) & (step % 2 == 0)
        size = jnp.where(is_medium, medium, jnp.where(step < 2 * pairs, small, large))
        return Round(size=size, death=jnp.where(is_medium, 2 * pairs, count), count=count)

    return _draw_rounds(one_round, key, sequences, length, shortest=2 * (capacity // 10))


def _best_fit_round(key: jax.Array, page: int) -> Round:
    """Asks for B; pieces that leave B - 1; frees B; 1; B. Only the tightest hole keeps B cells."""
    big_key, piece_key = jax.random.split(key)
    most = -(-(page - 2 * (page // 5) + 1) // (page // 10))
    step = jnp.arange(most + 3, dtype=jnp.int32)
    big = page // uniform(big_key, (), 2, 5)
    piece = page // uniform(piece_key, (), 8, 10)
    filled = page - 2 * big + 1
    freed = 1 - -filled // piece
    size = jnp.where(step < freed, jnp.clip(filled - (step - 1) * piece, 1, piece), 1)
    size = jnp.where((step == 0) | (step == freed + 1), big, size)
    death = jnp.where(step == 0, freed, freed + 2)
    return Round(size=size, death=death, count=freed + 2)


def _worst_fit_round(key: jax.Array, page: int) -> Round:
    """Fills 60 % by pieces; frees them one by one, 1-3 single cells before each; asks for 60 %.

    The piece in the middle is freed last: until then the hole at the page's end is the largest,
    so worst-fit keeps the single cells out of the 60 %.
    """
    piece_key, cells_key = jax.random.split(key)
    filled = page - 2 * page // 5
    most = -(-filled // (page // 10))
    step = jnp.arange(4 * most + 1, dtype=jnp.int32)
    piece = page // uniform(piece_key, (), 8, 10)
    pieces = -(-filled // piece)
    freed = pieces + jnp.cumsum(uniform(cells_key, (most,), 1, 3))
    count = freed[pieces - 1] + 1
    size = jnp.where(step < pieces, jnp.clip(filled - step * piece, 1, piece), 1)
    size = jnp.where(step == count - 1, filled, size)
    middle = filled // 2 // piece
    turn = jnp.where(step == middle, pieces - 1, jnp.where(step < middle, step, step - 1))
    death = jnp.where(step < pieces, freed[jnp.clip(turn, 0, most - 1)], count)
    return Round(size=size, death=death, count=count)


def _free_at_random(key: jax.Array, live: LiveList, length: int, free_probability: float):
    """Plays `live` to its last request; returns what it frees, for `lifetimes_of`."""
    choice_key, place_key = jax.random.split(key)
    # An operation makes a request or frees what a request brought: 2T operations are enough.
    operations = (2 * length,)

    def step(live, draw):
        frees, fraction = draw
        frees = frees & (live.count > 0)
        return operate(live, frees, random_place(live, fraction), ~frees)

    frees = jax.random.bernoulli(choice_key, free_probability, operations)
    fraction = jax.random.uniform(place_key, operations)
    return jax.lax.scan(step, live, (frees, fraction))[1]


def _check_page(page: int) -> None:
    if page < 10:
        raise ValueError(f"page is {page}; it must be at least 10 cells")


def best_fit_good(key: jax.Array, sequences: int, length: int, *, page: int = 256) -> Requests:
    """Rounds that best-fit survives, and first-fit and worst-fit do not.

    Request B = page / {2..5}; pieces of page / {8, 9, 10}, the last one cut, until B - 1 cells are
    free; free B; request 1 cell; request B. Lim & Maddukuri, arXiv 2410.15492.
    """
    _check_page(page)
    return _draw_rounds(lambda key: _best_fit_round(key, page), key, sequences, length, shortest=4)


def worst_fit_good(key: jax.Array, sequences: int, length: int, *, page: int = 256) -> Requests:
    """Rounds that worst-fit survives (in a page of 256 cells), and first-fit and best-fit do not.

    Fill 60 % with pieces of page / {8, 9, 10}, the last one cut; free them one by one, the middle
    one last, with 1-3 requests for a single cell before each; request the 60 % in one block. Lim &
    Maddukuri, arXiv 2410.15492.
    """
    _check_page(page)
    return _draw_rounds(
        lambda key: _worst_fit_round(key, page), key, sequences, length, shortest=11
    )


def random_frees(
    key: jax.Array, sequences: int, length: int, *, free_probability: float = FREE_PROBABILITY
) -> Requests:
    """Frees a random live block with `free_probability` in each operation, else requests.

    Sizes are U(1, 5) cells; while nothing is live there is always a request. Live cells grow
    without bound: the environment ends the episode. Lim & Maddukuri, arXiv 2410.15492.
    """
    if not 0.0 <= free_probability < 1.0:
        raise ValueError(f"free_probability is {free_probability}; it must be in 0..1, below 1")

    def sequence(key):
        size_key, frees_key = jax.random.split(key)
        ends = _free_at_random(frees_key, empty_list(length), length, free_probability)
        return uniform(size_key, (length,), 1, 5), lifetimes_of(*ends, length)

    return requests_of(*each_sequence(sequence, key, sequences, length))


def mixed(key: jax.Array, sequences: int, length: int, *, page: int = 256) -> Requests:
    """Draws two rounds, each of `best_fit_good` or `worst_fit_good` evenly, then random requests.

    Everything is freed between the two; what the second leaves behind is freed at random together
    with the requests that follow (`random_frees`). The size of a round's first request tells which
    kind it is. Lim & Maddukuri, arXiv 2410.15492.
    """
    _check_page(page)

    def one_round(key):
        choice_key, round_key = jax.random.split(key)
        best, worst = _best_fit_round(round_key, page), _worst_fit_round(round_key, page)
        room = (0, worst.size.size - best.size.size)
        best = Round(
            size=jnp.pad(best.size, room), death=jnp.pad(best.death, room), count=best.count
        )
        is_best = jax.random.bernoulli(choice_key)
        return jax.tree.map(partial(jnp.where, is_best), best, worst)

    def sequence(key):
        rounds_key, size_key, frees_key = jax.random.split(key, 3)
        rounds = jax.vmap(one_round)(jax.random.split(rounds_key))
        start = jnp.sum(rounds.count, dtype=jnp.int32)
        request = jnp.arange(length, dtype=jnp.int32)
        size, lifetime = one_after_another(rounds, length)
        size = jnp.where(request < start, size, uniform(size_key, (length,), 1, 5))
        left = (request < start) & (request + lifetime == start)
        live = LiveList(
            time=start,
            count=jnp.sum(left, dtype=jnp.int32),
            born=jnp.argsort(~left, stable=True).astype(jnp.int32),
        )
        ends = _free_at_random(frees_key, live, length, FREE_PROBABILITY)
        return size, jnp.where((request < start) & ~left, lifetime, lifetimes_of(*ends, length))

    return requests_of(*each_sequence(sequence, key, sequences, length))
