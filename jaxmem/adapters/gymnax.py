"""The game as a gymnax 1.x environment, and every task under a name that `gymnax.make` knows.

import gymnax
import jaxmem.adapters.gymnax
env, params = gymnax.make("large-short-lived-jaxmem")
"""

import functools
from typing import Any

import jax

from jaxmem.adapters.episode import Episode, EpisodeParams, EpisodeState, Info, PlaysEpisodes
from jaxmem.environment.tasks import tasks
from jaxmem.extras import MissingExtraError, extra, how_to_get
from jaxmem.workloads.registry import Workload

gymnax = extra("gymnax", "gymnax", "jaxmem.adapters.gymnax")
if not hasattr(gymnax, "register"):
    raise MissingExtraError(
        f"jaxmem.adapters.gymnax needs gymnax 1: {how_to_get('gymnax')}; with an older one use "
        "jaxmem.adapters.five_values"
    )
environment, spaces = gymnax.environments.environment, gymnax.environments.spaces

NAME_ENDING = "-jaxmem"  # of the names of tasks


class MemoryPlacement(PlaysEpisodes, environment.Environment):
    """The game as gymnax has it; `state.mask` tells which actions are legal."""

    def __init__(
        self,
        on: str | Workload,
        *,
        illegal: str = "fails",
        flat: bool = False,
        **options: Any,
    ) -> None:
        """Makes the environment; the arguments are those of `Episode`, and it raises the same."""
        self.episode = Episode(on, illegal=illegal, flat=flat, **options)

    @property
    def obs_shape(self) -> tuple[int, ...]:
        """The shape of observations."""
        return self.episode.box.shape

    def reset_env(self, key: jax.Array, params: EpisodeParams) -> tuple[jax.Array, EpisodeState]:
        """Begins an episode on a sequence that `key` chooses."""
        return self.episode.reset(key, params)

    def step_env(
        self, key: jax.Array, state: EpisodeState, action: Any, params: EpisodeParams
    ) -> tuple[jax.Array, EpisodeState, jax.Array, jax.Array, Info]:
        """Answers one request, without a reset; the key is not used."""
        del key
        observation, after, reward, terminated, info = self.episode.step(state, action, params)
        observation, after = self._apply_transition_gradient_policy(observation, after)
        return observation, after, reward, terminated, info

    def observe(
        self, key: jax.Array, state: EpisodeState, action: Any, params: EpisodeParams
    ) -> jax.Array:
        """Returns what is seen of a state; key and action are not used."""
        del key, action
        return self.episode.observe(state, params)

    def is_truncated(self, state: EpisodeState, params: EpisodeParams) -> jax.Array:
        """Tells whether the sequence is over, or `max_steps_in_episode` are."""
        return self.episode.truncated(state, params)

    def is_terminated(self, state: EpisodeState, params: EpisodeParams) -> jax.Array:
        """Tells whether a failure, or an arena too full, has ended the episode."""
        del params
        return state.terminated

    def action_space(self, params: EpisodeParams | None = None) -> Any:
        """Returns the actions as a `Discrete` of gymnax."""
        del params
        return spaces.Discrete(self.num_actions)

    def observation_space(self, params: EpisodeParams | None = None) -> Any:
        """Bounds the observations, as a `Box` of gymnax."""
        del params
        box = self.episode.box
        return spaces.Box(box.low, box.high, box.shape, box.dtype)

    def render(self, state: EpisodeState, params: EpisodeParams | None = None) -> str:
        """Shows the memory and the request that waits, for a terminal."""
        del params
        return self.episode.env.render(state.game)


for _name in tasks():
    gymnax.register(_name + NAME_ENDING, functools.partial(MemoryPlacement, _name))
