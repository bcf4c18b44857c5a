"""The game as trainers of others play it: one array seen, the steps of an episode counted."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxmem.environment.environment import Environment, Params, State
from jaxmem.environment.spaces import Box
from jaxmem.environment.tasks import make
from jaxmem.workloads.registry import Workload

ILLEGAL = ("fails", "wraps")
Info = dict[str, jax.Array]


@struct.dataclass
class EpisodeParams:
    """The parameters of an episode, as gymnax has them; every leaf may be vmapped."""

    max_steps_in_episode: int | jax.Array  # requests after which it is truncated
    game: Params  # the sequences, the arena at the beginning, and what else ends an episode


@struct.dataclass
class EpisodeState:
    """One arena in the middle of an episode."""

    time: jax.Array  # int32[]  requests answered in this episode
    terminated: jax.Array  # bool[]  the answer before ended it
    game: State  # the arena, the request that waits, and the mask of legal actions

    @property
    def mask(self) -> jax.Array:
        """Tells which actions are legal, bool[A]; at least one is."""
        return self.game.mask


class Episode:
    """A task of `jaxmem.make` without its auto-reset, which trainers and their wrappers have."""

    def __init__(
        self, on: str | Workload, *, illegal: str = "fails", flat: bool = False, **options: Any
    ) -> None:
        """Makes the task.

        Args:
            on: a workload or its name.
            illegal: what an action does that is not legal. It fails the request; or it wraps:
                action a counts as the legal one of number a modulo their count, so that trainers
                without masks place whatever they choose.
            flat: observations are vectors.
            options: of `jaxmem.make`.

        Raises:
            ValueError: an unknown name, a value out of range, or an observation that is no array.
        """
        if illegal not in ILLEGAL:
            raise ValueError(f"illegal must be one of {', '.join(ILLEGAL)}, not {illegal!r}")
        env, game = make(on, **options)
        if not isinstance(env.observation_space, Box):
            raise ValueError(
                f"observation {env.observation!r} is no array, which trainers of others need; "
                "use 'candidates' or 'bitmap'"
            )
        self.env: Environment = dataclasses.replace(env, keep_last=False)
        self.name = on if isinstance(on, str) else on.name
        self.params = EpisodeParams(max_steps_in_episode=game.requests.length, game=game)
        self.illegal, self.flat = illegal, flat

    @property
    def box(self) -> Box:
        """Bounds the observations."""
        box = self.env.observation_space
        assert isinstance(box, Box)
        low, high = (np.broadcast_to(of, box.shape).astype(box.dtype) for of in (box.low, box.high))
        if self.flat:
            low, high = low.reshape(-1), high.reshape(-1)
        return Box(low.shape, box.dtype, low, high)

    def reset(self, key: jax.Array, params: EpisodeParams) -> tuple[jax.Array, EpisodeState]:
        """Begins an episode on a sequence that `key` chooses."""
        observation, game = self.env.reset(key, params.game)
        state = EpisodeState(time=jnp.int32(0), terminated=jnp.bool_(False), game=game)
        return self._seen(observation), state

    def step(
        self, state: EpisodeState, action: jax.Array, params: EpisodeParams
    ) -> tuple[jax.Array, EpisodeState, jax.Array, jax.Array, Info]:
        """Answers one request, without a reset.

        Returns:
            Observation, state, reward float32[], terminated bool[], and info of scalars.
        """
        action = jnp.asarray(action, jnp.int32)
        if self.illegal == "wraps":
            action = legal_action(action, state.mask)
        observation, game, reward, terminated, _, info = self.env.step_env(
            None, state.game, action, params.game
        )
        after = EpisodeState(time=state.time + 1, terminated=terminated, game=game)
        return self._seen(observation), after, reward, terminated, info

    def observe(self, state: EpisodeState, params: EpisodeParams) -> jax.Array:
        """Returns what is seen of a state."""
        return self._seen(self.env.observe(state.game, params.game))

    def truncated(self, state: EpisodeState, params: EpisodeParams) -> jax.Array:
        """Tells whether the sequence is over, or the steps are: bool[]."""
        over = state.game.arena.now >= params.game.requests.length
        return over | (state.time >= params.max_steps_in_episode)

    def _seen(self, observation: Any) -> jax.Array:
        return observation.reshape(-1) if self.flat else observation


class PlaysEpisodes:
    """What environments of gymnax's shape say of their task."""

    episode: Episode

    @property
    def default_params(self) -> EpisodeParams:
        """Training sequences of the workload, each played to its end."""
        return self.episode.params

    @property
    def name(self) -> str:
        """The workload."""
        return self.episode.name

    @property
    def num_actions(self) -> int:
        """A, the number of actions, the last of which refuses the request."""
        return self.episode.env.num_actions


def legal_action(action: jax.Array, mask: jax.Array) -> jax.Array:
    """Returns the action where it is legal, else the legal one of that number modulo their count.

    Args:
        action: int32[].
        mask: bool[A]  which actions are legal; at least one.
    """
    up_to = jnp.cumsum(mask)
    wrapped = jnp.argmax(up_to > action % up_to[-1])
    known = (action >= 0) & (action < mask.size)
    legal = known & mask[jnp.clip(action, 0, mask.size - 1)]
    return jnp.where(legal, action, wrapped).astype(jnp.int32)
