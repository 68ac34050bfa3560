"""MaxDrop: the highest activation of a channel is dropped (Park and Kwak, ACCV 2016).

The paper drops maxima over the feature map of a channel or over the channels of a cell; this is the first
of the two, the one that hides a place. One value of a map is lost at most, so nothing is rescaled. (The
later "MaxDropout", which drops all values above a threshold, is another method.)
"""

import jax
import jax.numpy as jnp
from jax import lax

from asae_jax.models.training_layer import RateLayer
from asae_jax.types import Features, Key


def max_drop(image_keys: Key, features: Features, *, rate: float) -> Features:
    """Set the highest value of each channel to zero with probability `rate`.

    Of equal values the first in row-major order counts.

    Args:
      image_keys: one key per image, `[batch]`.
      features: `[batch, height, width, channels]`.
      rate: probability for each channel of each image.

    Returns:
      Features of the same shape and dtype.
    """
    batch, height, width, channels = features.shape
    top = jnp.argmax(lax.stop_gradient(features).reshape(batch, height * width, channels), axis=1)
    drawn = jax.vmap(lambda key: jax.random.bernoulli(key, rate, (channels,)))(image_keys)
    cells = jnp.arange(height * width)[None, :, None]
    hidden = (cells == top[:, None, :]) & drawn[:, None, :]
    return jnp.where(hidden.reshape(features.shape), jnp.zeros_like(features), features)


class MaxDrop(RateLayer):
    """The highest value of each channel is dropped, each with probability `rate`."""

    def disturb(self, key: Key, features: Features) -> Features:
        """See `max_drop`."""
        return max_drop(self.image_keys(key, features), features, rate=self.rate)
