"""The game for Gymnasium: one arena, or thousands of them in one compiled step.

import gymnasium
import jaxmem.adapters.gymnasium
env = gymnasium.make("jaxmem/large-short-lived-v0")
many = gymnasium.make_vec("jaxmem/large-short-lived-v0", num_envs=4096)
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.adapters.episode import Episode, EpisodeParams, EpisodeState, Info
from jaxmem.environment.tasks import tasks
from jaxmem.extras import extra
from jaxmem.render.arena_picture import arena_picture
from jaxmem.workloads.registry import Workload

gymnasium = extra("gymnasium", "gymnasium", "jaxmem.adapters.gymnasium")
vector = extra("gymnasium.vector", "gymnasium", "jaxmem.adapters.gymnasium")

RENDER_MODES = ("rgb_array", "ansi")


class MemoryPlacementEnv(gymnasium.Env):
    """One arena, seen as a vector float32[n]; `action_masks()` tells which actions are legal."""

    metadata = {"render_modes": list(RENDER_MODES), "render_fps": 10}  # noqa: RUF012

    def __init__(
        self, on: str | Workload, *, render_mode: str | None = None, **options: Any
    ) -> None:
        """Makes the environment.

        Args:
            on: a workload or its name.
            render_mode: what `render` returns, a picture uint8[H, W, 3] (rgb_array) or a text
                (ansi); None: nothing.
            options: of `Episode`.

        Raises:
            ValueError: an unknown name or a value out of range.
        """
        self.render_mode = _checked(render_mode)
        self.episode = Episode(on, flat=True, **options)
        self.observation_space, self.action_space = _spaces(self.episode)
        self._state: EpisodeState | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begins an episode on a sequence that is drawn anew."""
        super().reset(seed=seed, options=options)
        key = jax.random.key(int(self.np_random.integers(2**32)))
        observation, self._state = _reset(self.episode, key, self.episode.params)
        return np.asarray(observation), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Answers one request."""
        observation, self._state, *rest = _step(
            self.episode, self._begun, np.int32(action), self.episode.params
        )
        reward, terminated, truncated, info = jax.device_get(rest)
        plain = {name: value.item() for name, value in info.items()}
        return np.asarray(observation), float(reward), bool(terminated), bool(truncated), plain

    def action_masks(self) -> np.ndarray:
        """Tells which actions are legal, bool[A], as sb3-contrib's MaskablePPO asks."""
        return np.array(self._begun.mask)  # a copy: torch warns of what may not be written to

    def render(self) -> np.ndarray | str | None:
        """Shows the memory and the request that waits."""
        return _rendered(self.render_mode, self.episode, self._begun)

    @property
    def _begun(self) -> EpisodeState:
        if self._state is None:
            raise gymnasium.error.ResetNeeded("call reset first")
        return self._state


class MemoryPlacementVectorEnv(vector.VectorEnv):
    """N arenas in one compiled step, float32[N, n]; where an episode ends, the next one begins.

    `infos["final_obs"]` is then what followed the last action, for the arenas of
    `infos["_final_obs"]`.
    """

    metadata = {  # noqa: RUF012
        "render_modes": list(RENDER_MODES),
        "autoreset_mode": vector.AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        on: str | Workload,
        *,
        num_envs: int = 1,
        render_mode: str | None = None,
        **options: Any,
    ) -> None:
        """Makes `num_envs` arenas; the other arguments are those of `MemoryPlacementEnv`."""
        self.num_envs, self.render_mode = num_envs, _checked(render_mode)
        self.episode = Episode(on, flat=True, **options)
        self.single_observation_space, self.single_action_space = _spaces(self.episode)
        batch = vector.utils.batch_space
        self.observation_space = batch(self.single_observation_space, num_envs)
        self.action_space = batch(self.single_action_space, num_envs)
        self._state: EpisodeState | None = None
        self._key = jax.random.key(0)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begins an episode in every arena, on sequences that are drawn anew."""
        super().reset(seed=seed, options=options)
        self._key = jax.random.key(int(self.np_random.integers(2**32)))
        observation, self._state, self._key = _reset_all(
            self.episode, self.num_envs, self._key, self.episode.params
        )
        return np.asarray(observation), {}

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Answers one request in every arena."""
        actions = np.asarray(actions, np.int32)
        found = _step_all(self.episode, self._key, self._begun, actions, self.episode.params)
        observation, self._state, self._key, last, *rest = found
        reward, terminated, truncated, info = jax.device_get(rest)
        done = terminated | truncated
        if done.any():
            info = {**info, "final_obs": np.asarray(last), "_final_obs": done}
        return np.asarray(observation), reward, terminated, truncated, info

    def action_masks(self) -> np.ndarray:
        """Tells which actions are legal in each arena: bool[N, A]."""
        return np.asarray(self._begun.mask)

    def render(self) -> tuple[Any, ...] | None:
        """Shows the memory of each arena, and the request that waits there."""
        if self.render_mode is None:
            return None
        states = (
            jax.tree.map(lambda leaf, k=k: leaf[k], self._begun) for k in range(self.num_envs)
        )
        return tuple(_rendered(self.render_mode, self.episode, state) for state in states)

    @property
    def _begun(self) -> EpisodeState:
        if self._state is None:
            raise gymnasium.error.ResetNeeded("call reset first")
        return self._state


