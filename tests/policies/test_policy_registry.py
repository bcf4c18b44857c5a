"""One registry of policies, by name; a policy is a pytree of its parameters."""

import chex
import jax
import jax.numpy as jnp
import pytest
from networks import scorer_weights

from jaxmem.arena.making import new_arena
from jaxmem.environment.situation import Situation
from jaxmem.policies import policy
from jaxmem.policies.learned import learned
from jaxmem.rules import FITS, NAMES, RULES, TUNED, Place, Rule

CELLS, HORIZON = 40, 40
HIDDEN_SIZES = (8,)


@pytest.fixture(scope="module")
def situations():
    """An empty arena and requests of 1 to 9 cells."""

    @jax.jit
    @jax.vmap
    def situation(size):
        arena = new_arena(CELLS, CELLS, HORIZON)
        return Situation(arena, size, jnp.float32(0), jnp.int32(0))

    return situation(jnp.arange(1, 10))


def network():
    return scorer_weights(HIDDEN_SIZES)


@pytest.mark.parametrize("name", NAMES)
def test_a_policy_carries_its_name_and_its_parameters(name):
    tuning = RULES[name].tuning
    parameters = (4, *tuning.untuned) if tuning else None
    made = policy(name, parameters)
    assert made.name == name
    number = [FITS.index(name)] if name in FITS else []
    assert jax.tree.leaves(made) == jax.tree.leaves(parameters) + number


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("frist", "unknown policy 'frist'; did you mean first"),
        ("worse", "did you mean worst"),
        ("two-ended", "did you mean two_ended"),
        ("", "known: first, second, best"),
        ("learned", "unknown policy 'learned'"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest_names(name, message):
    with pytest.raises(ValueError, match=message):
        policy(name)


@pytest.mark.parametrize("name", TUNED)
def test_a_rule_that_must_be_tuned_needs_its_threshold(name):
    with pytest.raises(ValueError, match=f"{name} needs a threshold"):
        policy(name)


@pytest.mark.parametrize(
    "players",
    [
        lambda: [policy("two_ended", jnp.int32(threshold)) for threshold in (2, 5)],
        lambda: [
            learned(parameters, 3, list(HIDDEN_SIZES))
            for parameters in (network(), jax.tree.map(jnp.zeros_like, network()))
        ],
    ],
    ids=["two_ended", "learned"],
)
def test_other_parameters_do_not_compile_again(players, situations):
    chex.clear_trace_counter()

    @jax.jit
    @chex.assert_max_traces(n=1)
    def play(player, keys, situations):
        return jax.vmap(player)(keys, situations)

    keys = jax.random.split(jax.random.key(0), 9)
    one, other = (play(player, keys, situations) for player in players())
    assert (one != other).any()


def test_a_rule_keeps_its_function_so_that_its_programs_are_shared():
    assert policy("two_ended", 2).rule is policy("two_ended", 5).rule


def test_a_rule_without_order_and_function_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(RULES, "lucky", Rule("lucky", "lucky", "#000000"))
    with pytest.raises(LookupError, match=r"lucky has no order, and placement_rules\.py no"):
        policy("lucky")


def test_an_order_alone_makes_a_rule_in_cells(monkeypatch, situations):
    order = (Place("best", high=True), Place("worst"))
    monkeypatch.setitem(RULES, "lucky", Rule("lucky", "lucky", "#000000", order=order))
    keys = jax.random.split(jax.random.key(0), 9)
    starts = jax.vmap(policy("lucky", jnp.int32(4)))(keys, situations)
    assert starts.tolist() == [CELLS - size for size in range(1, 5)] + [0] * 5


def test_all_fits_are_one_program(situations):
    chex.clear_trace_counter()

    @jax.jit
    @chex.assert_max_traces(n=1)
    def play(player, keys, situations):
        return jax.vmap(player)(keys, situations)

    keys = jax.random.split(jax.random.key(0), 9)
    for name in FITS:
        assert play(policy(name).replace(name=""), keys, situations).tolist() == [0] * 9


def test_parameters_may_be_batched(situations):
    thresholds = jnp.arange(10)
    players = policy("two_ended", thresholds)
    situation = jax.tree.map(lambda leaf: leaf[3], situations)  # a request of 4 cells
    starts = jax.jit(jax.vmap(lambda player: player(jax.random.key(0), situation)))(players)
    assert starts.tolist() == [CELLS - 4] * 4 + [0] * 6
