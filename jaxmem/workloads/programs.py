"""Request streams of programs: a stack that leaks, and the training step of a small network.

Each generator is a pure function `(key, sequences, length, **options) -> Requests`. `capacity` is
the live cap in cells (see `live_cap`).
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.workloads.live_cap import cap_sequences
from jaxmem.workloads.parts import (
    LiveList,
    Round,
    each_sequence,
    empty_list,
    exponential,
    lifetimes_of,
    operate,
    uniform,
)
from jaxmem.workloads.requests import Requests, requests_of


def stack_with_leaks(
    key: jax.Array, sequences: int, length: int, *, capacity: int = 100
) -> Requests:
    """Pushes (size U(1, 8)) and pops of the newest block, with leaks between them.

    The push probability starts at 0.55 and before each operation is redrawn from {.35, .5, .65}
    with probability 0.05; it is 0.2 while 22 or more blocks are on the stack, 1 while none is.
    After a push, with probability 0.12, a leak is requested: size U(1, 3), Exp(60).
    """

    def sequence(key):
        keys = jax.random.split(key, 7)
        # An operation pushes, or pops what was pushed: 2T operations are enough for T requests.
        operations = (2 * length,)

        def step(state, draw):
            stack, push_probability = state
            redraws, redrawn, fraction, leaks = draw
            push_probability = jnp.where(redraws, redrawn, push_probability)
            now = jnp.where(stack.count >= 22, 0.2, push_probability)
            pushes = (fraction < now) | (stack.count == 0)
            stack, end = operate(stack, ~pushes, stack.count - 1, pushes)
            leaks = leaks & pushes & (stack.time < length)
            leak = jnp.where(leaks, stack.time, length)
            stack = LiveList(time=stack.time + leaks, count=stack.count, born=stack.born)
            return (stack, push_probability), (leak, end)

        draws = (
            jax.random.bernoulli(keys[0], 0.05, operations),
            jax.random.choice(keys[1], jnp.array([0.35, 0.5, 0.65], jnp.float32), operations),
            jax.random.uniform(keys[2], operations),
            jax.random.bernoulli(keys[3], 0.12, operations),
        )
        start = (empty_list(length), jnp.float32(0.55))
        _, (leak, ends) = jax.lax.scan(step, start, draws)
        is_leak = jnp.zeros(length, bool).at[leak].set(True, mode="drop")
        pushed, leaked = uniform(keys[4], (length,), 1, 8), uniform(keys[5], (length,), 1, 3)
        kept = exponential(keys[6], (length,), 60)
        return (
            jnp.where(is_leak, leaked, pushed),
            jnp.where(is_leak, kept, lifetimes_of(*ends, length)),
        )

    size, lifetime = each_sequence(sequence, key, sequences, length)
    return requests_of(size, cap_sequences(size, lifetime, capacity))


_DEEPEST = 7  # layers of the deepest network


def _one_step(key: jax.Array, capacity: int) -> Round:
    """Draws the requests of a random network's training step, its peak scaled to `capacity`."""
    keys = jax.random.split(key, 4)
    layers = uniform(keys[0], (), 4, _DEEPEST)
    activation = uniform(keys[1], (_DEEPEST,), 2, 10)
    workspace = uniform(keys[2], (_DEEPEST,), 1, 8)
    gradient = uniform(keys[3], (_DEEPEST,), 1, 6)

    # A moment for each request of the deepest network, in order; shallower ones skip some.
    layer = np.arange(_DEEPEST)
    forward = 2 * layer
    turn = 2 * _DEEPEST
    backward = turn + 1 + 3 * layer[::-1]
    undone = backward + 3  # the layer's backward pass is over
    update = turn + 1 + 3 * _DEEPEST + layer
    exists = layer < layers
    works = exists & ((layer % 2 == 0) | (workspace > 4))
    requests = [  # moment, moment of death, size, whether this network makes it
        (forward, undone, activation, exists),
        (forward + 1, forward + 2, workspace, works),
        (np.array([turn]), jnp.array(undone)[layers - 1], activation[layers - 1], True),
        (backward, undone, workspace, exists),
        (backward + 1, update + 1, gradient, exists),
        (backward + 2, undone + 3, jnp.roll(activation, 1), exists & (layer > 0)),
        (update, update + 1, gradient, exists),
    ]
    order = np.argsort(np.concatenate([moment for moment, *_ in requests]))
    death, size, made = (
        jnp.concatenate([jnp.atleast_1d(column) for column in columns])[order]
        for columns in list(zip(*requests, strict=True))[1:]
    )

    moment = jnp.arange(order.size)
    is_live = made & (moment <= moment[:, None]) & (moment[:, None] < death)
    peak = jnp.max(jnp.sum(size * is_live, axis=1))
    size = jnp.maximum(1, jnp.round(size * (capacity / peak)).astype(jnp.int32))
    # Time counts the requests made, not the moments.
    made_before = jnp.append(jnp.zeros(1, jnp.int32), jnp.cumsum(made, dtype=jnp.int32))
    kept = jnp.argsort(~made, stable=True)
    return Round(size=size[kept], death=made_before[death][kept], count=made_before[-1])


def training_step(
    key: jax.Array, sequences: int, length: int, *, capacity: int = 100, hints: bool = False
) -> Requests:
    """Repeats, in each sequence, the training step of one random small network to the end.

    U(4, 7) layers with activation U(2, 10), workspace U(1, 8), weight gradient U(1, 6). Forward,
    layer by layer: the activation; in even layers and where it is above 4, the workspace, freed at
    once. Then the gradient of the last activation. Backward, last layer first: workspace, weight
    gradient, and (not at layer 0) the gradient of the activation below; then the workspace, the
    layer's activation and its gradient are freed. Update, layer by layer: scratch of the weight
    gradient's size, freed at once, and the weight gradient is freed. Sizes are scaled to a peak of
    `capacity` and rounded, at least 1. With `hints`, `hint` is the lifetime.
    """

    def sequence(key):
        step = _one_step(key, capacity)
        place = jnp.arange(length, dtype=jnp.int32) % step.count
        return step.size[place], step.death[place] - place

    size, lifetime = each_sequence(sequence, key, sequences, length)
    lifetime = cap_sequences(size, lifetime, capacity)
    return requests_of(size, lifetime, hint=lifetime if hints else None)