def _answer(
    episode: Episode, state: EpisodeState, action: jax.Array, params: EpisodeParams
) -> tuple[jax.Array, EpisodeState, jax.Array, jax.Array, jax.Array, Info]:
    observation, after, reward, terminated, info = episode.step(state, action, params)
    return observation, after, reward, terminated, episode.truncated(after, params), info


_reset = jax.jit(lambda episode, key, params: episode.reset(key, params), static_argnums=0)
_step = jax.jit(_answer, static_argnums=0)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _reset_all(episode: Episode, count: int, key: jax.Array, params: EpisodeParams):
    key, by_arena = jax.random.split(key)
    observation, state = jax.vmap(episode.reset, in_axes=(0, None))(
        jax.random.split(by_arena, count), params
    )
    return observation, state, key


@functools.partial(jax.jit, static_argnums=0)
def _step_all(
    episode: Episode,
    key: jax.Array,
    state: EpisodeState,
    actions: jax.Array,
    params: EpisodeParams,
):
    """Returns what is seen, states, the next key, what followed the actions, and the rest."""

    def one(key: jax.Array, state: EpisodeState, action: jax.Array):
        last, after, reward, terminated, truncated, info = _answer(episode, state, action, params)
        begun = episode.reset(key, params)
        observation, after = jax.tree.map(
            lambda new, old: jnp.where(terminated | truncated, new, old), begun, (last, after)
        )
        return observation, after, last, reward, terminated, truncated, info

    key, by_arena = jax.random.split(key)
    keys = jax.random.split(by_arena, actions.shape[0])
    observation, after, *rest = jax.vmap(one)(keys, state, actions)
    return observation, after, key, *rest


def _spaces(episode: Episode) -> tuple[Any, Any]:
    box = episode.box
    spaces = gymnasium.spaces
    observations = spaces.Box(np.asarray(box.low), np.asarray(box.high), box.shape, np.float32)
    return observations, spaces.Discrete(episode.env.num_actions)


def _checked(render_mode: str | None) -> str | None:
    if render_mode not in (None, *RENDER_MODES):
        allowed = ", ".join(RENDER_MODES)
        raise ValueError(f"render_mode must be one of {allowed}, or None, not {render_mode!r}")
    return render_mode


def _rendered(mode: str | None, episode: Episode, state: EpisodeState) -> np.ndarray | str | None:
    if mode == "ansi":
        return episode.env.render(state.game, colour=False)
    if mode is None:
        return None
    return arena_picture(episode.env.memory(state.game), int(state.game.situation.size))


for _name in tasks():
    if f"jaxmem/{_name}-v0" not in gymnasium.registry:
        gymnasium.register(
            f"jaxmem/{_name}-v0",
            entry_point=f"{__name__}:MemoryPlacementEnv",
            vector_entry_point=f"{__name__}:MemoryPlacementVectorEnv",
            kwargs={"on": _name},
        )
