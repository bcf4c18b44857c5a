"""The protocol of a learning algorithm: two pure functions, `init` and `update`.

    state = learner.init(key, params, base_policy, numbers)
    state, metrics = learner.update(state, params)        # as often as config.updates

Both are jitted, vmapped over members of a grid and sharded over devices by whoever trains: see
`jaxmem.learning.loop`. A new algorithm is a class like `jaxmem.learning.pqn.PQN` with its settings
as `Config`, made known by `jaxmem.register_learner`.
"""

from dataclasses import Field
from typing import Any, ClassVar, Protocol, Self, TypeVar

import jax
import jax.numpy as jnp
from flax import struct

from jaxmem.environment.environment import Environment, Params
from jaxmem.learning.settings import Numbers
from jaxmem.policies import Policy
from jaxmem.policies.networks import Weights

ItsState = TypeVar("ItsState", bound="LearnerState")


class LearnerConfig(Protocol):
    """Settings of a learner, checked when they are made; hashable, so that programs are shared."""

    __dataclass_fields__: ClassVar[dict[str, Field]]
    NUMBERS: ClassVar[tuple[str, ...]]  # settings that change no shape: axes of a grid's program

    @property
    def network(self) -> str: ...  # of `jaxmem.policies.networks.SCORERS`, or mlp
    @property
    def hidden_sizes(self) -> tuple[int, ...]: ...  # hidden layers
    @property
    def hidden_feature_groups(self) -> tuple[str, ...]: ...  # that the network does not see
    @property
    def base_policy(self) -> str | None: ...  # the rule that is improved on, or "strongest"
    @property
    def margin(self) -> float: ...  # advantage that a placement needs over the rule's, in reward
    @property
    def updates(self) -> int: ...  # of a whole run
    @property
    def steps_per_update(self) -> int: ...  # environment steps, over all arenas
    @property
    def arenas_in_play(self) -> int: ...  # that devices share


class LearnerState(Protocol):
    """A run between two updates, a pytree: `arenas` lie on all devices, the rest on each."""

    @property
    def parameters(self) -> Weights: ...  # of the network that plays
    @property
    def arenas(self) -> object: ...  # every leaf [E, ...]
    def replace(self, **changes: object) -> Self: ...


class Metrics(struct.PyTreeNode):
    """What an update, or several in a row, saw."""

    loss: jax.Array  # float32[]  mean error of the network, squared or Huber's, last update
    failed: jax.Array  # float32[]  share of requests that failed while exploring, last update
    episodes: jax.Array  # int32[]  sequences finished


class Learner(Protocol[ItsState]):
    """A learning algorithm with its settings, in an environment."""

    def __init__(self, config: Any, env: Environment) -> None: ...

    def init(
        self, key: jax.Array, params: Params, base_policy: Policy | None, numbers: Numbers
    ) -> ItsState:
        """Returns the state before the first update.

        Args:
            base_policy: the rule that is improved on; None: the learner improves on none.
            numbers: the settings in `NUMBERS`, float32[] each.
        """
        ...

    def update(self, state: ItsState, params: Params) -> tuple[ItsState, Metrics]:
        """Returns the state one update later, and what the update saw."""
        ...


def train_block(
    learner: Learner[ItsState], state: ItsState, params: Params, updates: jax.Array
) -> tuple[ItsState, Metrics]:
    """Updates `updates` (int32[]) times in one compiled loop; episodes are summed."""

    def body(_, carry):
        state, before = carry
        state, metrics = learner.update(state, params)
        return state, metrics.replace(episodes=before.episodes + metrics.episodes)

    nothing = Metrics(loss=jnp.float32(0), failed=jnp.float32(0), episodes=jnp.int32(0))
    return jax.lax.fori_loop(0, updates, body, (state, nothing))
