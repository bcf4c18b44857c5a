"""A training step of a recurrent network with attention."""

import jax
import jax.numpy as jnp

STEPS, BATCH, WIDTH, WORDS = 24, 16, 64, 500


def start(key: jax.Array) -> dict[str, jax.Array]:
    """Weights of the network."""
    shapes = {
        "embed": (WORDS, WIDTH),
        "gates": (2 * WIDTH, 2 * WIDTH),
        "new": (2 * WIDTH, WIDTH),
        "attend": (WIDTH, WIDTH),
        "write": (2 * WIDTH, WORDS),
    }
    keys = jax.random.split(key, len(shapes))
    return {
        n: 0.1 * jax.random.normal(k, s) for k, (n, s) in zip(keys, shapes.items(), strict=True)
    }


def loss(weights: dict[str, jax.Array], words: jax.Array) -> jax.Array:
    """How badly each word is told from those before it; words int32[BATCH, STEPS + 1]."""

    def step(state, inputs):
        both = jnp.concatenate([inputs, state], axis=1)
        update, reset = jnp.split(jax.nn.sigmoid(both @ weights["gates"]), 2, axis=1)
        new = jnp.tanh(jnp.concatenate([inputs, reset * state], axis=1) @ weights["new"])
        state = update * state + (1 - update) * new
        return state, state

    inputs = weights["embed"][words[:, :-1]].swapaxes(0, 1)
    _, states = jax.lax.scan(step, jnp.zeros((BATCH, WIDTH)), inputs)
    scores = jnp.einsum("sbw,wv,tbv->bst", states, weights["attend"], states)
    earlier = jnp.tril(jnp.ones((STEPS, STEPS), bool))
    chances = jax.nn.softmax(jnp.where(earlier, scores, -1e9))
    found = jnp.einsum("bst,tbw->sbw", chances, states)
    logits = jnp.concatenate([states, found], axis=2) @ weights["write"]
    told = jnp.take_along_axis(jax.nn.log_softmax(logits), words[:, 1:].T[..., None], axis=2)
    return -told.mean()


@jax.jit
def train_step(weights, momentum, words):
    """One step of gradient descent with momentum."""
    gradients = jax.grad(loss)(weights, words)
    momentum = jax.tree.map(lambda m, g: 0.9 * m + g, momentum, gradients)
    return jax.tree.map(lambda w, m: w - 0.1 * m, weights, momentum), momentum


def main() -> None:
    """Compiles the step."""
    weights = start(jax.random.key(0))
    words = jnp.zeros((BATCH, STEPS + 1), jnp.int32)
    train_step.lower(weights, weights, words).compile()


if __name__ == "__main__":
    main()
