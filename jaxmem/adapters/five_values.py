"""The game for trainers that know one `done`: rejax, PureJaxRL, purejaxql, Stoix.

They ask for an environment as gymnax had it before 1.0: `step` returns observation, state, reward,
done and info, and begins the next episode itself. Any gymnax will do, since only its spaces are
used.
"""

from typing import Any

import jax
import jax.numpy as jnp

from jaxmem.adapters.episode import Episode, EpisodeParams, EpisodeState, Info, PlaysEpisodes
from jaxmem.extras import extra
from jaxmem.workloads.registry import Workload

spaces = extra("gymnax", "gymnax", "jaxmem.adapters.five_values").environments.spaces


class FiveValues(PlaysEpisodes):
    """The game with vectors to see, float32[n], and info of scalars."""

    def __init__(self, on: str | Workload, *, illegal: str = "wraps", **options: Any) -> None:
        """Makes the environment; the arguments are those of `Episode`, and it raises the same."""
        self.episode = Episode(on, illegal=illegal, flat=True, **options)

    def reset(
        self, key: jax.Array, params: EpisodeParams | None = None
    ) -> tuple[jax.Array, EpisodeState]:
        """Begins an episode on a sequence that `key` chooses."""
        return self.episode.reset(key, params or self.default_params)

    def step(
        self,
        key: jax.Array,
        state: EpisodeState,
        action: jax.Array,
        params: EpisodeParams | None = None,
    ) -> tuple[jax.Array, EpisodeState, jax.Array, jax.Array, Info]:
        """Answers one request; where the episode ends, another one begins in the same step."""
        params = params or self.default_params
        answered = self.step_env(key, state, action, params)
        observation, after, reward, done, info = answered
        begun = self.episode.reset(key, params)
        observation, after = jax.tree.map(
            lambda new, old: jnp.where(done, new, old), begun, (observation, after)
        )
        return observation, after, reward, done, info

    def step_env(
        self, key: jax.Array, state: EpisodeState, action: jax.Array, params: EpisodeParams
    ) -> tuple[jax.Array, EpisodeState, jax.Array, jax.Array, Info]:
        """Answers one request, without the next episode; the key is not used."""
        del key
        observation, after, reward, terminated, info = self.episode.step(state, action, params)
        done = terminated | self.episode.truncated(after, params)
        return observation, after, reward, done, {**info, "terminated": terminated}

    def reset_env(self, key: jax.Array, params: EpisodeParams) -> tuple[jax.Array, EpisodeState]:
        """Begins an episode, as `reset`."""
        return self.episode.reset(key, params)

    def action_space(self, params: EpisodeParams | None = None) -> Any:
        """Returns the actions as a `Discrete` of gymnax."""
        del params
        return spaces.Discrete(self.num_actions)

    def observation_space(self, params: EpisodeParams | None = None) -> Any:
        """Bounds the observations, as a `Box` of gymnax."""
        del params
        box = self.episode.box
        return spaces.Box(box.low, box.high, box.shape, box.dtype)


def make(on: str | Workload, **options: Any) -> tuple[FiveValues, EpisodeParams]:
    """Makes environment and parameters of a task, as the `gymnax.make` of these trainers does.

    `options` are those of `FiveValues`.
    """
    env = FiveValues(on, **options)
    return env, env.default_params
