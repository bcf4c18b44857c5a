"""Branches of a run: each fit for a request, played on against the same later requests."""

from functools import partial

import jax
import jax.numpy as jnp

from jaxmem.recordings.class_rule import CLASS_FITS, ClassRule, order_of_fit
from jaxmem.recordings.replay import Chunk, Played, step


@partial(jax.jit, static_argnames=("horizon", "slots", "blocks"))
def units_lost_by_fit(
    rule: ClassRule,
    events: Chunk,
    cells: jax.Array,
    at: jax.Array,
    *,
    horizon: int,
    slots: int,
    blocks: int,
) -> tuple[jax.Array, jax.Array]:
    """Plays a run by a class rule, and at some requests tries each fit, then goes on by the rule.

    Args:
        events: of the run, [E] each, and frees of no block after it.
        cells: int32[C]  units of the arenas that are played in side by side.
        at: int32[T]  the events that are these requests, in their order.
        horizon: events that are played after each of them, in `events` also after the last.
        slots: holes that an arena may have; one more, and all fits are worth the same.
        blocks: L, blocks that may live at once.

    Returns:
        Units that fail, as a share of the arena, by fit: float32[T, C, 4]; and the fit that the
        rule takes: int32[T, C].
    """
    by_fit = jax.vmap(order_of_fit)(jnp.arange(len(CLASS_FITS)))

    def event(number: jax.Array) -> Chunk:
        return jax.tree.map(lambda column: column[number], events)

    def in_all(states: Played, of: Chunk) -> tuple[Played, jax.Array]:
        return jax.vmap(lambda state: step(state, of, rule))(states)

    def branch(
        carry: tuple[Played, jax.Array], here: jax.Array
    ) -> tuple[tuple[Played, jax.Array], tuple[jax.Array, jax.Array]]:
        states, begun = carry
        states = jax.lax.fori_loop(
            begun, here, lambda number, states: in_all(states, event(number))[0], states
        )
        asked = event(here)
        ruled = jax.vmap(lambda state: rule.fit(state.cells, asked.known))(states)

        def tried(state: Played) -> tuple[Played, jax.Array]:
            return jax.vmap(lambda order: step(state, asked, order))(by_fit)

        branches, failed = jax.tree.map(
            lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), jax.vmap(tried)(states)
        )

        def later(
            carry: tuple[Played, jax.Array], number: jax.Array
        ) -> tuple[tuple[Played, jax.Array], None]:
            branches, failed = in_all(carry[0], of := event(number))
            return (branches, carry[1] + failed * of.known.size), None

        (branches, lost), _ = jax.lax.scan(
            later, (branches, failed * asked.known.size), here + 1 + jnp.arange(horizon)
        )
        by_arena = len(cells), len(CLASS_FITS)
        full = branches.table.full.reshape(by_arena).any(axis=1, keepdims=True)
        lost = jnp.where(full, 0, (lost / branches.cells).reshape(by_arena))
        return (in_all(states, asked)[0], here + 1), (lost, ruled)

    begin = jax.vmap(lambda cells: Played.new(cells, slots, blocks))(cells)
    _, (lost, ruled) = jax.lax.scan(branch, (begin, jnp.int32(0)), at)
    return lost, ruled
