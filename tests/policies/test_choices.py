"""What the heuristics and a Q-network choose, in arenas by hand and in hundreds drawn at random."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import scorer_weights
from oracle import NOWHERE, SlowArena

from jaxmem.arena.making import new_arena
from jaxmem.environment.observations import candidates, pack
from jaxmem.environment.situation import Situation
from jaxmem.policies import policy
from jaxmem.policies.learned import BaseRule, learned
from jaxmem.policies.placement_rules import APART_COST, HINT_HOLES, REST_COST

CELLS, HORIZON = 40, 62
CASES, BLOCKS = 256, 20  # every arena is one of CASES, with room for BLOCKS: one program for all
NEVER = 2**29


@dataclass
class Case:
    """A request that waits in an arena."""

    blocks: list[tuple[int, int, int]]  # start, size, predicted time of death (0: none)
    size: int
    hint: float = 0.0
    now: int = 0

    def slow(self) -> SlowArena:
        arena = SlowArena(CELLS)
        for start, size, forecast in self.blocks:
            arena.place(start, size, NEVER, forecast)
        arena.tick(self.now)
        return arena


@jax.jit
@jax.vmap
def _situation(blocks, size, hint, now):
    def put(arena, block):
        return arena.place(block[0], block[1], jnp.int32(NEVER), block[2]), None

    arena, _ = jax.lax.scan(put, new_arena(CELLS, CELLS, HORIZON), blocks)
    return Situation(arena.replace(now=now), size, hint, jnp.int32(0))


def situations_of(cases):
    """The cases as one batch of CASES situations; the last one is repeated."""
    cases = [*cases, *[cases[-1]] * (CASES - len(cases))]
    blocks = np.tile(np.int32([NOWHERE, 1, 0]), (CASES, BLOCKS, 1))
    for number, case in enumerate(cases):
        for place, block in enumerate(case.blocks):
            blocks[number, place] = block
    return _situation(
        blocks,
        np.int32([case.size for case in cases]),
        np.float32([case.hint for case in cases]),
        np.int32([case.now for case in cases]),
    )


_decide = jax.jit(jax.vmap(lambda player, *at: player(*at), in_axes=(None, 0, 0)))


def choices(player, cases, seed=0):
    """Where the player puts each case's request."""
    keys = jax.random.split(jax.random.key(seed), CASES)
    return np.asarray(_decide(player, keys, situations_of(cases)))[: len(cases)].tolist()


@pytest.fixture(scope="module")
def drawn():
    """Arenas in all states between empty and full; numbers are small, so that ties are common."""
    random = np.random.default_rng(5)

    def case():
        blocks, start = [], int(random.integers(0, 4))
        while len(blocks) < BLOCKS and (size := int(random.integers(1, 6))) + start <= CELLS:
            forecast = int(random.choice([0, *range(1, 30, 4)]))
            blocks.append((start, size, forecast))
            start += size + int(random.choice([0, 0, 1, 1, 2, 3, 4, 8]))
        return Case(
            blocks=blocks[: int(random.integers(0, BLOCKS + 1))],
            size=int(random.integers(1, 7)),
            hint=float(random.choice([0.0, 2.0, 5.5, 8.0, 12.25, 16.0, 40.0])),
            now=int(random.integers(0, 12)),
        )

    return [case() for _ in range(CASES)]


def legal_of(case):
    return case.slow().legal_starts(case.size)


@pytest.mark.parametrize("threshold", [0, 2, 3, 6])
def test_two_ended_places_small_requests_low_and_large_ones_high(threshold, drawn):
    player = policy("two_ended", jnp.int32(threshold))
    for case, start in zip(drawn, choices(player, drawn), strict=True):
        legal = legal_of(case) or [NOWHERE]
        assert start == (legal[0] if case.size <= threshold else legal[-1])


