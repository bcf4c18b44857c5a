"""One sequence of requests, played by several policies or by a person, step by step.

Everything here is the library's own: the figures of a game are those that `jaxmem compare` gives
for the same memory and sizes. Sequences go on after their end, and arenas have room to spare, so
that one compiled program serves all that is typed.
"""

import functools
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.app import explanations
from jaxmem.app.text_fields import MOST_STEPPED, SHOWN_CELLS, Layout, Sizes, Unclear
from jaxmem.arena.making import UNROLLED_CELLS
from jaxmem.evaluation.candidate_values import CandidateValues, candidate_values
from jaxmem.evaluation.hindsight import play_starts
from jaxmem.evaluation.question import find_policy
from jaxmem.evaluation.run import Trajectory, measure, run
from jaxmem.evaluation.tuning import tuned
from jaxmem.policies import Policy, policy
from jaxmem.policies.policy_file import SHIPPED, Card
from jaxmem.policies.q_functions import CandidateQ
from jaxmem.rules import TUNED
from jaxmem.workloads.registry import Workload, workload
from jaxmem.workloads.requests import Requests

P = ParamSpec("P")
R = TypeVar("R")

# Of two visitors who want the same program at once, the second finds what the first has compiled.
_TURN = threading.Lock()

SEED = 0  # of what is drawn by a policy, and of the sequences that rules are tuned on


def _in_turn(work: Callable[P, R]) -> Callable[P, R]:
    @functools.wraps(work)
    def alone(*arguments: P.args, **options: P.kwargs) -> R:
        with _TURN:
            return work(*arguments, **options)

    return alone


@dataclass(frozen=True)
class Game:
    """One sequence and the memory that it is played in."""

    task: Workload  # judged at its end, without warm-up
    source: Workload  # that the sequence is from: what rules are tuned on
    requests: Requests  # [1, T]

    @property
    def size(self) -> np.ndarray:
        """int64[T] cells."""
        return np.asarray(self.requests.size[0], np.int64)

    @property
    def lifetime(self) -> np.ndarray:
        """int64[T] requests."""
        return np.asarray(self.requests.lifetime[0], np.int64)

    @property
    def length(self) -> int:
        """T, the number of requests."""
        return self.requests.length


@dataclass(frozen=True)
class PlayedGame:
    """What became of a game."""

    name: str
    start: np.ndarray  # int32[T]  cell, below 0: failed
    live: np.ndarray  # int32[T + 1]  cells, before each request and at the end
    holes: np.ndarray  # int32[T + 1]
    largest: np.ndarray  # int32[T + 1]  cells
    figures: dict[str, float]  # of `measure`

    def fragmentation(self, time: int, cells: int) -> float:
        """External fragmentation when request `time` (0 .. T) waits: 1 - largest hole / free."""
        free = cells - int(self.live[time])
        return 1 - int(self.largest[time]) / free if free else 0.0


@dataclass(frozen=True)
class Mind:
    """What a learned player saw, and what it decides by."""

    seen: CandidateValues
    card: Card

    @property
    def scale(self) -> str:
        """Says what the figures of the places are."""
        return f"above the bar, beside the best place: {explanations.scale(self.card.training)}"

    def says(self, now: int, start: int) -> str:
        """Why it placed request `now` at cell `start`, in words."""
        candidates, values = self.seen.start[now], self.seen.value[now]
        return explanations.reason(
            self.card, candidates, values, start=start, base_start=int(self.seen.base_start[now])
        )


@dataclass(frozen=True)
class Player:
    """A policy, and its card if it has learned."""

    policy: Policy
    card: Card | None = None


def typed_game(cells: int, layout: Layout, sizes: Sizes) -> Game:
    """The game of a layout and sizes that were typed; raises `Unclear`."""
    try:
        task = workload("scenario", cells, layout=layout, sizes=list(sizes))
    except ValueError as error:
        raise Unclear(str(error)) from error
    return Game(task, task, task.requests("test", SEED, 1))


