"""The random request streams have the sizes and lifetimes that their definitions say."""

from functools import partial
from itertools import pairwise

import jax
import numpy as np
import pytest
from request_checks import (
    UNCAPPED,
    assert_mean,
    check_generator,
    draw,
    exponential_mean,
    live_cells,
)

from jaxmem.arena.arena import NEVER
from jaxmem.workloads import synthetic

SEQUENCES, LENGTH = 128, 160
many = partial(draw, sequences=SEQUENCES, length=LENGTH)
uncapped = partial(many, capacity=UNCAPPED)

LARGEST = {
    synthetic.memoryless: 10,
    synthetic.geometric: 24,
    synthetic.small_short_lived: 12,
    synthetic.large_short_lived: 16,
    synthetic.size_classes: 11,
    synthetic.call_sites: 10,
    synthetic.generational: 8,
}
capped_generators = pytest.mark.parametrize(
    "generator", LARGEST, ids=lambda generator: generator.__name__
)


@capped_generators
def test_every_capped_stream_is_lawful(generator):
    check_generator(generator, LARGEST[generator], SEQUENCES, LENGTH)
    requests = many(generator)
    assert live_cells(requests).max() == 100
    assert not requests.hint.any()
    assert not requests.kind.any()


def test_the_cap_shortens_lifetimes_and_leaves_sizes_alone():
    capped, free = many(synthetic.memoryless), uncapped(synthetic.memoryless)
    np.testing.assert_array_equal(capped.size, free.size)
    assert (capped.lifetime <= free.lifetime).all()
    assert (capped.lifetime < free.lifetime).any()


def test_raw_keys_draw_what_typed_keys_draw():
    typed = synthetic.classic(jax.random.key(3), 2, 5)
    raw = synthetic.classic(jax.random.PRNGKey(3), 2, 5)
    np.testing.assert_array_equal(typed.size, raw.size)


def test_classic_blocks_are_never_freed():
    check_generator(synthetic.classic, 10, SEQUENCES, LENGTH)
    requests = many(synthetic.classic)
    assert (requests.lifetime == NEVER).all()
    assert_mean(requests.size, 5.5)


def test_classic_can_free_a_random_live_block_before_a_request():
    check_generator(synthetic.classic, 10, SEQUENCES, LENGTH, free_probability=0.3)
    requests = many(synthetic.classic, free_probability=0.3)
    deaths = np.arange(LENGTH) + requests.lifetime
    freed, age_rank = [], []
    for death in deaths:
        for t in range(1, LENGTH):
            live = np.flatnonzero(death[:t] >= t)
            dying = np.flatnonzero(death[live] == t)
            assert dying.size <= 1
            # Nothing is live after a free when only one block was: those steps are left out.
            if live.size > 1:
                freed.append(dying.size)
                age_rank += [(place + 0.5) / live.size for place in dying]
    assert_mean(np.array(freed), 0.3)
    assert_mean(np.array(age_rank), 1 / 2)
    assert_mean(np.square(np.array(age_rank) - 1 / 2), 1 / 12)


@pytest.mark.parametrize("probability", [-0.1, 1.1])
def test_classic_refuses_what_is_no_probability(probability):
    with pytest.raises(ValueError, match=r"it must be in 0\.\.1"):
        synthetic.classic(jax.random.key(0), 1, 1, free_probability=probability)


def test_memoryless_sizes_are_uniform_and_lifetimes_exponential():
    requests = uncapped(synthetic.memoryless)
    assert_mean(requests.size, 5.5)
    assert_mean(requests.lifetime, exponential_mean(18))
    assert_mean(requests.lifetime > 36, np.exp(-36.5 / 18))


def test_geometric_sizes_are_cut_at_24():
    requests = uncapped(synthetic.geometric)
    for size in (1, 2, 10):
        assert_mean(requests.size == size, 0.2 * 0.8 ** (size - 1))
    assert_mean(requests.size == 24, 0.8**23)
    assert_mean(requests.lifetime, exponential_mean(18))