@pytest.mark.parametrize("threshold", [0, 2, 6])
@pytest.mark.parametrize("holes", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_two_ended_tuned_takes_the_low_end_for_small_and_the_high_end_for_larger(
    threshold, holes, drawn
):
    player = policy("two_ended_tuned", jnp.array([threshold, *holes]))
    for case, start in zip(drawn, choices(player, drawn), strict=True):
        slow, legal = case.slow(), legal_of(case) or [NOWHERE]
        best = slow.start_by("best", case.size)
        high = max([at for at in legal if all(cell in legal for cell in range(best, at + 1))])
        small = best if holes[0] else legal[0]
        assert start == (small if case.size <= threshold else high if holes[1] else legal[-1])


def with_base_policy(margin, rule="worst"):
    parameters = scorer_weights((8,), seed=1)
    return learned(parameters, 3, (8,), base_policy=BaseRule(policy(rule), np.float32(margin)))


def test_a_guided_policy_leaves_its_guide_only_where_that_is_worth_the_margin(drawn):
    players = with_base_policy(0.0), with_base_policy(1e6), with_base_policy(0.05), policy("worst")
    free, bound, some, base_policy = (np.array(choices(player, drawn)) for player in players)
    assert (bound == base_policy).all()
    assert ((some == free) | (some == base_policy)).all()
    assert 0 < (some != base_policy).sum() < (free != base_policy).sum()


def test_a_guide_that_takes_none_of_the_candidates_is_followed(drawn):
    # With one hole to choose from, last-fit's is a candidate only where it is the first.
    parameters = scorer_weights((8,), seed=1)
    last = policy("two_ended", jnp.int32(0))
    player = learned(parameters, 1, (8,), base_policy=BaseRule(last, np.float32(0.0)))
    outside = 0
    for case, start, its in zip(drawn, choices(player, drawn), choices(last, drawn), strict=True):
        first = case.slow().start_by("first", case.size)
        legal = legal_of(case)
        if any(cell not in legal for cell in range(first, its + 1)):
            outside += 1
            assert start == its
    assert outside > 3


@pytest.mark.parametrize("name", ["random", "hint_fit"])
def test_the_choice_is_a_legal_start_and_nowhere_only_when_there_is_none(name, drawn):
    for case, start in zip(drawn, choices(policy(name), drawn), strict=True):
        assert start in (legal_of(case) or [NOWHERE])


def test_random_takes_every_legal_start_equally_often():
    # Holes of 7, 1, 5 and 16 cells, so 5 + 3 + 14 legal starts of 3 cells.
    case = Case([(0, 2, 0), (9, 3, 0), (13, 4, 0), (22, 2, 0)], size=3)
    legal = legal_of(case)
    assert len(legal) == 22
    player, rounds = policy("random"), 10
    drawn = np.concatenate([choices(player, [case] * CASES, seed) for seed in range(rounds)])
    counts = np.array([np.count_nonzero(drawn == start) for start in legal])
    assert counts.sum() == rounds * CASES
    expected = rounds * CASES / len(legal)
    # 46.8 is the 99.9 % point of chi-square with 21 degrees of freedom.
    assert np.sum((counts - expected) ** 2 / expected) < 46.8
    assert len(set(choices(player, [case] * CASES))) > 1


def hint_fit_slowly(case):
    """The rule as it is said: the end with the least cost; ties to the shorter hole."""
    arena, life = case.slow(), case.hint
    if not case.hint:
        return arena.start_by("best", case.size)

    def stays(side):
        return side.wall or side.remaining == 0

    def touching(side):
        return life if stays(side) else min(side.remaining, life)

    offers = []
    for hole in arena.holes_that_fit(case.size, HINT_HOLES):
        rest = hole.length - case.size
        for side, other, start in (
            (hole.below, hole.above, hole.low),
            (hole.above, hole.below, hole.high),
        ):
            apart = 0 if stays(side) else abs(side.remaining - life)
            contact = touching(side) + (touching(other) if rest == 0 else 0)
            cost = life - contact + APART_COST * apart + REST_COST * rest
            offers.append((cost, hole.length, start))
    return min(offers)[-1] if offers else NOWHERE


def test_hint_fit_follows_its_rule_in_every_arena(drawn):
    assert choices(policy("hint_fit"), drawn) == [hint_fit_slowly(case) for case in drawn]


def between(a, b, c):
    """Holes 4..9 and 14..17, between blocks A 0..3, B 10..13 and C 18..39 that die at a, b, c."""
    return [(0, 4, a), (10, 4, b), (18, 22, c)]


@pytest.mark.parametrize(
    ("case", "start"),
    [
        pytest.param(Case(between(10, 50, 50), 5, hint=10.0), 4, id="A dies with it"),
        pytest.param(Case(between(50, 10, 50), 5, hint=10.0), 5, id="B dies with it: high end"),
        pytest.param(Case(between(50, 50, 11), 3, hint=10.0), 15, id="C dies nearly with it"),
        pytest.param(Case(between(50, 10, 50), 3, hint=10.0), 14, id="a rest costs: shorter hole"),
        pytest.param(Case(between(10, 30, 30), 3, hint=10.0), 14, id="and more than deaths apart"),
        pytest.param(Case(between(12, 12, 60), 5, hint=10.0), 4, id="tie: the lower address"),
        pytest.param(Case(between(4, 30, 30), 5, hint=10.0), 5, id="B is touched for longer"),
        pytest.param(Case(between(10, 0, 0), 4, hint=10.0), 14, id="an exact fit touches both"),
        pytest.param(Case(between(0, 50, 50), 5, hint=2.0), 4, id="no prediction stays"),
        pytest.param(Case(between(3, 60, 60), 5, hint=2.0, now=8), 4, id="overdue stays"),
        pytest.param(Case(between(19, 10, 60), 5, hint=10.0, now=8), 4, id="counted from now"),
        pytest.param(Case([(20, 4, 30)], 3, hint=1.0), 37, id="a wall stays"),
        pytest.param(Case([(0, 30, 60), (34, 2, 10)], 3, hint=11.0), 37, id="wall before block"),
        pytest.param(Case([(0, 30, 60), (34, 2, 10)], 3, hint=10.0), 31, id="tie with a wall"),
        pytest.param(Case([], 5, hint=9.0), 0, id="empty arena: both walls, the lower address"),
        pytest.param(Case([(0, 38, 9)], 5, hint=9.0), NOWHERE, id="nothing fits"),
        pytest.param(Case(between(10, 50, 50), 3, hint=0.0), 14, id="no hint: best fit"),
    ],
)
def test_hint_fit_by_hand(case, start):
    assert choices(policy("hint_fit"), [case]) == [start]


def test_hint_fit_looks_at_the_first_holes_only():
    # Twelve holes of two cells; the block after the ninth would die with the request.
    forecasts = [40] * 11
    forecasts[3], forecasts[HINT_HOLES] = 20, 10
    blocks = [(3 * k + 3, 1, forecast) for k, forecast in enumerate(forecasts)]
    case = Case([(0, 1, 40), *blocks, (36, 4, 40)], size=1, hint=10.0)
    assert choices(policy("hint_fit"), [case]) == [11]


def test_a_learned_policy_takes_the_candidate_of_the_largest_value(drawn):
    holes, hidden_sizes = 3, (8,)
    parameters = scorer_weights(hidden_sizes, seed=1)
    rows = jax.jit(jax.vmap(lambda at: candidates(pack(at, at.holes(holes)))))(situations_of(drawn))
    values = scores(parameters["params"], np.asarray(rows, np.float64))
    chosen = choices(learned(parameters, holes, hidden_sizes), drawn)
    for case, start, value in zip(drawn, chosen, values, strict=True):
        found = case.slow().holes_that_fit(case.size, holes)
        ends = [end for hole in found for end in (hole.low, hole.high)]
        assert start in (ends or [NOWHERE])
        # A hole just as long as the request has both its candidates at one start.
        own = [value[k] for k, end in enumerate(ends) if end == start]
        assert not ends or max(own) >= max(value[: len(ends)]) - 1e-5
    assert len(set(chosen)) > 10


def scores(network, rows):
    """The scorer in plain numpy: dense, layer norm, relu; then dense."""
    hidden = rows @ network["Dense_0"]["kernel"] + network["Dense_0"]["bias"]
    hidden = hidden - hidden.mean(-1, keepdims=True)
    hidden /= np.sqrt((hidden**2).mean(-1, keepdims=True) + 1e-6)
    norm = network["LayerNorm_0"]
    hidden = np.maximum(hidden * norm["scale"] + norm["bias"], 0)
    return (hidden @ network["Dense_1"]["kernel"] + network["Dense_1"]["bias"])[..., 0]
