"""One PQN update, on steps made by hand: what it learns from, and what it does not."""

import functools
import re
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from optax.tree_utils import tree_get_all_with_path

from jaxmem.environment.environment import Environment
from jaxmem.environment.observations import FEATURES
from jaxmem.learning import pqn
from jaxmem.learning.collect import Arenas, Steps
from jaxmem.learning.learner import train_block
from jaxmem.learning.pqn import PQN
from jaxmem.learning.settings import numbers_of
from jaxmem.policies.networks import Scorer
from jaxmem.settings.learner import PQNConfig

ARENAS, ROLLOUT, COLUMNS = 4, 6, len(FEATURES)
CONFIG = PQNConfig(
    steps=10 * ARENAS * ROLLOUT,
    arenas=ARENAS,
    rollout=ROLLOUT,
    gamma=0.5,
    lambda_=0.0,
    epochs=1,
    minibatches=1,
    learning_rate=1e-3,
    max_grad_norm=1e9,
    final_epsilon=0.25,
    exploration_fraction=0.5,
    hidden_sizes=(8,),
)
ENV = Environment(cells=8, horizon=4)


@struct.dataclass
class Given:
    """In the place of environment parameters: the steps that will have been collected."""

    steps: Steps
    last: jax.Array


def start_given(env, params, key, count):
    return Arenas(observation=jnp.zeros((count, 3, COLUMNS)), state=jnp.zeros(count))


@pytest.fixture(scope="module")
def epsilons():
    """Collects what is given instead of playing, and tells with which epsilon."""
    seen = []

    def collect_given(env, params, q, network, arenas, key, epsilon, steps):
        assert steps == ROLLOUT
        jax.debug.callback(lambda value: seen.append(float(value)), epsilon, ordered=True)
        return arenas, params.steps, params.last

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(pqn, "start_arenas", start_given)
        monkeypatch.setattr(pqn, "collect", collect_given)
        yield seen


@pytest.fixture(scope="module")
def learner(epsilons):
    """`start(key, given)` and `train(learner, given, updates)`."""
    return programs(CONFIG)


def programs(config):
    """The functions of PQN, compiled, with what a run starts from filled in."""
    pqn, numbers = PQN(config, ENV), numbers_of(config)
    train = functools.partial(train_block, pqn)
    return jax.jit(lambda key, at: pqn.init(key, at, None, numbers)), jax.jit(train)


def given(**changes):
    random = np.random.default_rng(0)
    steps = {
        "row": random.normal(0, 1, (ROLLOUT, ARENAS, COLUMNS)),
        "reward": random.normal(0, 1, (ROLLOUT, ARENAS)),
        "value": random.normal(0, 1, (ROLLOUT, ARENAS)),
        "terminated": random.random((ROLLOUT, ARENAS)) < 0.2,
        "truncated": random.random((ROLLOUT, ARENAS)) < 0.3,
        "placed": random.random((ROLLOUT, ARENAS)) < 0.75,
    }
    steps.update(changes)
    last = random.normal(0, 1, ARENAS)
    kinds = dict.fromkeys(("row", "reward", "value"), np.float32)
    arrays = {name: np.asarray(of, kinds.get(name, bool)) for name, of in steps.items()}
    return jax.device_put(Given(Steps(**arrays), last.astype(np.float32)))


def counted(steps):
    return ~np.asarray(steps.truncated) | np.asarray(steps.terminated)


def difference(before, after):
    return jax.tree.map(lambda one, two: np.asarray(two) - np.asarray(one), before, after)


def test_one_update_is_one_step_down_the_squared_error_of_the_steps_that_count(learner):
    start, train = learner
    at = given()
    before = start(jax.random.key(0), at)
    after, progress = train(before, at, 1)

    steps, following = at.steps, np.vstack([at.steps.value[1:], at.last[None]])
    target = np.where(steps.terminated, steps.reward, steps.reward + 0.5 * following)
    counts = counted(steps)
    assert 0 < counts.sum() < counts.size

    def loss(parameters):
        values = Scorer(CONFIG.hidden_sizes).apply(parameters, steps.row[counts])
        return jnp.mean((values - target[counts]) ** 2)

    expected, gradient = jax.device_get(jax.jit(jax.value_and_grad(loss))(before.parameters))
    assert progress.loss == pytest.approx(float(expected), rel=1e-5)
    # The first step of RAdam is one of plain descent: nothing is known of the variance yet.
    for change, slope in zip(
        jax.tree.leaves(difference(before.parameters, after.parameters)),
        jax.tree.leaves(gradient),
        strict=True,
    ):
        np.testing.assert_allclose(change, -1e-3 * slope, rtol=1e-3, atol=1e-7)
    assert max(np.abs(slope).max() for slope in jax.tree.leaves(gradient)) > 0.1


def test_progress_counts_failures_and_finished_sequences(learner):
    start, train = learner
    at = given()
    _, progress = train(start(jax.random.key(0), at), at, 3)
    assert progress.failed == pytest.approx(1 - np.mean(at.steps.placed))
    assert progress.episodes == 3 * np.sum(at.steps.terminated | at.steps.truncated)


