"""What the learners share: how a run starts, and updates in blocks that do not wait for the host.

`make_train(config, env)` of a learner gives the two pure functions of a training run,
`start(key, params, guide, numbers) -> Learner` and `train(learner, params, updates)`, which goes on
for `updates` (int32[]) updates. Both can be vmapped over runs that differ in their seeds, requests,
guides' parameters and numbers.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from jaxmem.environment.environment import Params


class Progress(struct.PyTreeNode):
    """What a block of updates saw."""

    loss: jax.Array  # float32[]  mean error of the network, squared or Huber's, last update
    failed: jax.Array  # float32[]  share of requests that failed while exploring, last update
    episodes: jax.Array  # int32[]  sequences finished in the block


Start = Callable[..., Any]  # key, Params, guide, Numbers -> the learner before the first update
Update = Callable[[Any, Params], tuple[Any, Progress]]  # learner, params -> one update later
Block = Callable[[Any, Params, jax.Array], tuple[Any, Progress]]  # ..., updates (int32[])


def in_blocks(update: Update) -> Block:
    """The pure function that goes on for any number of updates."""

    def train(learner: Any, params: Params, updates: jax.Array) -> tuple[Any, Progress]:
        def go_on(_, carry):
            learner, before = carry
            learner, progress = update(learner, params)
            return learner, progress.replace(episodes=before.episodes + progress.episodes)

        nothing = Progress(loss=jnp.float32(0), failed=jnp.float32(0), episodes=jnp.int32(0))
        return jax.lax.fori_loop(0, updates, go_on, (learner, nothing))

    return train
