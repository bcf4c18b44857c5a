"""The adversarial streams follow their rounds, and defeat the fits they were built to defeat."""

from functools import partial

import jax
import numpy as np
import pytest
from request_checks import assert_mean, check_generator, draw, live_cells

from jaxmem.arena.arena import NEVER
from jaxmem.workloads import adversarial

SEQUENCES, LENGTH = 64, 320
many = partial(draw, sequences=SEQUENCES, length=LENGTH)
GENERATORS = {
    adversarial.robson: (8, 100),
    adversarial.comb: (14, 100),
    adversarial.best_fit_good: (128, 256),
    adversarial.worst_fit_good: (154, 256),
}


def placed_before_failure(sizes, lifetimes, cells: int, fit: str) -> int:
    """Requests that a fit places before the first that fails, cell by cell."""
    free_from = [0] * cells
    for now, (size, lifetime) in enumerate(zip(sizes, lifetimes, strict=True)):
        holes, start = [], None  # (length, start), the lowest first
        for cell in range(cells + 1):
            is_free = cell < cells and free_from[cell] <= now
            if is_free and start is None:
                start = cell
            elif not is_free and start is not None:
                holes.append((cell - start, start))
                start = None
        fitting = [hole for hole in holes if hole[0] >= size]
        if not fitting:
            return now
        lengths = {"first": fitting[0][0], "best": min(fitting)[0], "worst": max(fitting)[0]}
        start = next(start for length, start in fitting if length == lengths[fit])
        free_from[start : start + size] = [now + lifetime] * size
    return len(sizes)


def first_time_empty(lifetimes) -> int:
    """The first request before which everything placed has been freed."""
    deaths = np.arange(len(lifetimes)) + lifetimes
    return next(t for t in range(1, len(lifetimes)) if (deaths[:t] <= t).all())


@pytest.mark.parametrize("generator", GENERATORS, ids=lambda generator: generator.__name__)
def test_every_round_is_lawful_and_fits_its_memory(generator):
    largest, cells = GENERATORS[generator]
    check_generator(generator, largest, SEQUENCES, LENGTH)
    assert 0.6 * cells < live_cells(many(generator)).max() <= cells


def test_robson_fills_halves_and_fills_again_with_larger_blocks():
    requests = many(adversarial.robson)
    died_first, died_second = [], []
    for size, lifetime in zip(requests.size, requests.lifetime, strict=True):
        death, start = np.arange(LENGTH) + lifetime, 0
        while start + 87 <= LENGTH:  # the longest round
            first = start + 50
            assert (size[start:first] == 2).all()
            dies = death[start:first] == first
            died_first += dies.tolist()

            second = first + (100 - 2 * (~dies).sum()) // 4
            assert (size[first:second] == 4).all()
            left = np.arange(start, second)[death[start:second] > first]
            dies = death[left] == second
            died_second += dies.tolist()

            end = second + (100 - size[left[~dies]].sum()) // 8
            assert (size[second:end] == 8).all()
            assert (death[left[~dies]] == end).all()
            assert (death[second:end] == end).all()
            start = end
    assert_mean(np.array(died_first), 0.5)
    assert_mean(np.array(died_second), 0.5)


def test_comb_leaves_small_blocks_standing_and_asks_for_large_ones():
    requests = many(adversarial.comb)
    teeth = []
    for size, lifetime in zip(requests.size, requests.lifetime, strict=True):
        death, start = (np.arange(LENGTH) + lifetime).tolist(), 0
        while start + 41 <= LENGTH:  # the longest round
            medium, small = int(size[start]), int(size[start + 1])
            pairs = 100 // (medium + small)
            middle = start + 2 * pairs
            large = int(size[middle])
            end = middle + (100 - pairs * small) // large
            larges = end - middle
            assert size[start:end].tolist() == [medium, small] * pairs + [large] * larges
            assert death[start:end] == [middle, end] * pairs + [end] * larges
            teeth.append((medium, small, large))
            start = end
    assert {min(sizes) for sizes in zip(*teeth, strict=True)} == {5, 1, 11}
    assert {max(sizes) for sizes in zip(*teeth, strict=True)} == {7, 3, 14}


