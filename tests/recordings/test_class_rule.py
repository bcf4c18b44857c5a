"""Class rules: every placement against the slow oracle, and the rules that are among them."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from slow_classes import slow_starts

from jaxmem.arena.arena import NEVER
from jaxmem.recordings import Recording
from jaxmem.recordings.class_rule import (
    BEST_FIT_RULE,
    CLASS_FITS,
    LONG,
    REQUEST_CLASSES,
    SMALL,
    RuleNumbers,
    all_rules,
    class_rule,
    class_rules,
)
from jaxmem.recordings.orders import order_of
from jaxmem.recordings.profile import UNFORETOLD
from jaxmem.recordings.replay import events_of, replay

FIRST, LAST, BEST, BEST_HIGH = range(4)


def made(seed: int, requests: int = 300):
    """Events of sizes that often tie, with lifetimes foretold well, badly or not at all."""
    random = np.random.default_rng(seed)
    long = random.random(requests) < 0.3
    lifetime = np.where(long, random.integers(25, 120, requests), random.integers(1, 6, requests))
    lifetime = np.where(random.random(requests) < 0.03, NEVER, lifetime)
    sizes = random.choice([1, 2, 2, 3, 5, 8, 13], requests)
    told = np.where(random.random(requests) < 0.8, lifetime, random.integers(1, 200, requests))
    told = np.where(random.random(requests) < 0.2, UNFORETOLD, told).astype(np.int32)
    return replace(events_of(Recording("made", sizes, lifetime), 1), foretold=told)


def starts(events, rule: RuleNumbers, cells: int) -> list[int]:
    return replay(events, cells, class_rule(rule)).start.tolist()


@pytest.mark.parametrize("seed", range(24))
def test_every_block_goes_where_the_oracle_puts_it(seed):
    random = np.random.default_rng(seed)
    events = made(seed)
    fits = tuple(int(fit) for fit in random.integers(0, 4, 4))
    rule = RuleNumbers(
        int(random.choice([3, *LONG[:2], LONG[-1]])), int(random.choice(SMALL)), fits
    )
    recording = events.recording
    for factor in (0.8, 1.1, 1.6):  # in the first requests fail
        cells = int(factor * events.peak_live)
        expected = slow_starts(
            rule, cells, recording.size.tolist(), recording.lifetime.tolist(), events.foretold
        )
        assert starts(events, rule, cells) == expected
        assert (-1 in expected) == (factor < 1) or factor == 1.1


@pytest.mark.parametrize("seed", range(8))
def test_what_is_excepted_goes_where_the_oracle_puts_it(seed):
    random = np.random.default_rng(seed)
    events = made(seed)
    run = events.recording
    contexts = np.stack([random.integers(-1, most, run.requests) for most in (60, 12, 4)], axis=1)
    exceptions = tuple(
        (int(random.integers(60)), int(random.integers(4))) for _ in range(random.integers(1, 9))
    )
    rule = RuleNumbers(30, 32, (0, 1, 2, 3), exceptions)
    events = replace(events, contexts=contexts.astype(np.int32))
    cells = int(1.2 * events.peak_live)
    columns = run.size.tolist(), run.lifetime.tolist(), events.foretold
    expected = slow_starts(rule, cells, *columns, contexts=contexts.tolist())
    assert starts(events, rule, cells) == expected
    assert expected != slow_starts(rule._replace(exceptions=()), cells, *columns)
    # Of rules side by side each has its own exceptions, or none.
    plain = rule._replace(exceptions=())
    both = class_rules([plain, rule])
    for at, one in enumerate((plain, rule)):
        alone = jax.tree.map(lambda leaf, at=at: leaf[at], both)
        assert replay(events, cells, alone).start.tolist() == starts(events, one, cells)


def four_holes(size: int, told: int, rule: RuleNumbers) -> int:
    """The start in an arena of 64 with holes 2-6, 10-14, 20-30 and 50-64, of one more block."""
    sizes = [2, 4, 4, 4, 6, 10, 20, size]
    lifetime = [NEVER, 6, NEVER, 4, NEVER, 2, NEVER, NEVER]
    foretold = np.array([UNFORETOLD] * 7 + [told], np.int32)
    events = events_of(Recording("holes", np.array(sizes), np.array(lifetime)), 1)
    return starts(replace(events, foretold=foretold), rule, 64)[-1]


@pytest.mark.parametrize(
    ("fit", "start"),
    [(FIRST, 2), (LAST, 61), (BEST, 2), (BEST_HIGH, 3)],  # of the two tightest holes the lower one
)
@pytest.mark.parametrize(
    ("size", "told", "kind"), [(3, 30, 0), (3, 30, 1), (3, 31, 2), (3, NEVER, 3)]
)
def test_each_class_has_its_fit_and_ties_go_to_the_lowest_hole(fit, start, size, told, kind):
    # Up to a sixteenth of 64 is small: 3 is; of an arena's 128th it is not.
    parts = 16 if kind in (0, 2) else 128
    other = FIRST if fit != FIRST else LAST
    fits = [other] * 4
    fits[kind] = fit
    rule = RuleNumbers(30, parts, (fits[0], fits[1], fits[2], fits[3]))
    assert four_holes(size, told, rule) == start


def test_what_is_not_foretold_goes_where_best_fit_puts_it():
    everything_last = RuleNumbers(30, 16, (LAST,) * 4)
    assert four_holes(8, UNFORETOLD, everything_last) == 20
    assert four_holes(8, 1, everything_last) == 56


@pytest.mark.parametrize("seed", [1, 2])
def test_best_fit_and_two_ended_are_among_the_rules(seed):
    events = made(seed)
    told = replace(events, foretold=np.maximum(events.foretold, 1))
    for cells in (int(factor * events.peak_live) for factor in (0.9, 1.05, 1.5)):
        small = cells // 32
        for rule, order, played in (
            (BEST_FIT_RULE, order_of("best"), events),
            (RuleNumbers(300, 64, (BEST,) * 4), order_of("best"), told),
            (RuleNumbers(300, 64, (FIRST,) * 4), order_of("first"), told),
            (RuleNumbers(30, 32, (FIRST, LAST, FIRST, LAST)), order_of("two_ended", small), told),
            (
                RuleNumbers(30, 32, (BEST, BEST_HIGH, BEST, BEST_HIGH)),
                order_of("two_ended_tuned", small),
                told,
            ),
        ):
            expected = replay(events, cells, order)
            found = replay(played, cells, class_rule(rule))
            np.testing.assert_array_equal(found.start, expected.start)
            np.testing.assert_array_equal(found.failed, expected.failed)


def test_all_rules_are_there_once_and_each_comes_back_from_the_arrays():
    rules = all_rules()
    assert len(rules) == len(set(rules)) == len(LONG) * len(SMALL) * 4**4 // 2 == 2560
    assert {rule.long for rule in rules} == {*LONG}
    assert {CLASS_FITS[rule.fits[0]] for rule in rules} == {"first, low end", "best, low end"}
    assert {rule.fits[3] for rule in rules} == {0, 1, 2, 3}
    some = rules[::97]
    together = class_rules(some)
    for at, rule in enumerate(some):
        for one, many in zip(
            jax.tree.leaves(class_rule(rule)), jax.tree.leaves(together), strict=True
        ):
            np.testing.assert_array_equal(one, many[at])
    assert BEST_FIT_RULE.is_best_fit
    assert not RuleNumbers(30, 16, (BEST, BEST, BEST, FIRST)).is_best_fit
    assert BEST_FIT_RULE.words == [f"{name}: best, low end" for name in REQUEST_CLASSES]
