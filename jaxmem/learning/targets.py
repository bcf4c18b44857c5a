"""What a Q-value should have been."""

import chex
import jax
import jax.numpy as jnp


def lambda_targets(
    reward: jax.Array,
    value: jax.Array,
    terminated: jax.Array,
    truncated: jax.Array,
    last_value: jax.Array,
    gamma: float | jax.Array,
    lambda_: float | jax.Array,
) -> jax.Array:
    """Peng's Q(lambda) targets over one stretch of S steps.

    With V_t = max over legal a of Q(s_t, a) and V_S = `last_value`:

        G_t = r_t + gamma * (lambda * G_{t+1} + (1 - lambda) * V_{t+1}),   G_S = V_S
        G_t = r_t   where step t terminated its episode
        G_t = V_t   where step t was cut off by the end of its sequence

    The arena after a truncated step is already the next episode's, so its own value stands in for
    what would have followed, and the step itself has nothing to learn from.

    Args:
        reward, value, terminated, truncated: [S, ...]; last_value: [...].

    Returns:
        float32[S, ...].

    Source: Peng and Williams 1994; as in PQN (Gallici et al. 2024, section 4).
    """
    chex.assert_equal_shape([reward, value, terminated, truncated])
    chex.assert_equal_shape([reward[0], last_value])

    def back(carry, step):
        following, following_value = carry
        reward, value, terminated, truncated = step
        mixed = lambda_ * following + (1.0 - lambda_) * following_value
        target = reward + gamma * jnp.where(terminated, 0.0, mixed)
        target = jnp.where(truncated & ~terminated, value, target)
        return (target, value), target

    begin = (last_value, last_value)
    _, targets = jax.lax.scan(back, begin, (reward, value, terminated, truncated), reverse=True)
    return targets


def double_q_targets(
    reward: jax.Array,
    discount: jax.Array,
    online: jax.Array,
    target: jax.Array,
) -> jax.Array:
    """Double Q-learning targets of B steps.

        a* = argmax over legal a of Q_online(s', a)
        G  = r + discount * Q_target(s', a*)

    One network chooses and the other values, so that the noise of one is not taken for worth.

    Args:
        reward: float32[B].
        discount: float32[B]  0 where the episode ended: nothing follows.
        online, target: float32[B, A]  values of the next situation, -inf for illegal actions; at
            least one is legal.

    Returns:
        float32[B].

    Source: van Hasselt, Guez and Silver 2016, equation 4.
    """
    chex.assert_equal_shape([reward, discount])
    chex.assert_equal_shape([online, target])
    chosen = jnp.argmax(online, axis=-1)
    following = jnp.take_along_axis(target, chosen[:, None], axis=-1)[:, 0]
    return reward + discount * following
