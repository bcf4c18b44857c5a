"""Many arenas played by a policy that is compiled with them: the environment as jaxmem runs it."""

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jaxmem.arena.arena import Arena
from jaxmem.arena.making import REPRESENTATIONS, new_arena
from jaxmem.benchmark.timing import compiled_afresh
from jaxmem.environment.environment import Environment, Params, State
from jaxmem.environment.situation import serve, situation_at
from jaxmem.evaluation.run import peak_live
from jaxmem.policies import Policy
from jaxmem.workloads.registry import workload
from jaxmem.workloads.requests import Requests

WORKLOAD = "memoryless"  # sizes up to a tenth of 100 cells; they grow with the arena
SEQUENCES = 1024  # at most; more arenas play them again
OBSERVATIONS = ("none", "bitmap", "candidates", "packed")
HOLES = ("candidates", "packed")  # observations whose actions are the first holes that fit

Start = Callable[[Any], Any]  # inputs -> carry
Play = Callable[[Any, Any], Any]  # carry, inputs -> carry, T steps later


@dataclass(frozen=True)
class Setting:
    """One point to be measured."""

    cells: int
    arenas: int
    observation: str  # one of OBSERVATIONS; none: the arena and the policy without an environment


def check_settings(player: Policy, observations: list[Any], representation: Any) -> None:
    """Raises ValueError for what cannot be measured."""
    for observation in observations:
        if str(observation) not in OBSERVATIONS:
            allowed = ", ".join(OBSERVATIONS)
            raise ValueError(f"observation is {observation!r}; it must be of {allowed}")
        if observation in HOLES and player.name != "first":
            raise ValueError(
                f"observation {observation} is measured with policy=first, the first of the holes "
                f"that are its actions; {player.name} may choose a place that is none of them"
            )
    if str(representation) not in REPRESENTATIONS:
        allowed = ", ".join(REPRESENTATIONS)
        raise ValueError(f"representation is {representation!r}; it must be one of {allowed}")


def requests_for(cells: int, arenas: int) -> Requests:
    """A sequence for each arena, at most `SEQUENCES`, of sizes up to a tenth of the arena."""
    drawn = _drawn(min(arenas, SEQUENCES))
    return drawn.replace(size=drawn.size * max(1, cells // 100))


@functools.cache
def _drawn(sequences: int) -> Requests:
    return workload(WORKLOAD).requests("test", 0, sequences)


class Rollout:
    """T steps of all arenas at a call, which go on where the last call ended.

    A step of the environment includes the reset that ends a sequence. Without an environment every
    call is a whole sequence from empty arenas.
    """

    def __init__(self, player: Policy, setting: Setting, representation: str = "auto") -> None:
        requests = requests_for(setting.cells, setting.arenas)
        initial = _arena(setting.cells, requests, representation)
        self.setting, self.policy = setting, player.name
        self.representation = _name_of(initial, setting.cells, requests)
        self.steps = setting.arenas * requests.length
        if setting.observation == "none":
            start, play = _arenas_alone(setting.arenas)
            kept: Any = initial
        else:
            start, play = _environments(setting, requests.length)
            kept = None
        params = Params(requests, initial, jnp.bool_(False), jnp.float32(jnp.inf))
        self._inputs = (player, params)
        self._carry = jax.block_until_ready(jax.jit(start)(self._inputs))
        with compiled_afresh():
            begin = time.perf_counter()
            lowered = jax.jit(play, donate_argnums=0).lower(self._carry, self._inputs)
            self._play = lowered.compile()
            self.compile_seconds = time.perf_counter() - begin
        share = 1 if kept is not None else setting.arenas
        leaves = jax.tree.leaves(self._carry if kept is None else kept)
        self.bytes_per_arena = sum(leaf.nbytes for leaf in leaves) // share
        self.once()

    def once(self) -> None:
        """Plays T steps."""
        self._carry = jax.block_until_ready(self._play(self._carry, self._inputs))


def _arena(cells: int, requests: Requests, representation: str) -> Arena:
    """An empty arena; a table has room for as many blocks as are ever wanted at once."""
    blocks = None
    if representation == "table":
        blocks = int(peak_live(requests.replace(size=jnp.ones_like(requests.size))).max())
    return new_arena(cells, cells, requests.length, representation, blocks)


def _name_of(arena: Arena, cells: int, requests: Requests) -> str:
    """How an arena stores memory, in one word, also where that was chosen for it."""
    shape = jax.tree.structure(arena)
    names = (name for name in REPRESENTATIONS if name != "auto")
    return next(
        name for name in names if jax.tree.structure(_arena(cells, requests, name)) == shape
    )


def _arenas_alone(arenas: int) -> tuple[Start, Play]:
    """The clock moves on, the dead are freed, the policy chooses, the block is placed."""

    def play(failed, inputs):
        player, params = inputs
        requests = params.requests

        def one(sequence: jax.Array, failed: jax.Array) -> jax.Array:
            def step(carry, _):
                arena, failed = carry
                situation = situation_at(arena, requests, sequence)
                start = player(_key(arena), situation)
                arena = serve(situation, start, requests.lifetime[sequence, arena.now])
                return (arena.tick(arena.now + 1), failed + (start < 0)), None

            carry, _ = jax.lax.scan(step, (params.initial, failed), length=requests.length)
            return carry[1]

        return jax.vmap(one)(jnp.arange(arenas) % requests.sequences, failed)

    # The failures of every arena, so that no step can be left out.
    return lambda inputs: jnp.zeros(arenas, jnp.int32), play


def _environments(setting: Setting, horizon: int) -> tuple[Start, Play]:
    """The environment's own step; observation and mask are carried from one to the next."""
    env = Environment(
        cells=setting.cells,
        horizon=horizon,
        actions="holes" if setting.observation in HOLES else "address",
        observation=setting.observation,
        keep_last=False,
    )
    refuse = env.num_actions - 1

    def act(player: Policy, state: State) -> jax.Array:
        if setting.observation in HOLES:
            return jnp.where(state.mask[0], 0, refuse)  # the low end of the first hole
        start = player(_key(state.arena), state.situation)
        return jnp.where(start < 0, refuse, start)

    def start(inputs):
        _, params = inputs
        sequence = jnp.arange(setting.arenas) % params.requests.sequences
        reset = jax.vmap(env.reset_at, in_axes=(0, None, None))
        observation, state = reset(sequence, jnp.int32(0), params)
        return observation, state, jnp.zeros(setting.arenas, jnp.int32)

    def play(carry, inputs):
        player, params = inputs

        def one(state: State, failed: jax.Array):
            key = jax.random.key(0)  # a step draws nothing
            observation, state, *_, info = env.step(key, state, act(player, state), params)
            return observation, state, failed + ~info["placed"]

        def step(carry, _):
            return jax.vmap(one)(*carry[1:]), None

        return jax.lax.scan(step, carry, length=horizon)[0]

    return start, play


def _key(arena: Arena) -> jax.Array:
    return jax.random.fold_in(jax.random.key(0), arena.now)
