"""When an episode ends before its sequence is over."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from jaxmem.environment.situation import Situation
from jaxmem.workloads.registry import Workload


class Ended(NamedTuple):
    """The two ways in which an answer ends an episode before its sequence is over."""

    lost: jax.Array  # bool[]  the request failed, and failures end episodes
    full: jax.Array  # bool[]  the request was the last that the arena had room for


@struct.dataclass
class Ending:
    """The rule for the end of an episode."""

    at_failure: jax.Array  # bool[]  the first failed request ends it
    above: jax.Array  # float32[]  so does a larger live share of the arena

    def after(self, situation: Situation, start: jax.Array) -> Ended:
        """Tells whether the episode ends with this request at `start` (int32[], or NOWHERE)."""
        return Ended(
            lost=(start < 0) & self.at_failure,
            full=situation.live_with(start) > self.above * situation.arena.cells,
        )


def ending_of(workload: Workload) -> Ending:
    """Returns the rule of a workload as arrays, so that one program serves all of them."""
    return Ending(jnp.bool_(workload.stop_at_failure), jnp.float32(workload.stop_above))
