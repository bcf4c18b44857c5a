"""Lambda and double-Q targets: by hand, and against plain Python."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem.learning.targets import double_q_targets, lambda_targets

jitted = jax.jit(lambda_targets)
NO = [False, False, False]
REWARD, VALUE, LAST = [-1.0, 0.0, -2.0], [10.0, 20.0, 30.0], 40.0


def targets(gamma, lambda_, terminated=NO, truncated=NO, reward=REWARD, value=VALUE, last=LAST):
    columns = (jnp.array(reward), jnp.array(value), jnp.array(terminated), jnp.array(truncated))
    return jitted(*columns, jnp.float32(last), gamma, lambda_).tolist()


def test_lambda_0_looks_one_step_ahead():
    assert targets(0.5, 0.0) == [-1 + 10, 0 + 15, -2 + 20]


def test_lambda_1_is_the_whole_discounted_return():
    assert targets(0.5, 1.0) == [-1 + 0.5 * 9, 0.5 * 18, -2 + 0.5 * 40]


def test_lambda_between_mixes_the_target_and_the_value_that_follow():
    last = -2 + 0.5 * 40  # 18
    middle = 0.5 * (0.25 * last + 0.75 * 30)  # 13.5
    assert targets(0.5, 0.25) == [-1 + 0.5 * (0.25 * middle + 0.75 * 20), middle, last]


def test_gamma_0_is_the_reward():
    assert targets(0.0, 0.9) == REWARD


@pytest.mark.parametrize("lambda_", [0.0, 0.5, 1.0])
def test_nothing_follows_a_termination(lambda_):
    ended = targets(0.5, lambda_, terminated=[False, True, False])
    assert ended[1] == 0.0
    assert ended[0] == -1 + 0.5 * (1 - lambda_) * 20
    assert ended[2] == 18.0
    assert targets(0.5, lambda_, terminated=[False, False, True])[2] == -2.0


@pytest.mark.parametrize("lambda_", [0.0, 0.5, 1.0])
def test_a_truncated_step_stands_for_its_own_value(lambda_):
    cut = targets(0.5, lambda_, truncated=[False, True, False])
    assert cut == [-1 + 0.5 * 20, 20.0, 18.0]
    assert targets(0.5, lambda_, truncated=[False, False, True])[2] == 30.0


def test_a_step_that_is_terminated_and_truncated_is_terminated():
    both = targets(0.5, 0.5, terminated=[False, True, False], truncated=[False, True, False])
    assert both == targets(0.5, 0.5, terminated=[False, True, False])


def slowly(reward, value, terminated, truncated, last, gamma, lambda_):
    """The definition, step by step backwards, for one arena."""
    steps = len(reward)
    target = [0.0] * steps
    for t in reversed(range(steps)):
        next_value = value[t + 1] if t + 1 < steps else last
        next_target = target[t + 1] if t + 1 < steps else last
        if terminated[t]:
            target[t] = reward[t]
        elif truncated[t]:
            target[t] = value[t]
        else:
            target[t] = reward[t] + gamma * (lambda_ * next_target + (1 - lambda_) * next_value)
    return target


@pytest.mark.parametrize(("gamma", "lambda_"), [(0.99, 0.9), (1.0, 1.0), (0.9, 0.0), (0.5, 0.3)])
def test_targets_are_those_of_the_plain_recursion(gamma, lambda_):
    random = np.random.default_rng(0)
    shape = (50, 40)
    reward, value = random.normal(0, 1, (2, *shape)).astype(np.float32)
    terminated, truncated = random.random((2, *shape)) < 0.15
    last = random.normal(0, 1, shape[1]).astype(np.float32)
    assert (terminated & truncated).any()
    assert (terminated[-1] | truncated[-1]).any()
    found = jitted(reward, value, terminated, truncated, last, gamma, lambda_)
    assert found.dtype == jnp.float32
    columns = zip(reward.T, value.T, terminated.T, truncated.T, last, strict=True)
    expected = np.transpose([slowly(*arena, gamma, lambda_) for arena in columns])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_arrays_that_do_not_belong_together_are_refused():
    steps, flags = jnp.zeros((5, 3)), jnp.zeros((5, 3), bool)
    with pytest.raises(AssertionError):
        lambda_targets(steps, jnp.zeros((4, 3)), flags, flags, jnp.zeros(3), 0.9, 0.9)
    with pytest.raises(AssertionError):
        lambda_targets(steps, steps, flags, flags, jnp.zeros(()), 0.9, 0.9)


def test_one_network_chooses_among_the_legal_actions_and_the_other_values():
    nothing = -np.inf
    online = jnp.array([[1.0, 5.0, nothing], [4.0, 2.0, 3.0], [nothing, nothing, -8.0]])
    target = jnp.array([[30.0, 10.0, nothing], [1.0, 2.0, 3.0], [nothing, nothing, 6.0]])
    found = double_q_targets(jnp.array([-1.0, 0.0, -2.0]), jnp.full(3, 0.5), online, target)
    assert found.tolist() == [-1 + 0.5 * 10, 0 + 0.5 * 1, -2 + 0.5 * 6]


def test_double_q_targets_are_those_of_plain_python():
    random = np.random.default_rng(0)
    steps, actions = 200, 5
    reward, discount = random.normal(0, 1, steps), random.choice([0.0, 0.9, 0.81], steps)
    values = random.normal(0, 1, (2, steps, actions))
    legal = random.random((steps, actions)) < 0.4
    legal[:, -1] |= ~legal.any(axis=1)
    masked = jnp.asarray(np.where(legal, values, -np.inf), jnp.float32)
    columns = (jnp.asarray(column, jnp.float32) for column in (reward, discount))
    found = double_q_targets(*columns, *masked)
    for step in range(steps):
        allowed = [action for action in range(actions) if legal[step, action]]
        best = max(allowed, key=lambda action: values[0, step, action])
        wanted = reward[step] + discount[step] * values[1, step, best]
        assert found[step] == pytest.approx(wanted, abs=1e-5)
