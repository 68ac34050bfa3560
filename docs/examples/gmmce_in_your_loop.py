"""GMMCE, the paper's loss, in a training loop that is not ours.

The losses are pure functions of logits and labels, one value per example. In a loop with
`optax.softmax_cross_entropy_with_integer_labels(logits, labels)` one line changes.
Run it from the root of the repository: python -m docs.examples.gmmce_in_your_loop
"""

import jax
import jax.numpy as jnp
import optax

from asae_jax.losses import gmmce

NUM_CLASSES, NUM_FEATURES, NUM_EXAMPLES = 14, 20, 280


def mean_loss(weights: jax.Array, features: jax.Array, labels: jax.Array) -> jax.Array:
    """Your model, here a linear one, and its loss."""
    logits = features @ weights
    return gmmce(logits, labels, k_high=3, k_low=3).mean()  # the one line


def main() -> None:
    """Trains on made-up classes for a hundred steps."""
    noise, centres = jax.random.split(jax.random.key(0))
    labels = jnp.arange(NUM_EXAMPLES) % NUM_CLASSES
    features = jax.random.normal(centres, (NUM_CLASSES, NUM_FEATURES))[labels]
    features += 0.5 * jax.random.normal(noise, features.shape)

    weights, optimizer = jnp.zeros((NUM_FEATURES, NUM_CLASSES)), optax.sgd(0.1, momentum=0.9)
    state = optimizer.init(weights)

    @jax.jit
    def step(weights: jax.Array, state: optax.OptState) -> tuple[jax.Array, optax.OptState, jax.Array]:
        loss, gradient = jax.value_and_grad(mean_loss)(weights, features, labels)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(weights, updates), state, loss

    for number in range(100):
        weights, state, loss = step(weights, state)
        if number % 25 == 0:
            print(f"step {number:3d}  loss {loss:.3f}")
    accuracy = float(((features @ weights).argmax(1) == labels).mean())
    print(f"step 100  loss {loss:.3f}, accuracy {accuracy:.3f}")
    assert accuracy > 0.9


if __name__ == "__main__":
    main()
