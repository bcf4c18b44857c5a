"""The placements of many states in one list: tried, labelled, kept, and drawn state by state."""

import jax
import jax.numpy as jnp
from flax import struct

from jaxmem.environment.observations import FEATURES

RUN = 64  # placements read side by side: most states in it are whole


@struct.dataclass
class Tried:
    """Placements of E states, at most C of each, in one list: those of state 0, of state 1, ..."""

    legal: jax.Array  # int32[E]  placements that there are
    count: jax.Array  # int32[E]  of them tried; 0 where there is nothing to choose
    ends: jax.Array  # int32[E]  where in the list those of each state end
    offset: jax.Array  # int32[E]  the first of them, from which they are counted round

    def at(self, place: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The state and the action at each place of the list, int32[M] each."""
        state = jnp.searchsorted(self.ends, place, side="right")
        state = jnp.minimum(state, self.ends.shape[0] - 1)
        number = place - self.ends[state] + self.count[state]
        return state, (self.offset[state] + number) % jnp.maximum(self.legal[state], 1)


def to_try(holes: jax.Array, most: int, key: jax.Array) -> Tried:
    """Both ends of the `holes` (int32[E]) that each state has; of more than `most`, some."""
    legal = 2 * holes
    count = jnp.where(legal >= 2, jnp.minimum(legal, most), 0)
    offset = jax.random.randint(key, legal.shape, 0, jnp.maximum(legal, 1))
    return Tried(legal=legal, count=count, ends=jnp.cumsum(count), offset=offset)


@struct.dataclass
class Labels:
    """Placements that were tried, of the latest B updates, M to an update."""

    row: jax.Array  # float32[B, M, F]
    advantage: jax.Array  # float32[B, M]  what is to be learnt of it
    state: jax.Array  # int32[B, M]  its number, in ascending order
    count: jax.Array  # int32[B]  placements that there are

    def with_update(
        self,
        at: jax.Array,
        row: jax.Array,
        advantage: jax.Array,
        state: jax.Array,
        count: jax.Array,
    ) -> "Labels":
        """The labels of one update, in place of those at `at` (int32[])."""
        return Labels(
            row=self.row.at[at].set(row),
            advantage=self.advantage.at[at].set(advantage),
            state=self.state.at[at].set(state),
            count=self.count.at[at].set(count),
        )


def no_labels(updates: int, placements: int) -> Labels:
    """Room for the labels of B = `updates` updates of M = `placements` each."""
    return Labels(
        row=jnp.zeros((updates, placements, len(FEATURES))),
        advantage=jnp.zeros((updates, placements)),
        state=jnp.zeros((updates, placements), jnp.int32),
        count=jnp.zeros((updates,), jnp.int32),
    )


@struct.dataclass
class Drawn:
    """Placements for one gradient step, R runs of neighbours in the list of some update."""

    row: jax.Array  # float32[R, W, F]
    advantage: jax.Array  # float32[R, W]
    state: jax.Array  # int32[R, W]  ascending in a run; those at its ends may lack placements
    exists: jax.Array  # bool[R, W]


def draw(labels: Labels, key: jax.Array, minibatch: int) -> Drawn:
    """About `minibatch` placements, in runs, so that those of a state come together."""
    width = min(RUN, minibatch, labels.advantage.shape[1])
    by_update, by_place = jax.random.split(key)
    filled = jnp.sum(labels.count > 0)
    update = jax.random.randint(by_update, (minibatch // width,), 0, jnp.maximum(filled, 1))
    starts = jnp.maximum(labels.count[update] - width, 0) + 1
    first = jnp.int32(jax.random.uniform(by_place, update.shape) * starts)

    def run_of(column: jax.Array) -> jax.Array:
        rest = column.shape[2:]
        return jax.vmap(
            lambda update, first: jax.lax.dynamic_slice(
                column, (update, first, *(0 for _ in rest)), (1, width, *rest)
            )[0]
        )(update, first)

    return Drawn(
        row=run_of(labels.row),
        advantage=run_of(labels.advantage),
        state=run_of(labels.state),
        exists=first[:, None] + jnp.arange(width) < labels.count[update, None],
    )


def groups_of(drawn: Drawn) -> jax.Array:
    """A number for each state in a run, 0 .. R * W - 1, of each of its placements: int32[R * W]."""
    runs, width = drawn.state.shape
    begins = jnp.diff(drawn.state, axis=1, prepend=drawn.state[:, :1]) != 0
    return (jnp.arange(runs)[:, None] * width + jnp.cumsum(begins, axis=1)).reshape(-1)


def center_by_state(error: jax.Array, drawn: Drawn) -> jax.Array:
    """Errors less their mean over the placements drawn of the same state: float32[R, W].

    Args:
        error: float32[R, W]  0 where no placement exists.
    """
    group = groups_of(drawn)

    def total(column: jax.Array) -> jax.Array:
        sums = jax.ops.segment_sum(column.reshape(-1), group, group.size)
        return sums[group].reshape(column.shape)

    exists = drawn.exists.astype(jnp.float32)
    return exists * (error - total(error) / jnp.maximum(total(exists), 1.0))