@pytest.mark.parametrize(
    ("generator", "rare_share", "common", "rare"),
    [
        (synthetic.small_short_lived, 0.2, (1, 3, 8), (6, 12, 40)),
        (synthetic.large_short_lived, 0.3, (8, 16, 7), (1, 2, 60)),
    ],
    ids=["small", "large"],
)
def test_short_lived_classes_have_their_sizes_lifetimes_and_shares(
    generator, rare_share, common, rare
):
    requests = uncapped(generator)
    is_rare = (requests.size >= rare[0]) & (requests.size <= rare[1])
    assert_mean(is_rare, rare_share)
    for chosen, (smallest, largest, mean) in ((~is_rare, common), (is_rare, rare)):
        sizes = requests.size[chosen]
        assert (sizes.min(), sizes.max()) == (smallest, largest)
        assert_mean(sizes, (smallest + largest) / 2)
        assert_mean(requests.lifetime[chosen], exponential_mean(mean))


def test_size_classes_are_2_5_and_11():
    requests = uncapped(synthetic.size_classes)
    for size, share in ((2, 0.40), (5, 0.35), (11, 0.25)):
        assert_mean(requests.size == size, share)
    assert_mean(requests.lifetime, exponential_mean(17))


def test_call_sites_differ_in_lifetime_only():
    requests = uncapped(synthetic.call_sites, hints=True)
    short, long = exponential_mean(6), exponential_mean(50)
    assert_mean(requests.size, 5.5)
    assert_mean(requests.lifetime, 0.75 * short + 0.25 * long)
    assert_mean(requests.lifetime > 60, 0.75 * np.exp(-60.5 / 6) + 0.25 * np.exp(-60.5 / 50))


def test_call_site_hints_are_right_nine_times_in_ten():
    requests = uncapped(synthetic.call_sites, hints=True)
    np.testing.assert_array_equal(requests.size, many(synthetic.call_sites).size)
    np.testing.assert_array_equal(requests.hint, np.where(requests.kind == 1, 50, 6))
    # Of all requests 22.5 % are long and 7.5 % short among those told to be long.
    assert_mean(requests.kind, 0.30)
    short, long = exponential_mean(6), exponential_mean(50)
    told_long, told_short = (requests.lifetime[requests.kind == kind] for kind in (1, 0))
    assert_mean(told_long, (0.225 * long + 0.075 * short) / 0.30)
    assert_mean(told_short, (0.025 * long + 0.675 * short) / 0.70)


def test_generational_survivors_are_few_small_and_long_lived():
    requests = uncapped(synthetic.generational)
    ones = requests.size == 1  # only survivors are that small
    assert_mean(ones, 0.15 / 3)
    assert_mean(requests.size, 0.15 * 2 + 0.85 * 5)
    assert_mean(requests.lifetime[ones], exponential_mean(60))


def test_generational_blocks_die_with_their_phase():
    requests = uncapped(synthetic.generational)
    spans = []
    for size, lifetime in zip(requests.size, requests.lifetime, strict=True):
        births = np.flatnonzero(size >= 4)  # survivors are smaller
        deaths = births + lifetime[births]
        # A phase has 12 requests or more, and its blocks die within 2: gaps part the phases.
        phases = np.split(np.unique(deaths), np.flatnonzero(np.diff(np.unique(deaths)) > 2) + 1)
        spans += [len(range(phase[0], phase[-1])) for phase in phases]
        for before, after in pairwise(phases):
            assert 12 - 2 <= after[0] - before[0] <= 24 + 2
            born = births[np.isin(deaths, after)]
            # Phases do not mix: all of them were born after the one before could have ended.
            assert before[0] - 2 <= born.min()
            assert born.max() < after[0] + 1
    assert max(spans) == 2