@pytest.mark.parametrize(
    ("generator", "survivor"),
    [(adversarial.best_fit_good, "best"), (adversarial.worst_fit_good, "worst")],
    ids=["best", "worst"],
)
def test_only_one_fit_survives_a_round_made_for_it(generator, survivor):
    requests = many(generator)
    for size, lifetime in list(zip(requests.size, requests.lifetime, strict=True))[:12]:
        play = partial(placed_before_failure, size.tolist(), lifetime.tolist(), 256)
        assert play(survivor) == LENGTH
        last_of_round = first_time_empty(lifetime) - 1
        for fit in {"first", "best", "worst"} - {survivor}:
            assert play(fit) == last_of_round


def test_best_fit_rounds_by_hand():
    requests = many(adversarial.best_fit_good)
    for size, lifetime in zip(requests.size, requests.lifetime, strict=True):
        end = first_time_empty(lifetime)
        big, *pieces, one, again = size[:end].tolist()
        assert big in (128, 85, 64, 51)
        assert (one, again) == (1, big)
        assert sum(pieces) == 256 - big - (big - 1)
        assert len(pieces) == 1 or pieces[0] in (32, 28, 25)
        assert lifetime[0] == end - 2


def test_worst_fit_rounds_by_hand():
    requests = many(adversarial.worst_fit_good)
    for size, lifetime in zip(requests.size, requests.lifetime, strict=True):
        end = first_time_empty(lifetime)
        pieces = -(-154 // size[0])
        assert size[0] in (32, 28, 25)
        assert size[:pieces].sum() == size[end - 1] == 154
        assert (size[pieces : end - 1] == 1).all()
        frees = np.sort(np.arange(pieces) + lifetime[:pieces])
        singles = np.diff(frees, prepend=pieces)
        assert singles.min() >= 1
        assert singles.max() <= 3
        assert frees[-1] == end - 1


def test_random_frees_hit_every_live_block_alike():
    check_generator(adversarial.random_frees, 5, SEQUENCES, LENGTH)
    requests = many(adversarial.random_frees)
    assert_mean(requests.size, 3.0)
    frees, age_rank = [], []
    for lifetime in requests.lifetime:
        death = np.arange(LENGTH) + lifetime
        for t in range(60, LENGTH):  # by then there is always something to free
            live = np.flatnonzero(death[:t] >= t)
            dying = np.flatnonzero(death[live] == t)
            frees.append(dying.size)
            age_rank += ((dying + 0.5) / live.size).tolist()
    # Each operation frees with probability 0.4: the frees before a request are geometric.
    assert_mean(np.array(frees), 0.4 / 0.6)
    assert_mean(np.array(frees) == 0, 0.6)
    assert_mean(np.array(age_rank), 1 / 2)


def test_without_frees_the_random_program_frees_nothing():
    requests = adversarial.random_frees(jax.random.key(0), 2, 9, free_probability=0.0)
    assert (requests.lifetime == NEVER).all()


def test_a_mixed_sequence_tells_its_rounds_by_their_first_sizes():
    check_generator(adversarial.mixed, 154, SEQUENCES, LENGTH)
    requests = many(adversarial.mixed)
    kinds = []
    for size, lifetime in zip(requests.size, requests.lifetime, strict=True):
        first_end = first_time_empty(lifetime)
        rounds = [int(size[0]) > 50, int(size[first_end]) > 50]
        kinds += rounds
        play = partial(placed_before_failure, size[:90].tolist(), lifetime[:90].tolist(), 256)
        # 60 requests are more than two rounds have.
        assert (play("best") > 60) == all(rounds)
        assert (play("worst") > 60) == (not any(rounds))
        assert play("first") < 60
        assert size[60:].max() <= 5
    assert_mean(np.array(kinds), 0.5)


@pytest.mark.parametrize(
    ("generator", "options", "message"),
    [
        (adversarial.robson, {"capacity": 1}, "robson needs at least 2 cells"),
        (adversarial.comb, {"capacity": 9}, "comb needs at least 10 cells"),
        (adversarial.mixed, {"page": 9}, "at least 10 cells"),
        (adversarial.random_frees, {"free_probability": 1.0}, "below 1"),
    ],
)
def test_options_that_leave_no_request_are_refused(generator, options, message):
    with pytest.raises(ValueError, match=message):
        generator(jax.random.key(0), 1, 1, **options)
