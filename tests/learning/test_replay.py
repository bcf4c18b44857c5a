"""What the replay buffer holds: returns of n steps that never leave their arena or episode."""

import flashbax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem.learning.collect import Steps
from jaxmem.learning.replay import items_of

STRETCH, ARENAS, GAMMA = 7, 32, 0.5
KEPT = 2 * STRETCH * ARENAS  # steps in the buffer: the third stretch overwrites the first

items = jax.jit(items_of, static_argnums=(1, 2))


def tags(first):
    """A number for each step of each arena."""
    return first + np.arange(STRETCH * ARENAS, dtype=np.float32).reshape(STRETCH, ARENAS)


@pytest.fixture(scope="module")
def steps():
    random = np.random.default_rng(0)
    ends = random.random((2, STRETCH, ARENAS))
    return Steps(
        row=jnp.asarray(tags(0.0)),
        reward=jnp.asarray(random.normal(0, 1, (STRETCH, ARENAS)), jnp.float32),
        value=jnp.zeros((STRETCH, ARENAS)),
        terminated=jnp.asarray(ends[0] < 0.15),
        truncated=jnp.asarray(ends[1] < 0.15),
        placed=jnp.ones((STRETCH, ARENAS), bool),
        after={"seen": jnp.asarray(tags(1000.0))},
    )


def slowly(steps, t, arena, n_steps):
    """Reward, discount, the time of what is seen last, and weight of one step, in plain Python."""
    total, discount, last = 0.0, 1.0, None
    for at in range(t, min(t + n_steps, STRETCH)):
        if steps.truncated[at, arena] and not steps.terminated[at, arena]:
            break
        total += discount * float(steps.reward[at, arena])
        discount, last = discount * GAMMA, at
        if steps.terminated[at, arena]:
            return total, 0.0, last, 1.0
    return total, discount, last, float(last is not None)


@pytest.mark.parametrize("n_steps", [1, 3, 20])
def test_every_step_has_its_own_return_and_what_was_seen_after_it(n_steps, steps):
    found, steps = jax.device_get((items(steps, GAMMA, n_steps), steps))
    np.testing.assert_array_equal(found.row, steps.row)
    weights = set()
    for t, arena in np.ndindex(STRETCH, ARENAS):
        total, discount, last, weight = slowly(steps, t, arena, n_steps)
        assert found.weight[t, arena] == weight
        weights.add(weight)
        if weight:
            assert found.reward[t, arena] == pytest.approx(total, abs=1e-5)
            assert found.discount[t, arena] == pytest.approx(discount)
            if discount:
                assert found.after["seen"][t, arena] == 1000 + last * ARENAS + arena
    assert weights == {0.0, 1.0}


def test_a_step_cut_off_by_the_end_of_its_sequence_counts_only_where_it_ended_by_itself(steps):
    found, steps = jax.device_get((items(steps, GAMMA, 1), steps))
    cut = np.asarray(steps.truncated & ~steps.terminated)
    assert cut.any()
    assert (steps.truncated & steps.terminated).any()
    np.testing.assert_array_equal(found.weight == 0, cut)
    np.testing.assert_array_equal((found.discount == 0) & (found.weight > 0), steps.terminated)


def test_the_buffer_draws_whole_items_and_forgets_the_oldest(steps):
    buffer = flashbax.make_item_buffer(KEPT, 1, KEPT, add_sequences=True, add_batches=True)
    kept = buffer.init(jax.tree.map(lambda leaf: leaf[0, 0], items(steps, GAMMA, 1)))
    for number in range(3):
        shift = 10_000.0 * number
        moved = steps.replace(row=steps.row + shift, after={"seen": steps.after["seen"] + shift})
        kept = jax.jit(buffer.add)(kept, items(moved, GAMMA, 1))
    drawn = jax.device_get(jax.jit(buffer.sample)(kept, jax.random.key(0)).experience)
    counts = drawn.weight > 0
    np.testing.assert_array_equal((drawn.after["seen"] - drawn.row)[counts], 1000.0)
    of_step = np.asarray(steps.reward).ravel()[(drawn.row % 10_000).astype(int)]
    np.testing.assert_allclose(drawn.reward[counts], of_step[counts])
    assert set((drawn.row // 10_000).astype(int)) == {1, 2}
    assert len(set(drawn.row.tolist())) > 0.55 * KEPT  # 1 - 1/e of them, about