def test_a_step_that_was_cut_off_teaches_nothing(learner):
    start, train = learner
    at = given()
    before = start(jax.random.key(0), at)
    nothing = ~counted(at.steps)
    other = given(
        row=np.where(nothing[..., None], 99.0, at.steps.row),
        reward=np.where(nothing, -7.0, at.steps.reward),
    )
    assert (other.steps.row != at.steps.row).any()
    one, two = (train(before, case, 1) for case in (at, other))
    assert jax.tree.all(jax.tree.map(np.array_equal, one[0].parameters, two[0].parameters))
    assert one[1].loss == two[1].loss


def test_nothing_is_learnt_where_every_step_was_cut_off(learner):
    start, train = learner
    at = given(truncated=np.ones((ROLLOUT, ARENAS)), terminated=np.zeros((ROLLOUT, ARENAS)))
    before = start(jax.random.key(0), at)
    after, progress = train(before, at, 2)
    assert progress.loss == 0
    assert jax.tree.all(jax.tree.map(np.array_equal, before.parameters, after.parameters))


def test_exploration_falls_in_a_line_and_stays(learner, epsilons):
    start, train = learner
    at = given()
    jax.effects_barrier()
    epsilons.clear()
    state, _ = train(start(jax.random.key(0), at), at, 4)
    state, _ = train(state, at, 6)
    jax.effects_barrier()
    assert state.updates == CONFIG.updates == 10
    assert epsilons == pytest.approx([1.0, 0.85, 0.7, 0.55, 0.4, *[0.25] * 5])


def test_blocks_of_updates_are_the_same_updates(learner):
    start, train = learner
    at = given()
    begin = start(jax.random.key(0), at)
    at_once, _ = train(begin, at, 6)
    in_blocks, _ = train(train(begin, at, 2)[0], at, 4)
    assert jax.tree.all(jax.tree.map(np.array_equal, at_once.parameters, in_blocks.parameters))


def test_an_update_is_epochs_times_minibatches_clipped_steps_of_a_falling_rate(epsilons):
    # One update: four steps, in which the rate falls from 1e-3 towards 1e-4.
    rates = [1e-3, 7.75e-4, 5.5e-4, 3.25e-4]
    config = replace(
        CONFIG,
        steps=1,
        epochs=2,
        minibatches=2,
        max_grad_norm=0.01,
        learning_rate=rates[0],
        final_learning_rate=1e-4,
    )
    start, train = programs(config)
    at = given()
    before = start(jax.random.key(0), at)
    after, _ = train(before, at, 1)
    counts = [count for _, count in tree_get_all_with_path(after.optimizer, "count")]
    assert counts
    assert all(count == 4 for count in counts)
    moved = jax.tree.leaves(difference(before.parameters, after.parameters))
    norm = np.sqrt(sum(np.square(leaf).sum() for leaf in moved))
    # The gradients of the minibatches point about the same way, and none is longer than 0.01.
    assert 0.6 * 0.01 * sum(rates) < norm <= 0.01 * sum(rates)


def test_another_seed_begins_with_another_network_and_the_same_seed_with_the_same(learner):
    start, _ = learner
    one, same, other = (start(jax.random.key(seed), given()).parameters for seed in (0, 0, 1))
    assert jax.tree.all(jax.tree.map(np.array_equal, one, same))
    assert not jax.tree.all(jax.tree.map(np.array_equal, one, other))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "learner.steps is 0; a whole number of at least 1"),
        ({"steps": 1e6}, "learner.steps is 1000000.0; a whole number"),
        ({"arenas": True}, "learner.arenas is True; a whole number"),
        ({"rollout": -1}, "learner.rollout is -1"),
        ({"epochs": 0}, "learner.epochs is 0"),
        ({"minibatches": "32"}, "learner.minibatches is '32'"),
        ({"minibatches": 7}, "learner.minibatches is 7; it must divide the 8192 steps"),
        ({"gamma": 1.01}, "learner.gamma is 1.01; a number from 0 to 1"),
        ({"gamma": float("nan")}, "learner.gamma is nan"),
        ({"lambda_": -0.1}, "learner.lambda_ is -0.1"),
        ({"lambda_": True}, "learner.lambda_ is True"),
        ({"final_epsilon": 2}, "learner.final_epsilon is 2"),
        ({"exploration_fraction": None}, "learner.exploration_fraction is None"),
        ({"learning_rate": 0}, "learner.learning_rate is 0; a number above 0"),
        ({"learning_rate": float("inf")}, "learner.learning_rate is inf"),
        ({"final_learning_rate": -1e-3}, "learner.final_learning_rate is -0.001"),
        ({"max_grad_norm": "big"}, "learner.max_grad_norm is 'big'"),
        ({"hidden_sizes": ()}, "network.hidden_sizes is []; a list of whole numbers of at least 1"),
        ({"hidden_sizes": (64, 0)}, "network.hidden_sizes is [64, 0]"),
        ({"hidden_sizes": (64.0,)}, "network.hidden_sizes is [64.0]"),
    ],
)
def test_a_setting_out_of_range_is_refused(settings, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        PQNConfig(**settings)


@pytest.mark.parametrize(("steps", "updates"), [(1, 1), (8192, 1), (8193, 2), (6_000_000, 733)])
def test_steps_are_rounded_up_to_whole_updates(steps, updates):
    assert PQNConfig(steps=steps).updates == updates
