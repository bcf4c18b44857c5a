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
from jaxmem.recordings.replay import Chunk, ReplayEvents
from jaxmem.recordings.side_by_side import arenas_of, events_served, side_by_side

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
    chunks, blocks = side_by_side(streams)
    cells = arenas_of(streams, config.factors)
    for _ in range(config.generations):
        drawn = rng.choice(len(streams), min(config.recordings, len(streams)), replace=False)
        asked = strategy.ask()
        played = jax.tree.map(lambda column, drawn=drawn: column[drawn], chunks)
        weights = jnp.asarray(np.array(asked, np.float32))
        scorers = HoleScorer(weights, jnp.broadcast_to(prior, (len(weights), len(prior))))
        found = _losses(scorers, played, cells[drawn], config.slots, blocks)
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


@partial(jax.jit, static_argnums=(3, 4))
def _losses(
    scorers: HoleScorer, chunks: Chunk, cells: jax.Array, slots: int, blocks: int
) -> jax.Array:
    """Computes the mean loss of each of P scorers: float32[P]."""
    events = chunks.frees.shape[-1]
    served = events_served(scorers, chunks, cells, slots, blocks)
    return jnp.where(served == events, 0.0, 1.0 - (served + 0.5) / events / 2).mean(axis=(1, 2))
