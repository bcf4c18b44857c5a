"""Steps as a replay buffer keeps them: each whole, with what was seen when its return was cut."""

from typing import Generic

import jax
import jax.numpy as jnp
from flax import struct

from jaxmem.learning.collect import Steps
from jaxmem.policies.q_functions import Seen, Taken


@struct.dataclass
class Item(Generic[Seen, Taken]):
    """One step in the buffer: G = reward + discount * value of `after`."""

    row: Taken  # what the network reads of the action taken, as in `Steps`
    reward: jax.Array  # float32[]  the discounted sum over the steps until `after`
    discount: jax.Array  # float32[]  of what follows; 0: the episode ended
    after: Seen  # what is seen then
    weight: jax.Array  # float32[]  0: cut off by the end of its sequence, nothing to learn


def items_of(
    steps: Steps[Seen, Taken], gamma: float | jax.Array, n_steps: int
) -> Item[Seen, Taken]:
    """Collected steps with the rewards of the next n: [S, E, ...].

    With m <= n steps until the stretch, the episode or the sequence ends:

        reward_t = r_t + gamma * r_{t+1} + ... + gamma^(m-1) * r_{t+m-1}
        discount_t = gamma^m, or 0 where step t+m-1 terminated its episode

    What is seen after a truncated step is the next episode's. So returns are cut before it, and the
    step itself has weight 0.

    Args:
        n_steps: n; above 1 as in Rainbow (Hessel et al. 2018), without correcting for exploration.
    """
    stretch, count = steps.reward.shape
    time = jnp.arange(stretch)[:, None]
    arena = jnp.arange(count)
    cut = steps.truncated & ~steps.terminated

    def further(carry, k):
        reward, length, open_ = carry
        at = jnp.minimum(time + k, stretch - 1)
        counts = open_ & (time + k < stretch) & ~cut[at, arena]
        reward = reward + jnp.where(counts, gamma**k * steps.reward[at, arena], 0.0)
        return (reward, length + counts, counts & ~steps.terminated[at, arena]), None

    nothing = jnp.zeros_like(steps.reward)
    begin = (nothing, nothing.astype(jnp.int32), jnp.ones_like(cut))
    (reward, length, _), _ = jax.lax.scan(further, begin, jnp.arange(n_steps))
    last = jnp.maximum(time + length - 1, 0)
    ended = steps.terminated[last, arena] & (length > 0)
    return Item(
        row=steps.row,
        reward=reward,
        discount=jnp.where(ended, 0.0, gamma**length).astype(jnp.float32),
        after=jax.tree.map(lambda leaf: leaf[last, arena], steps.after),
        weight=(length > 0).astype(jnp.float32),
    )
