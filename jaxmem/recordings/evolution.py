"""Learning to place in bytes: the weights of a `HoleScorer`, by an evolution strategy.

A generation of weights plays the same recordings in the same arenas, thousands side by side, and
the distribution that weights are drawn from moves towards those that fail later and less often:
CMA-ES (Hansen & Ostermeier 2001), by the package cma. There is no gradient to follow, as what
counts, the smallest arena in which nothing fails, is not a sum over placements.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.extras import how_to_get
from jaxmem.recordings import Recording
from jaxmem.recordings.history import history_of
from jaxmem.recordings.hole_scorer import HOLE_FEATURES, HoleScorer
from jaxmem.recordings.replay import Chunk, Played, ReplayEvents, step

# Small blocks low and large ones high, otherwise in the tightest hole: where learning begins.
BEGINNING = {"address*size": 1.0, "tightest": 0.1}
ARENA = 1.4  # times peak live: of such an arena sizes are shares where they tell lifetimes


@dataclass(frozen=True)
class EvolutionConfig:
    """What the study uses."""

    generations: int = 150
    population: int = 24  # weights in a generation
    recordings: int = 24  # that a generation plays, drawn from those given
    factors: tuple[float, ...] = (1.1, 1.2, 1.3, 1.45)  # arenas / peak live units
    slots: int = 32  # holes that an arena may have; one more counts as a failure
    deviation: float = 0.3  # of weights, at first
    seed: int = 0


def prior_of(recordings: Sequence[Recording]) -> np.ndarray:
    """Fits what sizes tell of lifetimes in these programs: float32[P], by least squares."""
    rows, told = [], []
    for recording in recordings:
        size = np.log(recording.size / (ARENA * recording.peak_live))
        begins = history_of(recording).begins.astype(np.float64)
        rows.append(np.stack([np.ones_like(size), size, size**2, begins, begins * size], axis=1))
        left = recording.requests - np.arange(recording.requests)
        told.append(np.log(np.minimum(recording.lifetime, left)))
    row, life = np.concatenate(rows), np.concatenate(told)
    ridge = 0.1 * np.eye(row.shape[1])
    return np.linalg.solve(row.T @ row + ridge, row.T @ life).astype(np.float32)


def evolve(
    streams: Sequence[ReplayEvents],
    prior: np.ndarray,
    config: EvolutionConfig = EvolutionConfig(),
) -> Iterator[tuple[HoleScorer, float]]:
    """After each generation the mean of the weights, and the mean loss of the generation.

    The loss of a recording is the mean over `config.factors` of 0 where all is served, else of 1/2
    and half of the share of events that came after the first failure.

    Raises:
        ModuleNotFoundError: the package cma is missing.
        ValueError: there are no streams.
    """
    if not streams:
        raise ValueError("no recordings to learn from; at least one is needed")
    strategy = _strategy(config)
    rng = np.random.default_rng(config.seed)
    chunks, cells = _side_by_side(streams, config.factors)
    blocks = max(events.blocks for events in streams) + 1
    losses = jax.jit(partial(_losses, slots=config.slots, blocks=blocks))
    for _ in range(config.generations):
        drawn = rng.choice(len(streams), min(config.recordings, len(streams)), replace=False)
        asked = strategy.ask()
        played = jax.tree.map(lambda column, drawn=drawn: column[drawn], chunks)
        found = losses(jnp.asarray(np.array(asked, np.float32)), prior, played, cells[drawn])
        strategy.tell(asked, np.asarray(found, np.float64).tolist())
        mean = np.asarray(strategy.result.xfavorite, np.float32)
        yield HoleScorer(jnp.asarray(mean), jnp.asarray(prior)), float(np.mean(found))


def _strategy(config: EvolutionConfig) -> Any:
    try:
        import cma
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "learning weights by evolution needs the package cma: "
            + how_to_get("evolution", "python ...")
        ) from None
    beginning = [BEGINNING.get(name, 0.0) for name in HOLE_FEATURES]
    # cma takes the seed 0 for one of its own choice.
    options = {"popsize": config.population, "seed": config.seed + 1, "verbose": -9}
    return cma.CMAEvolutionStrategy(beginning, config.deviation, options)


def _side_by_side(
    streams: Sequence[ReplayEvents], factors: Sequence[float]
) -> tuple[Chunk, jax.Array]:
    """All events, [D, E], and the arenas in units, int32[D, C]."""
    length = max(len(events.frees) for events in streams)
    blocks = max(events.blocks for events in streams)
    padded = [events.padded(length, blocks) for events in streams]
    chunks = jax.tree.map(lambda *columns: jnp.asarray(np.stack(columns)), *padded)
    cells = [[int(factor * events.peak_live) for factor in factors] for events in streams]
    return chunks, jnp.asarray(cells, jnp.int32)


def _losses(
    weights: jax.Array, prior: jax.Array, chunks: Chunk, cells: jax.Array, slots: int, blocks: int
) -> jax.Array:
    """The mean loss of each weights: float32[P] of float32[P, F]."""

    def alone(weights: jax.Array, chunk: Chunk, cells: jax.Array) -> jax.Array:
        scorer = HoleScorer(weights, prior)

        def turn(
            carry: tuple[Played, jax.Array], event: Chunk
        ) -> tuple[tuple[Played, jax.Array], None]:
            state, served = carry
            state, failed = step(state, event, scorer)
            going = (served == jnp.floor(served)) & ~failed & ~state.table.full
            # Whole while nothing has failed.
            return (state, jnp.where(going, served + 1, jnp.floor(served) + 0.5)), None

        begin = (Played.new(cells, slots, blocks), jnp.zeros(()))
        (_, served), _ = jax.lax.scan(turn, begin, chunk)
        share = served / chunk.frees.shape[0]
        return jnp.where(served == jnp.floor(served), 0.0, 1.0 - share / 2)

    over_arenas = jax.vmap(alone, in_axes=(None, None, 0))
    over_streams = jax.vmap(over_arenas, in_axes=(None, 0, 0))
    over_weights = jax.vmap(over_streams, in_axes=(0, None, None))
    return over_weights(weights, chunks, cells).mean(axis=(1, 2))
