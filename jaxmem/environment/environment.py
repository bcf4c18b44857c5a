"""The game: requests come one after another, and every one must be given a place or fails.

The shape is gymnax's: `reset(key, params)` and `step(key, state, action, params)`, pure functions
to be vmapped and jitted by the caller. The future of an episode is a row of `params.requests`, so
placement never changes what is asked for; the key only chooses the first row, and with `start`
"random" the request of it at which the arena joins.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxmem import foreign
from jaxmem.arena.arena import Arena, Holes
from jaxmem.arena.compute_once import compute_once, itself
from jaxmem.arena.making import BITMAP_CELLS, check_shape, new_arena
from jaxmem.environment import observations
from jaxmem.environment.actions import ACTION_SPACES, Choices, action_count, ends_of
from jaxmem.environment.ending import Ending
from jaxmem.environment.rewards import REWARDS, Outcome, Reward, check_reward, reward_of
from jaxmem.environment.situation import Situation, serve, situation_at
from jaxmem.environment.spaces import Box, Discrete, bitmap_space, candidates_space, packed_space
from jaxmem.render.memory import Stretch, free_words, stretches_of
from jaxmem.render.palette import count
from jaxmem.render.terminal import as_string, in_colours, memory_text
from jaxmem.workloads.requests import Requests

OBSERVATIONS = ("candidates", "packed", "bitmap")
# From a situation, and the holes of it that are offered, to one array of a fixed shape.
Observe = Callable[[Situation, Holes], jax.Array]
OBSERVES: dict[str, Observe] = {}  # those that were registered from outside
STARTS = ("first", "random")
Observation = jax.Array | observations.Packed
# Observation, state, reward, terminated, truncated, and info.
Step = tuple[Observation, "State", jax.Array, jax.Array, jax.Array, dict[str, jax.Array]]


@struct.dataclass
class Params:
    """The parameters of an episode; every leaf may be vmapped."""

    requests: Requests  # P sequences of T requests
    initial: Arena  # the arena when an episode starts, with the workload's layout in it
    ending: Ending  # what ends an episode before its sequence does


class State(struct.PyTreeNode):
    """One arena in the middle of an episode; its clock is the number of the request that waits."""

    situation: Situation  # the arena and the request that waits
    sequence: jax.Array  # int32[]  row of the requests that is being played
    starts: jax.Array | None  # int32[A - 1]  what each action but *refuse* means; None: itself
    mask: jax.Array  # bool[A]  True: the action is legal; at least one is
    last_observation: Observation | None  # seen before the latest auto-reset; None: not kept

    @property
    def arena(self) -> Arena:
        """The arena before the request that waits is answered."""
        return self.situation.arena


@dataclass(frozen=True)
class Environment:
    """The game, by the rules that fix shapes; what may differ between arenas is in `Params`.

    Observation (`observation`), of K holes that fit, N cells and the H requests before this one:

    - `candidates`: float32[A, 65], a row for each action, the last of them for *refuse*;
    - `packed`: the numbers that these rows are made from, as a `Packed`, which is smaller;
    - `bitmap`: float32[N + 1 + H], 1 for a taken cell; then this size and those before it, over N.

    | columns of a row | range | what they say |
    |---|---|---|
    | length, leftover | 0 .. 1.2 | the hole, and it without the request: log2(1 + cells) / 7 |
    | leftover_is_*, is_*, high_end, refuse | 0 .. 1 | flags of the placement |
    | from_* | 0 .. 1 | cells to the walls, over the arena |
    | touched_*, across_* | | the block at the end that is taken, and at the other: |
    | *_wall, *_known | 0 .. 1 | flags: the arena ends here; the death is predicted |
    | *_size | 0 .. 1.2 | log2(1 + cells) / 7 |
    | *_age | 0 .. 1.13 | log2(1 + requests) / 8 |
    | *_remaining, hint | 0 .. 1.26 | predicted, log2(1 + requests) / 8; 0: not known |
    | *_dies_with | -2 .. 2 | predicted death after that of the request, requests / 32 |
    | holes_after_* | 0 .. 32 | holes by length that will be left, number / 4 |
    | request_share | 0 .. 2 | the request, over the arena |
    | has_hint, free, largest_hole, fitting_holes, *_live, *_blocks | 0 .. 1 | flag, shares |
    | holes | 0 .. 8 | number / 16 |

    Or a function of your own, from a `Situation` and the K `Holes` to one array.

    Action (`actions`), int32[] in 0 .. A - 1; the last one, *refuse*, is legal where no other is:

    - `holes`: the low and the high end of each of the first K holes that fit, A = 2 K + 1;
    - `address`: every cell as a start, A = N + 1;
    - `fit`: first, second, best, worst or next fit, A = 6.

    Reward (`reward`), float32[], of a request that is placed, or not:

    - `failures`: 0, or -1;
    - `bytes`: 0, or minus its size over the arena;
    - `classic`: 0.1, or -1; and 0.5 less where the arena is now too full to go on;
    - or a function of your own, from an `Outcome` to float32[].

    End: terminated by `Params.ending`, a failure or a live share that is too large; truncated at
    the end of the sequence.

    State: `State`, with the arena, the request that waits, and the mask of legal actions.

    >>> import jax, jaxmem
    >>> env, params = jaxmem.make("memoryless", cells=32, sequences=4)
    >>> observation, state = jax.jit(env.reset)(jax.random.key(0), params)
    >>> env.observation_space.contains(observation), env.action_space
    (True, Discrete(n=17))
    >>> action = state.mask.argmax()  # the first that is legal: first fit
    >>> observation, state, reward, *ends, info = jax.jit(env.step)(None, state, action, params)
    >>> float(reward), [bool(end) for end in ends], int(info["start"])
    (0.0, [False, False], 0)
    """

    cells: int  # 1 .. 2^31 - 1, the largest arena that this environment holds
    horizon: int  # T, requests in an episode
    actions: str = "holes"  # holes, address or fit
    observation: str | Observe = "candidates"  # candidates, packed, bitmap, or a function
    reward: str | Reward = "failures"  # failures, bytes, classic, or a function
    holes: int = 8  # K, the holes that are offered
    history: int = 0  # earlier request sizes in the bitmap observation
    keep_last: bool = True  # keep the last observation of an episode; without, a step costs half
    start: str = "first"  # first or random: the request at which `reset` joins a sequence

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("actions", self.actions, ACTION_SPACES),
            ("observation", self.observation, (*OBSERVATIONS, *OBSERVES)),
            ("reward", self.reward, REWARDS),
            ("start", self.start, STARTS),
        ):
            own = name in ("observation", "reward") and callable(value)
            if not own and str(value) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
        if self.observation in ("candidates", "packed") and self.actions != "holes":
            raise ValueError(
                f"the {self.observation} observation describes the actions 'holes'; "
                f"with actions {self.actions!r} use observation 'bitmap'"
            )
        for name, value, least in (
            ("holes", self.holes, 1),
            ("horizon", self.horizon, 1),
            ("history", self.history, 0),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(
                    f"{name} must be a whole number of at least {least}, not {value!r}"
                )
        if self.holes > BITMAP_CELLS // 2:
            raise ValueError(f"no arena has {self.holes} holes; at most {BITMAP_CELLS // 2}")
        check_shape(self.cells, self.horizon, blocks=1)
        check_reward(self.reward, self.cells)
        if self.cells > BITMAP_CELLS and (
            self.actions == "address" or self.observation == "bitmap"
        ):
            raise ValueError(
                f"actions 'address' and observation 'bitmap' go up to {BITMAP_CELLS} cells; "
                f"{self.cells} cells need the actions 'holes'"
            )

    @property
    def num_actions(self) -> int:
        """A, the number of actions."""
        return action_count(self.actions, self.holes, self.cells)

    @property
    def needs_ages(self) -> bool:
        """True if the arenas must remember when blocks were placed: where holes are described."""
        return self.actions == "holes"

    @property
    def observation_shape(self) -> tuple[int, ...]:
        """[A, F] for candidates, packed or not; [N + 1 + H] for the bitmap; or the function's."""
        if self.observation in ("candidates", "packed"):
            return (self.num_actions, len(observations.FEATURES))
        if self.observation == "bitmap":
            return (self.cells + 1 + self.history,)
        return self._own_space().shape

    @property
    def action_space(self) -> Discrete:
        """The actions; which of them are legal is in the state's mask."""
        return Discrete(self.num_actions)

    @property
    def observation_space(self) -> Box | dict[str, Box]:
        """Bounds observations, where they are packed each field of them by its name."""
        if self.observation == "bitmap":
            return bitmap_space(self.cells, self.history)
        if self.observation not in ("candidates", "packed"):
            return self._own_space()
        space = packed_space if self.observation == "packed" else candidates_space
        return space(self.cells, self.horizon, self.holes)

    def reset(self, key: jax.Array, params: Params) -> tuple[Observation, State]:
        """Starts an episode on a sequence that `key` chooses.

        With `start` "random" the key also chooses the request, uniformly, at which the arena joins
        the sequence, without the blocks of the requests before it; the episode ends where the
        sequence does, and those that follow begin at the first request. Arenas that are reset side
        by side stay apart then. At the same request all of them see the same phase of the program
        at once, and what is learnt on-policy from such batches swings.
        """
        if self.start == "first":
            sequence = jax.random.randint(key, (), 0, params.requests.sequences)
            return self.reset_at(sequence, jnp.int32(0), params)
        by_sequence, by_time = jax.random.split(key)
        sequence = jax.random.randint(by_sequence, (), 0, params.requests.sequences)
        time = jax.random.randint(by_time, (), 0, params.requests.length)
        return self.reset_at(sequence, time, params)

    def reset_at(
        self, sequence: jax.Array, time: jax.Array, params: Params
    ) -> tuple[Observation, State]:
        """Puts a fresh arena into `sequence` (int32[]) at request `time` (int32[])."""
        arena = params.initial.replace(now=jnp.asarray(time, jnp.int32))
        observation, state = self._decide(arena, sequence, params)
        if self.keep_last:
            state = state.replace(last_observation=observation)
        return observation, state

    def step(self, key: jax.Array | None, state: State, action: jax.Array, params: Params) -> Step:
        """Answers one request; a finished episode is followed by the next sequence at once.

        Returns:
            Observation, state, reward float32[], terminated bool[], truncated bool[], and info of
            scalars. `state.last_observation` is what followed the action, also where the
            observation returned is already that of the next episode: where `truncated`, the memory
            lives on and only the sequence has ended, so a target is bootstrapped from it, by its
            value in place of that of the observation; where `terminated`, from nothing. The clock
            of a sequence that is over stays at its end: the last request is shown once more. It is
            None without `keep_last`.
        """
        del key
        # Illegal: what the mask does not allow places nothing, and the request has failed.
        return self.step_at(state, self._start_of(state, action), params)

    def step_at(self, state: State, start: jax.Array, params: Params) -> Step:
        """Steps as `step`, told the legal start (int32[], or NOWHERE) in place of an action."""
        arena, reward, terminated, truncated, info = self._serve(state, start, params)
        # Ended: a fresh arena takes over in the same step, with the sequence that follows.
        over = compute_once(arena.now, itself, terminated | truncated)
        fresh = jax.tree.map(lambda new, old: jnp.where(over, new, old), params.initial, arena)
        sequence = (state.sequence + over) % params.requests.sequences
        # Mask: made for the request that now waits, so that an action is legal in every state.
        observation, after = self._decide(fresh, sequence, params)
        if self.keep_last:
            last, _ = self._decide(arena, state.sequence, params)
            after = after.replace(last_observation=last)
        return observation, after, reward, terminated, truncated, info

    def step_env(
        self, key: jax.Array | None, state: State, action: jax.Array, params: Params
    ) -> Step:
        """Answers one request, without the auto-reset; the key is not used."""
        del key
        start = self._start_of(state, action)
        arena, reward, terminated, truncated, info = self._serve(state, start, params)
        observation, after = self._decide(arena, state.sequence, params)
        if self.keep_last:
            after = after.replace(last_observation=observation)
        return observation, after, reward, terminated, truncated, info

    def observe(self, state: State, params: Params) -> Observation:
        """Returns what is seen of a state."""
        return self._decide(state.arena, state.sequence, params)[0]

    def render(self, state: State, width: int = 80, colour: bool | None = None) -> str:
        """Shows the memory and the request that waits, for a terminal; of one state, not of many.

        Blocks are numbered by address, one character a cell where there is room.

        Args:
            width: characters across, at least 20.
            colour: with the codes of colours (default: where a terminal shows them).

        Raises:
            ValueError: the state is of many arenas, or its arena has more than 4096 cells.
        """
        blocks, arena = self.memory(state), state.arena
        text = memory_text(blocks, width, requests=int(arena.live_blocks()))
        time, size = int(arena.now), int(state.situation.size)
        text.append(f"\nrequest {time + 1}: {count(size, 'cell')}; {free_words(blocks)}")
        return as_string(text, width, in_colours() if colour is None else colour)

    def memory(self, state: State) -> list[Stretch]:
        """Lists the blocks and holes of one state, in address order; raises as `render`."""
        arena = state.arena
        if jnp.ndim(arena.now) or self.cells > BITMAP_CELLS:
            raise ValueError(
                f"render shows one arena of up to {BITMAP_CELLS} cells; here they are "
                f"{jnp.size(arena.now)} of {self.cells}"
            )
        cells = int(arena.cells)
        return stretches_of(np.asarray(arena.taken(cells)), np.asarray(arena.begins(cells)))

    def _start_of(self, state: State, action: jax.Array) -> jax.Array:
        return Choices(state.starts, state.mask).start_of(state.situation, action)

    def _serve(self, state: State, start: jax.Array, params: Params):
        """Returns the arena when the next request waits, the reward, both ends, and info."""
        situation = state.situation
        lifetime = params.requests.lifetime[state.sequence, situation.arena.now]
        arena = serve(situation, start, lifetime)
        placed, ended = start >= 0, params.ending.after(situation, start)
        info = {
            "placed": placed,
            "start": start,
            "size": situation.size,
            "live": situation.live_with(start),
            "high_water_mark": arena.high_water,
        }
        outcome = Outcome(placed, situation.size, arena.cells, ended.full)
        reward = reward_of(self.reward)(outcome)
        terminated = ended.full | ended.lost
        truncated = arena.now >= params.requests.length
        return arena, reward, terminated, truncated, info

    def _decide(
        self, arena: Arena, sequence: jax.Array, params: Params
    ) -> tuple[Observation, State]:
        """Returns what is seen when the next request waits, and the state in which it does."""
        situation = situation_at(arena, params.requests, sequence)
        if self.observation in ("candidates", "packed"):
            found = situation.holes(self.holes)
            choices = ends_of(found)
            observation = observations.pack(situation, found)
            if self.observation == "candidates":
                observation = observations.candidates(observation)
        else:
            choices = ACTION_SPACES[self.actions](situation, self.holes, self.cells)
            if self.observation == "bitmap":
                observation = self._bitmap(situation, sequence, params)
            else:
                observation = self._observe(situation, situation.holes(self.holes))
        state = State(
            situation=situation,
            sequence=jnp.asarray(sequence, jnp.int32),
            starts=choices.starts,
            mask=choices.legal,
            last_observation=jax.tree.map(jnp.zeros_like, observation) if self.keep_last else None,
        )
        return observation, state

    @property
    def _observe(self) -> Observe:
        given = self.observation
        function = OBSERVES[given] if isinstance(given, str) else given
        what = f"observation {getattr(function, '__name__', given)}"

        def observed(situation: Situation, holes: Holes) -> jax.Array:
            found = foreign.call(what, function, situation, holes)
            return foreign.array_of(what, found, "one array of numbers", shape=None)

        return observed

    def _own_space(self) -> Box:
        """Returns the space of an observation from outside, whose numbers have no bounds."""
        arena = new_arena(self.cells, self.cells, self.horizon, "auto", 1, self.needs_ages)
        none = jnp.int32(0)
        situation = Situation(arena=arena, size=none + 1, hint=jnp.float32(0), kind=none)
        seen = jax.eval_shape(lambda of: self._observe(of, of.holes(self.holes)), situation)
        return Box(seen.shape, seen.dtype, -np.inf, np.inf)

    def _bitmap(self, situation: Situation, sequence: jax.Array, params: Params) -> jax.Array:
        before = situation.arena.now - 1 - jnp.arange(self.history)
        sizes = params.requests.size[sequence, jnp.maximum(before, 0)]
        recent = jnp.where(before >= 0, sizes, 0)
        return observations.bitmap(situation, self.cells, recent)
