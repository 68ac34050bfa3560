"""The ASAE layer inside of a Flax model that is not ours.

The layer has no parameters and takes any NHWC feature map, so it can be put between any two layers and
left out at test. Run it from the root of the repository: python -m docs.examples.asae_in_your_flax_model
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from asae_jax.models import ASAE


class YourModel(nn.Module):
    """Any convolutional network; the five lines marked with # ASAE are what is added to it."""

    num_classes: int

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        """`[batch, height, width, 3]` -> logits `[batch, classes]`; `[2, batch, classes]` in training."""
        x = nn.relu(nn.Conv(16, (3, 3), strides=2)(images))
        branches = ASAE(area=0.18)(x) if train else x[None]  # ASAE: suppressed and enhanced, or as it is
        x = branches.reshape(-1, *x.shape[1:])  # ASAE: the later layers see one larger batch
        x = nn.relu(nn.Conv(32, (3, 3), strides=2)(x))
        logits = nn.Dense(self.num_classes)(x.mean((1, 2)))
        logits = logits.reshape(branches.shape[0], -1, self.num_classes)  # ASAE: one row of logits a branch
        return logits if train else logits[0]  # ASAE


def main() -> None:
    """Initialises the model, and runs it as in training and as at test."""
    model, images = YourModel(num_classes=14), jax.random.normal(jax.random.key(0), (4, 28, 28, 3))
    variables = model.init(jax.random.key(1), images, train=False)
    rngs = {"asae": jax.random.key(2)}  # ASAE: which peak is hidden is drawn at random
    training = jax.jit(lambda v, x: model.apply(v, x, train=True, rngs=rngs))(variables, images)
    test = jax.jit(lambda v, x: model.apply(v, x, train=False))(variables, images)
    print("logits in training", training.shape, "and at test", test.shape)
    assert training.shape == (2, 4, 14)
    assert test.shape == (4, 14)
    assert jnp.isfinite(training).all()


if __name__ == "__main__":
    main()