def drawn_game(name: str, cells: int | None, layout: Layout, length: int, seed: int) -> Game:
    """The game of the first `length` requests of a sequence of a workload.

    Raises:
        Unclear: the workload cannot be drawn for so many cells.
    """
    try:
        source = workload(name, cells)
        whole = source.requests("test", seed, 1)
    except ValueError as error:
        raise Unclear(str(error)) from error
    if source.cells > SHOWN_CELLS:
        raise Unclear(f"{source.cells:,} cells; the page shows at most {SHOWN_CELLS:,}.")
    length = min(length, source.length, MOST_STEPPED)
    task = replace(source, layout=layout, length=length, warmup=0, judged_at_end=True)
    requests = Requests(
        *(column[:, :length] for column in (whole.size, whole.lifetime, whole.hint, whole.kind))
    )
    return Game(task, source, requests)


@_in_turn
def player(name: str, source: Workload) -> Player:
    """The player with this name, tuned to a workload where it has something to tune.

    Raises:
        Unclear: there is no such policy.
    """
    if name in SHIPPED:
        return _shipped(name)
    if name in TUNED:
        return _tuned(name, source)
    try:
        return Player(policy(name))
    except ValueError as error:
        raise Unclear(str(error)) from error


@functools.lru_cache(maxsize=8)
def player_of(file: bytes) -> Player:
    """The policy that was trained on the page, from its file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "policy.safetensors")
        path.write_bytes(file)
        return Player(*find_policy(str(path)))


@functools.cache
def _shipped(name: str) -> Player:
    return Player(*find_policy(name))


_TUNED: dict[tuple[str, str, int], Player] = {}  # by rule, and by name and cells of the workload


def _tuned(name: str, source: Workload) -> Player:
    key = (name, source.name, source.cells)
    if key not in _TUNED:
        _TUNED[key] = Player(tuned(name, source, SEED)[0])
    return _TUNED[key]


@_in_turn
def play(game: Game, who: Player) -> PlayedGame:
    """Lets a player play a game.

    Raises:
        Unclear: it does not play in such an arena.
    """
    requests, task = _with_room(game)
    try:
        trajectory = run(who.policy, requests, task, SEED, _arena_capacity(task.cells))
    except ValueError as error:
        raise Unclear(str(error)) from error
    return _as_played(who.policy.name, trajectory, game)


@_in_turn
def replay_starts(game: Game, starts: Sequence[int], name: str = "you") -> PlayedGame:
    """Plays a game with its requests placed at `starts`, those after them nowhere.

    Raises:
        ValueError: a placement is illegal.
    """
    requests, task = _with_room(game)
    told = np.full((1, MOST_STEPPED), -1, np.int32)
    told[0, : len(starts)] = starts
    return _as_played(name, play_starts(told, requests, task, _arena_capacity(task.cells)), game)


@_in_turn
def think(game: Game, who: Player, played: PlayedGame) -> Mind | None:
    """Finds what a learned player saw in its candidates; of others, and of an mlp, nothing."""
    if who.card is None or not isinstance(who.card.q, CandidateQ):
        return None
    requests, task = _with_room(game)
    start = np.full(MOST_STEPPED, -1, np.int32)
    start[: game.length] = played.start
    found = candidate_values(
        who.policy, who.card.q, start, requests, task, _arena_capacity(task.cells)
    )
    return Mind(CandidateValues(*(column[: game.length] for column in found)), who.card)


def _arena_capacity(cells: int) -> int:
    return UNROLLED_CELLS if cells <= UNROLLED_CELLS else SHOWN_CELLS


def _with_room(game: Game) -> tuple[Requests, Workload]:
    """The game with its last request repeated after the end, which changes nothing before."""
    spare = ((0, 0), (0, MOST_STEPPED - game.length))
    requests = jax.tree.map(lambda column: jnp.pad(column, spare, mode="edge"), game.requests)
    return requests, replace(game.task, length=MOST_STEPPED)


def _as_played(name: str, trajectory: Trajectory, game: Game) -> PlayedGame:
    length = game.length
    cut = Trajectory(
        start=trajectory.start[:, :length],
        active=trajectory.active[:, :length],
        live=trajectory.live[:, : length + 1],
        holes=trajectory.holes[:, : length + 1],
        largest_hole=trajectory.largest_hole[:, : length + 1],
        unusable_free=trajectory.unusable_free[:, : length + 1],
        high_water=trajectory.high_water[:, : length + 1],
    )
    figures = measure(cut, game.requests, game.task)
    return PlayedGame(
        name=name,
        start=np.asarray(cut.start[0]),
        live=np.asarray(cut.live[0]),
        holes=np.asarray(cut.holes[0]),
        largest=np.asarray(cut.largest_hole[0]),
        figures={key: float(values[0]) for key, values in figures.items()},
    )
