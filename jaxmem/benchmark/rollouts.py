"""Many arenas played by one policy, compiled with it: the environment as jaxmem runs it."""

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jaxmem.arena.arena import Arena
from jaxmem.arena.making import REPRESENTATIONS
from jaxmem.benchmark.timing import compiled_afresh
from jaxmem.environment.ending import Ending
from jaxmem.environment.environment import Environment, Params, State
from jaxmem.environment.playing import play
from jaxmem.environment.situation import Situation
from jaxmem.environment.tasks import initial_arena
from jaxmem.policies import Policy
from jaxmem.rules import RULES
from jaxmem.workloads.registry import workload
from jaxmem.workloads.requests import Requests

WORKLOAD = "memoryless"  # sizes up to a tenth of 100 cells; they grow with the arena
MOST_SEQUENCES = 1024  # at most; more arenas play them again
WORK_PER_CALL = (
    2**25
)  # cells times arenas times steps of a call, about: a large setting must not take long
SHORTEST = 16  # steps of a call
TIMED_OBSERVATIONS = ("none", "bitmap", "candidates", "packed")
HOLE_OBSERVATIONS = (
    "candidates",
    "packed",
)  # observations whose actions are the first holes that fit

Start = Callable[[Params], object]  # -> carry
Play = Callable[[object, Params], object]  # carry, params -> carry, some steps later


@dataclass(frozen=True)
class Setting:
    """One point to be measured."""

    cells: int
    arenas: int
    observation: str  # of TIMED_OBSERVATIONS; none: the arena and the policy alone


def check_settings(player: Policy, observations: Sequence[str], representation: str) -> None:
    """Raises ValueError for what cannot be measured."""
    for observation in observations:
        if observation not in TIMED_OBSERVATIONS:
            allowed = ", ".join(TIMED_OBSERVATIONS)
            raise ValueError(f"observation is {observation!r}; it must be of {allowed}")
        if observation in HOLE_OBSERVATIONS and player.name != "first":
            raise ValueError(
                f"observation {observation} is measured with policy=first, the first of the holes "
                f"that are its actions; {player.name} may choose a place that is none of them"
            )
    if representation not in REPRESENTATIONS:
        allowed = ", ".join(REPRESENTATIONS)
        raise ValueError(f"representation is {representation!r}; it must be one of {allowed}")


def requests_for(cells: int, arenas: int) -> Requests:
    """Draws up to `MOST_SEQUENCES` sequences, one for each arena, of sizes up to a tenth of it."""
    drawn = _drawn(min(arenas, MOST_SEQUENCES))
    return drawn.replace(size=drawn.size * max(1, cells // 100))


@functools.cache
def _drawn(sequences: int) -> Requests:
    return workload(WORKLOAD).requests("test", 0, sequences)


class Rollout:
    """Some steps of all arenas at a call.

    With an environment they go on where the last call ended, and a step includes the reset that
    ends a sequence. Without one, every call is a whole sequence from empty arenas.
    """

    def __init__(self, player: Policy, setting: Setting, representation: str = "auto") -> None:
        requests = requests_for(setting.cells, setting.arenas)
        ages = setting.observation in HOLE_OBSERVATIONS
        ages |= player.name in RULES and RULES[player.name].needs_ages
        initial = _arena(setting.cells, requests, representation, ages)
        params = Params(requests, initial, Ending(jnp.bool_(False), jnp.float32(jnp.inf)))
        self.setting, self.policy = setting, player.name
        self.representation = _name_of(initial, setting.cells, requests, ages)
        length = requests.length
        if setting.observation == "none":
            start, play = _arenas_alone(player, setting.arenas)
        else:
            length = min(max(WORK_PER_CALL // (setting.cells * setting.arenas), SHORTEST), length)
            start, play = _environments(player, setting, requests.length, length)
        self.steps = setting.arenas * length
        self._params = params
        self._carry = jax.block_until_ready(jax.jit(start)(self._params))
        with compiled_afresh():
            begin = time.perf_counter()
            lowered = jax.jit(play, donate_argnums=0).lower(self._carry, self._params)
            self._play = lowered.compile()
            self.compile_seconds = time.perf_counter() - begin
        alone = setting.observation == "none"
        kept, share = (initial, 1) if alone else (self._carry, setting.arenas)
        self.bytes_per_arena = sum(leaf.nbytes for leaf in jax.tree.leaves(kept)) // share
        self.once()

    def once(self) -> None:
        """Plays the steps."""
        self._carry = jax.block_until_ready(self._play(self._carry, self._params))


def _arena(cells: int, requests: Requests, representation: str, ages: bool) -> Arena:
    """Makes an empty arena for the requests."""
    task = dataclasses.replace(workload(WORKLOAD), cells=cells)
    return initial_arena(task, requests, representation, ages)


def _name_of(arena: Arena, cells: int, requests: Requests, ages: bool) -> str:
    """Names how an arena stores memory, in one word, also where that was chosen for it."""
    shape = jax.tree.structure(arena)
    names = (name for name in REPRESENTATIONS if name != "auto")
    return next(
        name for name in names if jax.tree.structure(_arena(cells, requests, name, ages)) == shape
    )


def _arenas_alone(player: Policy, arenas: int) -> tuple[Start, Play]:
    """Plays arenas alone: clock, frees of the dead, the policy's choice, the placement."""

    def answer(failed: jax.Array, situation: Situation, _: None):
        start = player(_key_now(situation.arena), situation)
        return failed + (start < 0), start, None

    def play_all(failed, params):
        def one(sequence: jax.Array, failed: jax.Array) -> jax.Array:
            return play(answer, params.initial, params.requests, sequence, failed)[1]

        return jax.vmap(one)(jnp.arange(arenas) % params.requests.sequences, failed)

    # The failures of every arena, so that no step can be left out.
    return lambda params: jnp.zeros(arenas, jnp.int32), play_all


def _environments(
    player: Policy, setting: Setting, horizon: int, length: int
) -> tuple[Start, Play]:
    """Steps the environment itself; observation, mask and state go on: none is left out."""
    env = Environment(
        cells=setting.cells,
        horizon=horizon,
        actions="holes" if setting.observation in HOLE_OBSERVATIONS else "address",
        observation=setting.observation,
        keep_last=False,
    )
    refuse = env.num_actions - 1

    def act(state: State) -> jax.Array:
        if setting.observation in HOLE_OBSERVATIONS:
            return jnp.where(state.mask[0], 0, refuse)  # the low end of the first hole
        start = player(_key_now(state.arena), state.situation)
        return jnp.where(start < 0, refuse, start)

    def start(params):
        sequence = jnp.arange(setting.arenas) % params.requests.sequences
        reset = jax.vmap(env.reset_at, in_axes=(0, None, None))
        observation, state = reset(sequence, jnp.int32(0), params)
        return observation, state, jnp.zeros(setting.arenas, jnp.int32)

    def play(carry, params):
        def one(state: State, failed: jax.Array):
            key = jax.random.key(0)  # a step draws nothing
            observation, state, *_, info = env.step(key, state, act(state), params)
            return observation, state, failed + ~info["placed"]

        def step(carry, _):
            return jax.vmap(one)(*carry[1:]), None

        return jax.lax.scan(step, carry, length=length)[0]

    return start, play


def _key_now(arena: Arena) -> jax.Array:
    return jax.random.fold_in(jax.random.key(0), arena.now)
